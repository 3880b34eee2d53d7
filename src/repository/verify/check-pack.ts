import { equalBytes, toHex } from '../../core/bytes.ts';
import { must } from '../../core/must.ts';
import { damaged, isDamage } from '../format/byte-cursor.ts';
import { PACK_HEADER_BYTES, packIdOf } from '../format/pack.ts';
import type { PackSecret } from '../format/pack.ts';
import { createIdentify } from '../pipeline/identify.ts';
import { OpenedBlock } from '../pipeline/opened-block.ts';

const ID_BYTES = 32;

/** A pack as its directory describes it; chunks are flattened, in the order of the blocks. */
export type CheckPackRequest = {
  readonly what: string;
  /** Bytes that were read, from the pack's start on. */
  readonly sizeBytes: number;
  readonly id: string;
  readonly secret: PackSecret;
  readonly chunkKey: Uint8Array;
  readonly nodeKey: Uint8Array;
  readonly sealedBytes: Uint32Array;
  readonly chunkCounts: Uint32Array;
  readonly sizes: Uint32Array;
  /** 1 for nodes. */
  readonly kinds: Uint8Array;
  readonly ids: Uint8Array;
};

/** `bad`: chunks that are not what they should be, by their place in the request. */
export type CheckedPack = {
  readonly bad: readonly number[];
  readonly bytes: number;
  readonly message?: string | undefined;
};

/** Opens every block of a pack and recomputes every id, and the id that the pack is named by. */
export function checkPackBytes(bytes: Uint8Array, request: CheckPackRequest): CheckedPack {
  const bad: number[] = [];
  const isChunk = createChunkCheck(request);
  let message: string | undefined;
  let [chunk, checkedBytes, offset] = [0, 0, PACK_HEADER_BYTES];
  const whole = bytes.subarray(0, request.sizeBytes);
  const blockBytes = request.sealedBytes.reduce((sum, sealedBytes) => sum + sealedBytes, 0);
  const id = packIdOf(whole.subarray(0, PACK_HEADER_BYTES), whole.subarray(PACK_HEADER_BYTES + blockBytes));
  if (toHex(id) !== request.id) message = `${request.what} is damaged: it is not the pack that its name says`;
  for (const [number, sealedBytes] of request.sealedBytes.entries()) {
    const end = chunk + must(request.chunkCounts[number], 'every block has a count');
    try {
      if (offset + sealedBytes > whole.byteLength) throw damaged(request.what, 'it ends too early');
      const sealed = whole.subarray(offset, offset + sealedBytes);
      using block = new OpenedBlock({ secret: request.secret, number, sealed, what: request.what });
      let at = 0;
      for (; chunk < end; chunk++) {
        const sizeBytes = must(request.sizes[chunk], 'every chunk has a size');
        if (!isChunk(chunk, block.bytes.subarray(at, at + sizeBytes))) bad.push(chunk);
        at += sizeBytes;
        checkedBytes += sizeBytes;
      }
      if (at !== block.bytes.byteLength) message ??= `${request.what} is damaged: a block holds more than its chunks`;
    } catch (error) {
      if (!isDamage(error) || !(error instanceof Error)) throw error;
      message ??= error.message;
      for (; chunk < end; chunk++) bad.push(chunk);
    }
    offset += sealedBytes;
  }
  return { bad, bytes: checkedBytes, message };
}

function createChunkCheck(request: CheckPackRequest): (chunk: number, bytes: Uint8Array) => boolean {
  const identifyContent = createIdentify(request.chunkKey);
  const identifyNode = createIdentify(request.nodeKey);
  return (chunk, bytes) => {
    const identify = request.kinds[chunk] === 1 ? identifyNode : identifyContent;
    const id = request.ids.subarray(chunk * ID_BYTES, (chunk + 1) * ID_BYTES);
    return bytes.byteLength === request.sizes[chunk] && equalBytes(identify(bytes), id);
  };
}
