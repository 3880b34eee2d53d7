import { must } from '../../core/must.ts';
import { BLOCK_HEADER_BYTES, encodeBlockWithin } from './block.ts';
import { compressChunks } from './compress-chunks.ts';
import type { BlockPlaces, ChunkGroups } from './compress-chunks.ts';
import { compress } from './compress.ts';
import { release } from '../../core/bytes.ts';
import { createCutters } from './cut.ts';
import type { ChunkSizes, CutKeys } from './engine.ts';
import { identifyPieces } from './identify-pieces.ts';
import type { IdentifyTools } from './identify-pieces.ts';
import { createIdentify } from './identify.ts';
import { unpackPieces } from './packed-pieces.ts';
import type { PackedPieces } from './packed-pieces.ts';
import type { Identified, WindowCut } from './piece.ts';
import { createReadFilePiece } from './read-file.ts';
import type { Operation } from './worker-operations.ts';

export type StoreSetup = {
  readonly sizes: ChunkSizes;
  readonly keys: CutKeys;
  /** All slots, by their index. */
  readonly slots: readonly SharedArrayBuffer[];
};

/** `bytes`: a block's header, still empty, then its chunks. The result is the block, in the same memory. */
export type EncodeRequest = { readonly bytes: Uint8Array<ArrayBuffer> };

export type StoreOperations = {
  readonly identify: Operation<{ readonly slot: number; readonly pieces: PackedPieces }, Identified, WindowCut>;
  readonly compress: Operation<{ readonly slot: number; readonly groups: ChunkGroups }, BlockPlaces>;
  readonly encodeBlock: Operation<EncodeRequest, Uint8Array<ArrayBuffer>>;
};

export function createStoreOperations(setup: StoreSetup | undefined): StoreOperations {
  const slots = setup?.slots.map((memory) => new Uint8Array(memory)) ?? [];
  const slotAt = (index: number): Uint8Array => must(slots[index], 'the worker has been given this slot');
  const tools = setup && createTools(setup);
  return {
    identify({ slot, pieces }, note) {
      const given = must(tools, 'the worker was set up to store');
      return { value: identifyPieces(slotAt(slot), unpackPieces(pieces), given, note) };
    },
    compress({ slot, groups }) {
      return { value: compressChunks(slotAt(slot), groups) };
    },
    encodeBlock({ bytes }) {
      const frame = compress(bytes.subarray(BLOCK_HEADER_BYTES));
      const place = { target: bytes, offset: 0 };
      const size = encodeBlockWithin(place, BLOCK_HEADER_BYTES, bytes.byteLength, frame);
      if (frame !== undefined) release(frame);
      return { value: bytes.subarray(0, size), transfer: [bytes.buffer] };
    },
  };
}

function createTools({ sizes, keys }: StoreSetup): IdentifyTools {
  return {
    cutters: createCutters(sizes, keys),
    identify: createIdentify(keys.chunkKey),
    readFile: createReadFilePiece(),
  };
}
