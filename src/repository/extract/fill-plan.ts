import { must } from '../../core/must.ts';
import type { FileTarget } from '../../core/restorer.ts';
import type { ChunkPart } from '../format/node.ts';
import { MAX_PACK_BYTES } from '../format/pack.ts';
import type { ChunkIndex, ChunkPlace } from '../index/chunk-index.ts';
import { ContentLayout } from './content-layout.ts';
import type { FileRun } from './content-layout.ts';
import { packFiles } from './packed-files.ts';
import type { FillFile, PackedFiles } from './packed-files.ts';

/** Sizes that decide what is done together, in bytes. */
export type FillLimits = {
  /** What a job's sealed blocks may take, with the gaps between them. Larger blocks are read one by one, elsewhere. */
  readonly slotBytes: number;
  /** Blocks of one job, together; one block always fits. */
  readonly jobBytes: number;
  /** Reading on over a gap this small is cheaper than another call. */
  readonly gapBytes: number;
  /** A file with more than this is written by several jobs. */
  readonly splitBytes: number;
  /** Content that is planned as a whole, so that its blocks are fetched once. A file with more comes in stretches of about this size. */
  readonly windowBytes: number;
  /** So much of candidates is a job. */
  readonly reuseBytes: number;
  /** Below this, writing what was read is as cheap as sharing blocks. */
  readonly cloneLeastBytes: number;
};

const MIB = 1024 * 1024;

export const FILL_LIMITS: FillLimits = {
  slotBytes: 12 * MIB,
  jobBytes: 8 * MIB,
  gapBytes: MIB / 16,
  splitBytes: 6 * MIB,
  windowBytes: 64 * MIB,
  reuseBytes: 16 * MIB,
  cloneLeastBytes: MIB / 64,
};

const ID_BYTES = 32;

/** `runs`: where each part lies, of a file that is there and lacks these parts. Without, the parts are all of its content. */
export type WantedFile<Tag> = {
  readonly target: FileTarget<Tag>;
  readonly parts: readonly ChunkPart[];
  /** A file that may hold the content: the target's own, or one with the same content that was just made. */
  readonly candidate?: Uint8Array | undefined;
  readonly runs?: readonly (readonly FileRun[])[] | undefined;
};

type JobBlock = { readonly place: ChunkPlace; readonly at: number };
/** Neighbours in one pack. */
export type JobRead = {
  readonly first: ChunkPlace;
  readonly at: number;
  readonly sizeBytes: number;
  readonly blocks: readonly JobBlock[];
};

/** Blocks to fetch and files to fill from them. */
export type FillJob<Tag> = {
  readonly reads: readonly JobRead[];
  readonly files: readonly { readonly file: WantedFile<Tag>; readonly isPart: boolean }[];
  readonly request: {
    readonly files: PackedFiles;
    readonly fileOf: Uint32Array;
    readonly blockOf: Uint32Array;
    readonly offsets: Uint32Array;
    readonly sizes: Uint32Array;
    readonly ids: Uint8Array;
  };
};

export type FillPlan<Tag> = {
  readonly jobs: readonly FillJob<Tag>[];
  /** Files that several jobs write: to be created before and finished after. */
  readonly split: readonly WantedFile<Tag>[];
  /** Files of which the index does not know every chunk, or whose chunks do not add up to them. */
  readonly lost: ReadonlySet<WantedFile<Tag>>;
};

type Piece = { readonly part: ChunkPart; readonly place: ChunkPlace };
type Placed<Tag> = { readonly file: WantedFile<Tag>; readonly fill: FillFile; readonly pieces: readonly Piece[] };

/** Groups files by the blocks that they need, so that each block is fetched and opened once, or nearly. */
export function planFill<Tag>(
  wanted: readonly WantedFile<Tag>[],
  index: ChunkIndex,
  limits: FillLimits,
): FillPlan<Tag> {
  const placed: Placed<Tag>[] = [];
  const split: WantedFile<Tag>[] = [];
  const lost = new Set<WantedFile<Tag>>();
  for (const file of wanted) {
    const pieces = placePieces(file, index, limits);
    const isSplit = file.runs === undefined && pieces !== undefined && needsSplit(file, pieces, limits);
    const runs = isSplit ? runsOf(file) : file.runs;
    if (pieces === undefined || (isSplit && runs === undefined)) {
      lost.add(file);
    } else if (runs === undefined) {
      const { path, fileSizeBytes, extents, finish } = file.target;
      placed.push({ file, fill: { kind: 'whole', shape: { path, fileSizeBytes, extents, finish } }, pieces });
    } else {
      if (isSplit) split.push(file);
      for (const [at, piece] of pieces.entries()) {
        const fill = { kind: 'part', path: file.target.path, runs: must(runs[at], 'every part has runs') } as const;
        placed.push({ file, fill, pieces: [piece] });
      }
    }
  }
  placed.sort(byPlace);
  return { jobs: planJobs(placed, limits), split, lost };
}

/** Where each part lies; undefined when they are more or fewer bytes than the file has room for. */
function runsOf<Tag>({ target, parts }: WantedFile<Tag>): readonly (readonly FileRun[])[] | undefined {
  const roomBytes = target.extents?.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) ?? target.fileSizeBytes;
  if (parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) !== roomBytes) return undefined;
  const layout = ContentLayout.of(target);
  return parts.map(({ sizeBytes }) => layout.take(sizeBytes));
}

function placePieces<Tag>(
  { parts }: WantedFile<Tag>,
  index: ChunkIndex,
  { slotBytes }: FillLimits,
): readonly Piece[] | undefined {
  const pieces: Piece[] = [];
  for (const part of parts) {
    const place = index.find(part.id);
    if (place === undefined || place.sizeBytes !== part.sizeBytes || place.blockBytes > slotBytes) return undefined;
    pieces.push({ part, place });
  }
  return pieces;
}

function needsSplit<Tag>(
  { target }: WantedFile<Tag>,
  pieces: readonly Piece[],
  { splitBytes, jobBytes }: FillLimits,
): boolean {
  if ((target.entry.content?.sizeBytes ?? 0) > splitBytes) return true;
  if (pieces.length <= 1) return false;
  const blocks = new Map(pieces.map(({ place }) => [blockKey(place), place.blockBytes]));
  return [...blocks.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0) > jobBytes;
}

function byPlace<Tag>(left: Placed<Tag>, right: Placed<Tag>): number {
  const [first, second] = [left.pieces[0]?.place, right.pieces[0]?.place];
  if (first === undefined || second === undefined) {
    return (first === undefined ? 0 : 1) - (second === undefined ? 0 : 1);
  }
  return first.pack - second.pack || first.blockOffset - second.blockOffset || first.offset - second.offset;
}

function blockKey({ pack, blockOffset }: ChunkPlace): number {
  return pack * MAX_PACK_BYTES + blockOffset;
}

function planJobs<Tag>(placed: readonly Placed<Tag>[], limits: FillLimits): readonly FillJob<Tag>[] {
  const jobs: FillJob<Tag>[] = [];
  let job = new JobBuilder<Tag>(limits);
  for (const item of placed) {
    if (!job.fits(item)) {
      jobs.push(job.build());
      job = new JobBuilder<Tag>(limits);
    }
    job.add(item);
  }
  if (!job.isEmpty) jobs.push(job.build());
  return jobs;
}

class JobBuilder<Tag> {
  readonly #blocks = new Map<number, ChunkPlace>();
  readonly #items: Placed<Tag>[] = [];
  readonly #limits: FillLimits;
  #bytes = 0;

  constructor(limits: FillLimits) {
    this.#limits = limits;
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  fits({ pieces }: Placed<Tag>): boolean {
    if (this.isEmpty) return true;
    let more = 0;
    for (const { place } of pieces) if (!this.#blocks.has(blockKey(place))) more += place.blockBytes;
    return this.#bytes + more <= this.#limits.jobBytes;
  }

  add(item: Placed<Tag>): void {
    this.#items.push(item);
    for (const { place } of item.pieces) {
      const key = blockKey(place);
      if (this.#blocks.has(key)) continue;
      this.#blocks.set(key, place);
      this.#bytes += place.blockBytes;
    }
  }

  build(): FillJob<Tag> {
    const { reads, numbers } = layOut([...this.#blocks.values()], this.#limits);
    const pieces = this.#items.flatMap((item, file) => item.pieces.map((piece) => ({ ...piece, file })));
    const ids = new Uint8Array(pieces.length * ID_BYTES);
    for (const [index, { part }] of pieces.entries()) ids.set(part.id, index * ID_BYTES);
    return {
      reads,
      files: this.#items.map(({ file, fill }) => ({ file, isPart: fill.kind === 'part' })),
      request: {
        files: packFiles(this.#items),
        fileOf: Uint32Array.from(pieces, ({ file }) => file),
        blockOf: Uint32Array.from(pieces, ({ place }) => must(numbers.get(blockKey(place)), 'every block has a place')),
        offsets: Uint32Array.from(pieces, ({ place }) => place.offset),
        sizes: Uint32Array.from(pieces, ({ part }) => part.sizeBytes),
        ids,
      },
    };
  }
}

/** Places blocks one after another in a slot, in the order of the packs, and joins neighbours into one read. */
function layOut(places: readonly ChunkPlace[], { slotBytes, gapBytes }: FillLimits) {
  const sorted = places.toSorted((left, right) => left.pack - right.pack || left.blockOffset - right.blockOffset);
  const reads: { first: ChunkPlace; at: number; sizeBytes: number; blocks: JobBlock[] }[] = [];
  const numbers = new Map<number, number>();
  let end = 0;
  let leftBytes = places.reduce((sum, { blockBytes }) => sum + blockBytes, 0);
  for (const place of sorted) {
    const last = reads.at(-1);
    const gap =
      last?.first.pack === place.pack ? place.blockOffset - last.first.blockOffset - last.sizeBytes : undefined;
    if (last !== undefined && gap !== undefined && gap <= gapBytes && end + gap + leftBytes <= slotBytes) {
      last.sizeBytes += gap + place.blockBytes;
      end += gap + place.blockBytes;
      last.blocks.push({ place, at: end - place.blockBytes });
    } else {
      reads.push({ first: place, at: end, sizeBytes: place.blockBytes, blocks: [{ place, at: end }] });
      end += place.blockBytes;
    }
    leftBytes -= place.blockBytes;
    numbers.set(blockKey(place), numbers.size);
  }
  return { reads, numbers };
}
