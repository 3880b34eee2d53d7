import { moveBytes, release } from '../../core/bytes.ts';
import { must } from '../../core/must.ts';
import { encodeBlockWithin } from './block.ts';
import { compress } from './compress.ts';

/** Chunks of a slot, ascending by offset, and how many of them each block has. */
export type ChunkGroups = {
  readonly counts: Uint32Array;
  readonly offsets: Uint32Array;
  readonly sizes: Uint32Array;
};

/** Where each block lies in the slot. */
export type BlockPlaces = { readonly offsets: Uint32Array; readonly sizes: Uint32Array };

/**
 * Makes the blocks in place: each is written over chunks that are done with, from the start of the slot on. That
 * always fits, because no chunk lies in the slot's reserve, and a block has at most its header more than its chunks.
 */
export function compressChunks(slot: Uint8Array, groups: ChunkGroups): BlockPlaces {
  const offsets = new Uint32Array(groups.counts.length);
  const sizes = new Uint32Array(groups.counts.length);
  let chunk = 0;
  let written = 0;
  for (const [block, count] of groups.counts.entries()) {
    const { start, end } = gather(slot, groups, { from: chunk, to: chunk + count });
    chunk += count;
    const frame = compress(slot.subarray(start, end));
    offsets[block] = written;
    sizes[block] = encodeBlockWithin({ target: slot, offset: written }, start, end, frame);
    written += must(sizes[block], 'it was just set');
    if (frame !== undefined) release(frame);
  }
  return { offsets, sizes };
}

/** Moves the chunks down to the first, so that they lie one after another; what was between was not new. */
function gather(
  slot: Uint8Array,
  groups: ChunkGroups,
  range: { from: number; to: number },
): { start: number; end: number } {
  const start = must(groups.offsets[range.from], 'a block has a chunk');
  let end = start;
  for (let chunk = range.from; chunk < range.to; chunk += 1) {
    const offset = must(groups.offsets[chunk], 'every chunk has an offset');
    const size = must(groups.sizes[chunk], 'every chunk has a size');
    if (offset !== end) moveBytes(slot.subarray(offset, offset + size), slot.subarray(end));
    end += size;
  }
  return { start, end };
}
