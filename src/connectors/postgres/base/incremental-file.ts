import type { Extent } from '../../../core/recorder.ts';
import { unreachable } from '../errors.ts';

/** What begins the name of a file that holds only what has changed. */
const PREFIX = 'INCREMENTAL.';
const MAGIC = 0xd3ae1f0d;
const NUMBER_BYTES = 4;
const FIXED_BYTES = 3 * NUMBER_BYTES;

/** How a server divides its relations. */
export type RelationShape = {
  readonly blockBytes: number;
  /** A relation's further blocks are in another file. */
  readonly blocksPerFile: number;
};

/** What the head of such a file says. The blocks follow it in the order of their numbers. */
export type IncrementalHeader = {
  /** Ascending. */
  readonly blocks: readonly number[];
  /** Of the earlier file no block from this number on counts; the file has at least so many. */
  readonly leastBlocks: number;
};

/** Of such a file's path the one of the file that it stands for; undefined for any other. */
export function wholePath(path: string): string | undefined {
  const at = path.lastIndexOf('/') + 1;
  return path.startsWith(PREFIX, at) ? path.slice(0, at) + path.slice(at + PREFIX.length) : undefined;
}

/** The inverse of `wholePath`. */
export function changesPath(path: string): string {
  const at = path.lastIndexOf('/') + 1;
  return path.slice(0, at) + PREFIX + path.slice(at);
}

/**
 * Reads the head of such a file, up to where its blocks begin. `read` gives exactly so many bytes.
 * @throws STORE_UNREACHABLE unless it is one that a server writes, of `sizeBytes` in all
 */
export async function readIncrementalHeader(
  read: (sizeBytes: number) => Promise<Buffer>,
  { path, sizeBytes, shape }: { readonly path: string; readonly sizeBytes: number; readonly shape: RelationShape },
): Promise<IncrementalHeader> {
  const { blockBytes, blocksPerFile } = shape;
  if (sizeBytes < FIXED_BYTES) throw malformed(path, 'it ends within its head');
  const fixed = await read(FIXED_BYTES);
  if (fixed.readUInt32LE(0) !== MAGIC) throw malformed(path, 'it does not begin as one');
  const count = fixed.readUInt32LE(NUMBER_BYTES);
  const leastBlocks = fixed.readUInt32LE(2 * NUMBER_BYTES);
  if (count > blocksPerFile || leastBlocks > blocksPerFile) throw malformed(path, 'it tells of more blocks than fit');
  const headBytes = headerBytes(count, blockBytes);
  if (sizeBytes !== headBytes + count * blockBytes) throw malformed(path, `it has ${sizeBytes} bytes`);
  const numbers = await read(headBytes - FIXED_BYTES);
  const blocks = Array.from({ length: count }, (_, index) => numbers.readUInt32LE(index * NUMBER_BYTES));
  const isSound = blocks.every((block, index) => block > (blocks[index - 1] ?? -1) && block < blocksPerFile);
  if (!isSound) throw malformed(path, 'its blocks have no order');
  return { blocks, leastBlocks };
}

/** Filled up to a whole block where blocks follow. */
function headerBytes(count: number, blockBytes: number): number {
  const bytes = FIXED_BYTES + count * NUMBER_BYTES;
  return count === 0 ? bytes : Math.ceil(bytes / blockBytes) * blockBytes;
}

/** How the file comes of the earlier one: what is kept of its beginning, and where what came lies. */
export type Reconstruction = {
  readonly sizeBytes: number;
  readonly keptBytes: number;
  readonly extents: readonly Extent[];
};

/** A file has all the blocks that came and at least `leastBlocks`; one that neither came nor was there before is zeros. */
export function reconstruct(header: IncrementalHeader, earlierBytes: number, blockBytes: number): Reconstruction {
  const { blocks, leastBlocks } = header;
  const blockCount = Math.max(leastBlocks, (blocks.at(-1) ?? -1) + 1);
  const keptBlocks = Math.min(leastBlocks, Math.floor(earlierBytes / blockBytes));
  return {
    sizeBytes: blockCount * blockBytes,
    keptBytes: keptBlocks * blockBytes,
    extents: runsOf(blocks).map(([first, count]) => ({ offset: first * blockBytes, sizeBytes: count * blockBytes })),
  };
}

function runsOf(blocks: readonly number[]): readonly (readonly [first: number, count: number])[] {
  const runs: [number, number][] = [];
  for (const block of blocks) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === block) last[1]++;
    else runs.push([block, 1]);
  }
  return runs;
}

const TOLD_BY = ['INCREMENTAL FROM LSN: ', 'INCREMENTAL FROM TLI: '];

/** A backup’s label without what makes a server refuse to start on it: the base that it goes into is whole. */
export function wholeLabel(label: string): string {
  const lines = label.split(/(?<=\n)/);
  return lines.filter((line) => !TOLD_BY.some((beginning) => line.startsWith(beginning))).join('');
}

function malformed(path: string, reason: string): Error {
  return unreachable(`the server sent ${path}, which tells what has changed in a file, and ${reason}`, {
    hint: 'With summarize_wal off at the server a base is read whole.',
  });
}
