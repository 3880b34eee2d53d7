import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { isTidemarkError } from '../../core/errors.ts';
import { BLOCK_HEADER_BYTES, encodeBlock, encodeBlockWithin, MAX_PLAIN_BYTES, openBlock } from './block.ts';
import { compress } from './compress.ts';

const ENCODING_STORED = 0;
const ENCODING_ZSTD = 1;

function incompressible(sizeBytes: number): Buffer {
  const digests: Buffer[] = [];
  for (let index = 0; index * 32 < sizeBytes; index += 1) {
    digests.push(createHash('sha256').update(`${index}`).digest());
  }
  return Buffer.concat(digests).subarray(0, sizeBytes);
}

function block(encoding: number, plainBytes: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(BLOCK_HEADER_BYTES);
  header.writeUInt8(encoding, 0);
  header.writeUInt32LE(plainBytes, 1);
  return Buffer.concat([header, payload]);
}

test('a block opens to its chunks, one after another', () => {
  const chunk = fc.oneof(
    fc.uint8Array({ maxLength: 3000 }),
    fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.nat(2000)).map(([unit, count]) => {
      return new Uint8Array(unit.byteLength * count).map((_, index) => unit[index % unit.byteLength] ?? 0);
    }),
  );
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 6 }), (chunks) => {
      const all = Buffer.concat(chunks);
      const { plain, plainBytes } = encodeBlock(chunks);
      assert.equal(plainBytes, all.byteLength);
      assert.ok(plain.byteLength <= BLOCK_HEADER_BYTES + all.byteLength);
      assert.deepEqual(Buffer.from(openBlock(plain)), all);
    }),
  );
});

test('what does not compress is stored as it is, what does is not', () => {
  for (const sizeBytes of [100, 100_000, 400_000, 1_500_000]) {
    assert.equal(encodeBlock([incompressible(sizeBytes)]).plain[0], ENCODING_STORED);
    assert.equal(encodeBlock([Buffer.alloc(sizeBytes, 'text of some kind ')]).plain[0], ENCODING_ZSTD);
  }
});

test('a compressible part of a large block is found by its samples', () => {
  const mixed = incompressible(1_000_000);
  mixed.fill('text of some kind ', 600_000);
  assert.equal(encodeBlock([mixed]).plain[0], ENCODING_ZSTD);
  const repeated = Buffer.concat([incompressible(4096), incompressible(4096)]);
  const evenButPatterned = Buffer.concat(Array.from({ length: 100 }, () => repeated));
  assert.equal(encodeBlock([evenButPatterned]).plain[0], ENCODING_ZSTD);
});

test('blocks are written over the bytes that they were made of', () => {
  const parts = [Buffer.alloc(5000, 'abc'), incompressible(5000), incompressible(300), Buffer.alloc(800, 'x')];
  const target = Buffer.concat([Buffer.alloc(parts.length * BLOCK_HEADER_BYTES), ...parts]);
  let start = parts.length * BLOCK_HEADER_BYTES;
  let offset = 0;
  const places = parts.map((part) => {
    const end = start + part.byteLength;
    const size = encodeBlockWithin({ target, offset }, start, end, compress(target.subarray(start, end)));
    const place = { offset, size };
    offset += size;
    start = end;
    return place;
  });
  for (const [index, place] of places.entries()) {
    const opened = openBlock(target.subarray(place.offset, place.offset + place.size));
    assert.deepEqual(Buffer.from(opened), parts[index]);
  }
});

const text = Buffer.alloc(1000, 'some text ');
const frame = zstdCompressSync(text);
const damagedBlocks: readonly (readonly [what: string, plain: Uint8Array])[] = [
  ['is empty', Buffer.alloc(0)],
  ['ends in its header', block(ENCODING_STORED, 0, Buffer.alloc(0)).subarray(0, 4)],
  ['has an unknown encoding', block(2, 1000, text)],
  ['is stored and shorter than it says', block(ENCODING_STORED, 1001, text)],
  ['is stored and longer than it says', block(ENCODING_STORED, 999, text)],
  ['opens to less than it says', block(ENCODING_ZSTD, 1001, frame)],
  ['opens to more than it says', block(ENCODING_ZSTD, 999, frame)],
  ['opens to something though it says nothing', block(ENCODING_ZSTD, 0, frame)],
  ['claims more than a block may have', block(ENCODING_ZSTD, MAX_PLAIN_BYTES + 1, frame)],
  ['has a truncated frame', block(ENCODING_ZSTD, 1000, frame.subarray(0, -1))],
  ['has no frame', block(ENCODING_ZSTD, 1000, text)],
  ['has no payload', block(ENCODING_ZSTD, 1000, Buffer.alloc(0))],
  ['has a second frame', block(ENCODING_ZSTD, 1000, Buffer.concat([frame, frame]))],
  ['has an empty second frame', block(ENCODING_ZSTD, 1000, Buffer.concat([frame, zstdCompressSync(Buffer.alloc(0))]))],
  ['has a byte after its frame', block(ENCODING_ZSTD, 1000, Buffer.concat([frame, Buffer.alloc(1)]))],
  ['has two frames that together have the size', block(ENCODING_ZSTD, 2000, Buffer.concat([frame, frame]))],
];

for (const [what, plain] of damagedBlocks) {
  test(`a block that ${what} is damaged`, () => {
    assert.throws(
      () => openBlock(plain),
      (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
    );
  });
}

test('a block that another writer made opens too', () => {
  assert.deepEqual(Buffer.from(openBlock(block(ENCODING_ZSTD, 1000, frame))), text);
  assert.deepEqual(Buffer.from(openBlock(block(ENCODING_ZSTD, 0, zstdCompressSync(Buffer.alloc(0))))), Buffer.alloc(0));
  assert.deepEqual(Buffer.from(openBlock(block(ENCODING_STORED, 0, Buffer.alloc(0)))), Buffer.alloc(0));
});
