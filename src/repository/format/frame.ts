import { compress } from '../pipeline/compress.ts';
import { openFrame } from '../pipeline/open-frame.ts';
import type { OpenedFrame } from '../pipeline/open-frame.ts';
import { release } from '../../core/bytes.ts';
import { ByteBuilder } from './byte-builder.ts';
import { ByteCursor, damaged } from './byte-cursor.ts';
import { BOX_OVERHEAD_BYTES, openableBy, openBox } from './crypto.ts';
import type { KeyPair } from './crypto.ts';

/** What a frame belongs to: `repository` and `credential` as 16 bytes. */
export type FrameOwner = {
  readonly repository: Uint8Array;
  readonly credential: Uint8Array;
  readonly history: string;
};

/** The most that a frame's payload may be. */
export const MAX_PAYLOAD_BYTES = 128 * 1024 * 1024;
/** The most that the frames of a segment may be together. */
export const MAX_BODY_BYTES = 256 * 1024 * 1024;
const MAX_SEALED_BYTES = MAX_PAYLOAD_BYTES + 64 * 1024;
const INFO = 'frame';
/** Below that there is nothing to gain. */
const COMPRESSED_FROM_BYTES = 64;

function aadOf({ repository, credential, history }: FrameOwner): Uint8Array {
  return Buffer.concat([Buffer.from('tidemark frame'), repository, credential, Buffer.from(history)]);
}

/** A payload sealed for readers. Frames of one history one after another are a body. `ephemeralSeed`: 32 fresh random bytes. */
export function writeFrame(options: {
  payload: Uint8Array;
  owner: FrameOwner;
  contentKey: Uint8Array;
  ephemeralSeed: Uint8Array;
}): Uint8Array {
  const { payload, owner, contentKey, ephemeralSeed } = options;
  const packed = payload.byteLength < COMPRESSED_FROM_BYTES ? undefined : compress(payload);
  const head = new ByteBuilder(8)
    .u8(packed === undefined ? 0 : 1)
    .u32(payload.byteLength)
    .take();
  const stored = packed ?? payload;
  const before = new ByteBuilder(4).u32(head.byteLength + stored.byteLength + BOX_OVERHEAD_BYTES).take();
  const box = { publicKey: contentKey, info: INFO, aad: aadOf(owner), plain: [head, stored], ephemeralSeed };
  const frame = openableBy({ ...box, before });
  if (packed !== undefined) release(packed);
  return frame;
}

/** The payloads of a body's frames, in order, opened while they are pulled. @throws REPOSITORY_DAMAGED */
export function* readFrames(
  body: Uint8Array,
  options: { readonly owner: FrameOwner; readonly pair: KeyPair; readonly what: string },
): Generator<Uint8Array> {
  const { owner, pair, what } = options;
  const cursor = new ByteCursor(body, what);
  const aad = aadOf(owner);
  while (cursor.remaining > 0) {
    const sealedBytes = cursor.u32();
    if (sealedBytes > MAX_SEALED_BYTES || sealedBytes < BOX_OVERHEAD_BYTES) cursor.fail('a frame has no possible size');
    yield payloadOf(openBox({ pair, info: INFO, aad, box: cursor.bytes(sealedBytes), what }), what);
  }
}

function payloadOf(plain: Uint8Array, what: string): Uint8Array {
  const cursor = new ByteCursor(plain, what);
  const encoding = cursor.u8();
  const payloadBytes = cursor.u32();
  if (payloadBytes > MAX_PAYLOAD_BYTES) cursor.fail('a frame in it is too large');
  const stored = cursor.bytes(cursor.remaining);
  if (encoding > 1) cursor.fail('a frame in it is encoded as none is');
  const payload = encoding === 0 ? stored : unpack(stored, payloadBytes, what);
  if (payload.byteLength !== payloadBytes) cursor.fail('a frame in it is not as long as it says');
  return payload;
}

function unpack(packed: Uint8Array, payloadBytes: number, what: string): Uint8Array {
  const { bytes, isWhole } = opened(packed, payloadBytes, what);
  if (!isWhole) throw damaged(what, 'something comes after what a frame in it holds');
  return bytes;
}

function opened(packed: Uint8Array, payloadBytes: number, what: string): OpenedFrame {
  try {
    return openFrame(packed, payloadBytes);
  } catch (cause) {
    throw damaged(what, 'a frame in it can’t be unpacked', cause);
  }
}
