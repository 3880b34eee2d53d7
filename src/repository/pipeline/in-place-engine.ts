import { encodeBlock } from './block.ts';
import { compressChunks } from './compress-chunks.ts';
import { createCutters } from './cut.ts';
import type { ChunkSizes, CutKeys, PipelineEngine } from './engine.ts';
import { identifyPieces } from './identify-pieces.ts';
import { createIdentify } from './identify.ts';
import { createReadFilePiece } from './read-file.ts';
import { shapeOf } from './shape.ts';
import { SlotPool } from './slots.ts';
import { createStagedEngine } from './staged-engine.ts';

export type InPlaceOptions = {
  readonly sizes: ChunkSizes;
  readonly keys: CutKeys;
  /** What a task holds; engines are equal only with equal capacities. 8 MiB unless given. */
  readonly capacityBytes?: number | undefined;
};

/** One task is being filled while another is worked on. */
const SLOTS = 2;

/** Does all work on the caller's thread, between its other tasks, task by task. */
export function createInPlaceEngine(options: InPlaceOptions): PipelineEngine {
  const shape = shapeOf(options.sizes, options.capacityBytes);
  const slotBytes = shape.reserveBytes + shape.capacityBytes;
  const tools = {
    cutters: createCutters(options.sizes, options.keys),
    identify: createIdentify(options.keys.chunkKey),
    readFile: createReadFilePiece(),
  };
  return createStagedEngine({
    shape,
    slots: new SlotPool(SLOTS, () => new Uint8Array(slotBytes)),
    stages: {
      identify: async ({ slot, pieces, onCut }, run) => {
        run.signal.throwIfAborted();
        return identifyPieces(slot.bytes, pieces, tools, onCut);
      },
      compress: async ({ slot, groups }, run) => {
        run.signal.throwIfAborted();
        return compressChunks(slot.bytes, groups);
      },
    },
    compress: async (chunks, run) => {
      run.signal.throwIfAborted();
      return encodeBlock(chunks);
    },
    close: async () => undefined,
  });
}
