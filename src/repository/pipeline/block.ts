import { moveBytes } from '../../core/bytes.ts';
import { TidemarkError } from '../../core/errors.ts';
import { compress } from './compress.ts';
import { openFrame } from './open-frame.ts';
import type { OpenedFrame } from './open-frame.ts';

/** The plain of a block: `encoding u8 || plainBytes u32 || payload`. */
export const BLOCK_HEADER_BYTES = 5;
export const MAX_PLAIN_BYTES = 16 * 1024 * 1024;
const STORED = 0;
const ZSTD = 1;

/** Builds a block in memory of its own. */
export function encodeBlock(chunks: readonly Uint8Array[]): { plain: Uint8Array<ArrayBuffer>; plainBytes: number } {
  const plainBytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  const stored = new Uint8Array(BLOCK_HEADER_BYTES + plainBytes);
  let at = BLOCK_HEADER_BYTES;
  for (const chunk of chunks) {
    stored.set(chunk, at);
    at += chunk.byteLength;
  }
  const frame = compress(stored.subarray(BLOCK_HEADER_BYTES));
  if (frame !== undefined) stored.set(frame, BLOCK_HEADER_BYTES);
  writeHeader(stored, frame === undefined ? STORED : ZSTD, plainBytes);
  return { plain: frame === undefined ? stored : stored.slice(0, BLOCK_HEADER_BYTES + frame.byteLength), plainBytes };
}

export type BlockPlace = { readonly target: Uint8Array; readonly offset: number };

/**
 * Writes the block that holds `target[start, end)` to `target` from `offset` on, and returns its size. Only bytes
 * before `end` are written, given that `offset + BLOCK_HEADER_BYTES <= start`.
 */
export function encodeBlockWithin(
  place: BlockPlace,
  start: number,
  end: number,
  frame: Uint8Array | undefined,
): number {
  const { target, offset } = place;
  writeHeader(target.subarray(offset), frame === undefined ? STORED : ZSTD, end - start);
  const payload = frame ?? target.subarray(start, end);
  moveBytes(payload, target.subarray(offset + BLOCK_HEADER_BYTES));
  return BLOCK_HEADER_BYTES + payload.byteLength;
}

function writeHeader(target: Uint8Array, encoding: number, plainBytes: number): void {
  const view = new DataView(target.buffer, target.byteOffset, BLOCK_HEADER_BYTES);
  view.setUint8(0, encoding);
  view.setUint32(1, plainBytes, true);
}

/**
 * The chunks of a block, one after another: a part of `plain` where it is stored as it is, else memory of its own.
 * @throws REPOSITORY_DAMAGED when it is not exactly one block
 */
export function openBlock(plain: Uint8Array): Uint8Array {
  if (plain.byteLength < BLOCK_HEADER_BYTES) throw damaged('it is shorter than its header');
  const view = new DataView(plain.buffer, plain.byteOffset, BLOCK_HEADER_BYTES);
  const plainBytes = view.getUint32(1, true);
  if (plainBytes > MAX_PLAIN_BYTES) throw damaged(`it claims ${plainBytes} bytes`);
  const payload = plain.subarray(BLOCK_HEADER_BYTES);
  switch (view.getUint8(0)) {
    case STORED:
      return exactly(payload, plainBytes);
    case ZSTD:
      return decompress(payload, plainBytes);
    default:
      throw damaged(`its encoding ${view.getUint8(0)} is unknown`);
  }
}

function decompress(payload: Uint8Array, plainBytes: number): Uint8Array {
  const { bytes, isWhole } = unpack(payload, plainBytes);
  if (!isWhole) throw damaged('something comes after its frame');
  return exactly(bytes, plainBytes);
}

function exactly(chunks: Uint8Array, plainBytes: number): Uint8Array {
  if (chunks.byteLength === plainBytes) return chunks;
  throw damaged(`it holds ${chunks.byteLength} bytes instead of ${plainBytes}`);
}

function unpack(payload: Uint8Array, plainBytes: number): OpenedFrame {
  try {
    return openFrame(payload, plainBytes);
  } catch (error) {
    throw damaged('its frame can’t be decompressed', error);
  }
}

function damaged(reason: string, cause?: unknown): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', `a block can’t be opened: ${reason}`, { cause });
}
