import { assume } from '../../core/must.ts';
import { BLOCK_HEADER_BYTES, MAX_PLAIN_BYTES } from './block.ts';
import type { ChunkSizes } from './engine.ts';

/** Which chunks share a block depends on these and on the sources, and on nothing else. */
export type PipelineShape = {
  readonly sizes: ChunkSizes;
  /** What one task holds at most: the contents of many small files, or a window of a large one. */
  readonly capacityBytes: number;
  /** Smaller chunks are collected until a block has so much. */
  readonly groupBytes: number;
  /** Free at the start of a slot, so that blocks can be written over the chunks that they were made of. */
  readonly reserveBytes: number;
};

const CAPACITY_BYTES = 8 * 1024 * 1024;
/** An eighth of the capacity, 1 MiB: in smaller blocks zstd spends much of its time on learning. */
const GROUPS_IN_CAPACITY = 8;
/** Before a large chunk a group of less than this share of `groupBytes` does not become a block of its own. */
const SMALLEST_GROUP = 1 / 8;

export function shapeOf(sizes: ChunkSizes, capacityBytes = CAPACITY_BYTES): PipelineShape {
  const largest = Math.max(sizes.maxBytes, sizes.pageBytes);
  const capacity = Math.max(capacityBytes, 2 * largest);
  const groupBytes = Math.floor(capacity / GROUPS_IN_CAPACITY);
  assume(largest + 2 * groupBytes <= MAX_PLAIN_BYTES, 'chunks fit into a block');
  // All blocks but the last have at least the smallest group.
  const mostBlocks = Math.ceil(GROUPS_IN_CAPACITY / SMALLEST_GROUP) + 1;
  return { sizes, capacityBytes: capacity, groupBytes, reserveBytes: align(mostBlocks * BLOCK_HEADER_BYTES) };
}

const ALIGNMENT = 1024;

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/**
 * Splits a run of chunks into blocks; returns how many chunks each has. Small ones are collected, large ones are a
 * block each, and a few bytes before a large one or at the end join their neighbour.
 */
export function groupChunks(sizesBytes: readonly number[], shape: PipelineShape): number[] {
  const { groupBytes } = shape;
  const smallest = groupBytes * SMALLEST_GROUP;
  const counts: number[] = [];
  let count = 0;
  let bytes = 0;
  let lastBytes = 0;
  const close = (): void => {
    counts.push(count);
    lastBytes = bytes;
    count = 0;
    bytes = 0;
  };
  for (const sizeBytes of sizesBytes) {
    if (sizeBytes >= groupBytes && bytes >= smallest) close();
    count += 1;
    bytes += sizeBytes;
    if (bytes >= groupBytes) close();
  }
  if (count === 0) return counts;
  const before = counts.at(-1);
  if (before === undefined || (lastBytes > 2 * groupBytes && bytes >= smallest)) counts.push(count);
  else counts[counts.length - 1] = before + count;
  return counts;
}
