import assert from 'node:assert/strict';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { isTidemarkError } from '../../core/errors.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { ByteBuilder } from './byte-builder.ts';
import { boxPair, openableBy } from './crypto.ts';
import { readFrames, writeFrame } from './frame.ts';
import type { FrameOwner } from './frame.ts';

const random = createSeededRandom('frames');
const pair = boxPair(random.bytes(32));
const owner: FrameOwner = { repository: random.bytes(16), credential: random.bytes(16), history: 'orders' };

function frame(payload: Uint8Array, of = owner): Buffer {
  return Buffer.from(writeFrame({ payload, owner: of, contentKey: pair.publicKey, ephemeralSeed: random.bytes(32) }));
}

function opened(body: Uint8Array, of = owner): readonly string[] {
  return [...readFrames(body, { owner: of, pair, what: 'a body' })].map((bytes) => Buffer.from(bytes).toString());
}

function damagedBody(body: Uint8Array, of = owner): void {
  assert.throws(
    () => opened(body, of),
    (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
  );
}

/** A frame of what nobody would write. */
function odd(plain: Uint8Array): Uint8Array {
  const aad = Buffer.concat([Buffer.from('tidemark frame'), owner.repository, owner.credential, Buffer.from('orders')]);
  const sealed = openableBy({
    publicKey: pair.publicKey,
    info: 'frame',
    aad,
    plain: [plain],
    ephemeralSeed: random.bytes(32),
  });
  return new ByteBuilder(64).u32(sealed.byteLength).bytes(sealed).take();
}

test('frames in a row give their payloads in that order, empty, small, and packed ones', () => {
  const payloads = ['', 'small', 'alike '.repeat(1000), Buffer.from(random.bytes(300)).toString('base64')];
  const body = Buffer.concat(payloads.map((text) => frame(Buffer.from(text))));
  assert.ok(body.byteLength < 1200);
  assert.deepEqual(opened(body), payloads);
  assert.deepEqual(opened(Buffer.alloc(0)), []);
});

test('a frame opens only as part of the history, writer and repository that it was sealed for', () => {
  const body = frame(Buffer.from('x'));
  damagedBody(body, { ...owner, history: 'other' });
  damagedBody(body, { ...owner, credential: random.bytes(16) });
  damagedBody(body, { ...owner, repository: random.bytes(16) });
});

test('any changed or missing byte is damage', () => {
  const body = frame(Buffer.from('a payload'));
  for (let at = 0; at < body.byteLength; at++) {
    const changed = Buffer.from(body);
    changed[at] = (changed[at] ?? 0) ^ 0x10;
    damagedBody(changed);
    if (at > 0) damagedBody(body.subarray(0, at));
  }
});

test('a frame that is encoded as none is, is not as long as it says, or unpacks to more is damage', () => {
  damagedBody(odd(Buffer.from([2, 1, 0, 0, 0, 7])));
  damagedBody(odd(Buffer.from([0, 2, 0, 0, 0, 7])));
  damagedBody(odd(Buffer.from([1, 2, 0, 0, 0, 7, 7])));
  damagedBody(odd(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])));
  damagedBody(odd(Buffer.from([0])));
});

test('a frame with anything after its first zstd frame is damage', () => {
  const half = zstdCompressSync(Buffer.alloc(100, 'a'));
  const packed = (payloadBytes: number, ...parts: readonly Uint8Array[]): Uint8Array =>
    odd(Buffer.concat([new ByteBuilder(8).u8(1).u32(payloadBytes).take(), ...parts]));
  assert.deepEqual(opened(packed(100, half)), ['a'.repeat(100)]);
  damagedBody(packed(100, half, Buffer.alloc(1)));
  damagedBody(packed(100, half, zstdCompressSync(Buffer.alloc(0))));
  damagedBody(packed(200, half, half));
});
