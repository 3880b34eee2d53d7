import { must } from '../../core/must.ts';
import type { FileTarget } from '../../core/restorer.ts';
import type { ChunkPart } from '../format/node.ts';
import type { ChunkIndex, ChunkPlace } from '../index/chunk-index.ts';
import type { FillFile } from './fill-files.ts';

/** What a job's sealed blocks may take together; one block always fits. */
export const SLOT_BYTES = 12 * 1024 * 1024;
const JOB_BYTES = 8 * 1024 * 1024;
/** A file with more than this is written by several jobs. */
const SPLIT_BYTES = 6 * 1024 * 1024;
/** Reading on over a gap this small is cheaper than another call. */
const GAP_BYTES = 64 * 1024;
const ID_BYTES = 32;

export type WantedFile<Tag> = { readonly target: FileTarget<Tag>; readonly parts: readonly ChunkPart[] };

type JobBlock = { readonly place: ChunkPlace; readonly at: number };
type JobRead = { readonly first: ChunkPlace; readonly at: number; readonly sizeBytes: number };

/** Blocks to fetch and files to fill from them. */
export type FillJob<Tag> = {
  readonly reads: readonly JobRead[];
  readonly blocks: readonly JobBlock[];
  readonly files: readonly WantedFile<Tag>[];
  readonly request: {
    readonly files: readonly FillFile[];
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
  /** Files of which the index does not know every chunk. */
  readonly lost: ReadonlySet<WantedFile<Tag>>;
};

type Piece = { readonly part: ChunkPart; readonly place: ChunkPlace; readonly contentOffset: number };
type Placed<Tag> = { readonly file: WantedFile<Tag>; readonly pieces: readonly Piece[]; readonly isSplit: boolean };

/** Groups files by the blocks that they need, so that each block is fetched and opened once, or nearly. */
export function planFill<Tag>(wanted: readonly WantedFile<Tag>[], index: ChunkIndex): FillPlan<Tag> {
  const placed: Placed<Tag>[] = [];
  const split: WantedFile<Tag>[] = [];
  const lost = new Set<WantedFile<Tag>>();
  for (const file of wanted) {
    const pieces = placePieces(file, index);
    if (pieces === undefined) {
      lost.add(file);
    } else if (needsSplit(file, pieces)) {
      split.push(file);
      for (const piece of pieces) placed.push({ file, pieces: [piece], isSplit: true });
    } else {
      placed.push({ file, pieces, isSplit: false });
    }
  }
  placed.sort(byPlace);
  return { jobs: planJobs(placed), split, lost };
}

function placePieces<Tag>({ parts }: WantedFile<Tag>, index: ChunkIndex): readonly Piece[] | undefined {
  const pieces: Piece[] = [];
  let contentOffset = 0;
  for (const part of parts) {
    const place = index.find(part.id);
    if (place === undefined || place.sizeBytes !== part.sizeBytes || place.blockBytes > SLOT_BYTES) return undefined;
    pieces.push({ part, place, contentOffset });
    contentOffset += part.sizeBytes;
  }
  return pieces;
}

function needsSplit<Tag>({ target }: WantedFile<Tag>, pieces: readonly Piece[]): boolean {
  if ((target.entry.content?.sizeBytes ?? 0) > SPLIT_BYTES) return true;
  const blocks = new Map(pieces.map(({ place }) => [blockKey(place), place.blockBytes]));
  return [...blocks.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0) > JOB_BYTES;
}

function byPlace<Tag>(left: Placed<Tag>, right: Placed<Tag>): number {
  const [first, second] = [left.pieces[0]?.place, right.pieces[0]?.place];
  if (first === undefined || second === undefined) return (first === undefined ? 0 : 1) - (second === undefined ? 0 : 1);
  return first.pack - second.pack || first.blockOffset - second.blockOffset || first.offset - second.offset;
}

function blockKey({ pack, blockOffset }: ChunkPlace): string {
  return `${pack}/${blockOffset}`;
}

function planJobs<Tag>(placed: readonly Placed<Tag>[]): readonly FillJob<Tag>[] {
  const jobs: FillJob<Tag>[] = [];
  let job = new JobBuilder<Tag>();
  for (const item of placed) {
    if (!job.fits(item)) {
      jobs.push(job.build());
      job = new JobBuilder<Tag>();
    }
    job.add(item);
  }
  if (!job.isEmpty) jobs.push(job.build());
  return jobs;
}

class JobBuilder<Tag> {
  readonly #blocks = new Map<string, ChunkPlace>();
  readonly #items: Placed<Tag>[] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  fits({ pieces }: Placed<Tag>): boolean {
    if (this.isEmpty) return true;
    let more = 0;
    for (const { place } of pieces) if (!this.#blocks.has(blockKey(place))) more += place.blockBytes;
    return this.#bytes + more <= JOB_BYTES;
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
    const { reads, blocks, numbers } = layOut([...this.#blocks.values()]);
    const pieces = this.#items.flatMap((item, file) => item.pieces.map((piece) => ({ ...piece, file })));
    const ids = new Uint8Array(pieces.length * ID_BYTES);
    for (const [index, { part }] of pieces.entries()) ids.set(part.id, index * ID_BYTES);
    return {
      reads,
      blocks,
      files: this.#items.map(({ file }) => file),
      request: {
        files: this.#items.map(({ file, isSplit, pieces: own }) => {
          const { path, fileSizeBytes, extents, finish } = file.target;
          return { shape: { path, fileSizeBytes, extents, finish }, contentOffset: isSplit ? own[0]?.contentOffset : undefined };
        }),
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
function layOut(places: readonly ChunkPlace[]) {
  const sorted = places.toSorted((left, right) => left.pack - right.pack || left.blockOffset - right.blockOffset);
  const reads: { first: ChunkPlace; at: number; sizeBytes: number }[] = [];
  const blocks: JobBlock[] = [];
  const numbers = new Map<string, number>();
  let end = 0;
  for (const place of sorted) {
    const last = reads.at(-1);
    const gap = last?.first.pack === place.pack ? place.blockOffset - last.first.blockOffset - last.sizeBytes : undefined;
    if (last !== undefined && gap !== undefined && gap <= GAP_BYTES && end + gap + place.blockBytes <= SLOT_BYTES) {
      last.sizeBytes += gap + place.blockBytes;
      end += gap + place.blockBytes;
    } else {
      reads.push({ first: place, at: end, sizeBytes: place.blockBytes });
      end += place.blockBytes;
    }
    numbers.set(blockKey(place), blocks.length);
    blocks.push({ place, at: end - place.blockBytes });
  }
  return { reads, blocks, numbers };
}
