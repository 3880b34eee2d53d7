import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isTidemarkError } from '../../core/errors.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { derive, seal } from './crypto.ts';
import { INDEX_RECORD_BYTES, openIndexObject, readReplaces, recordField, sealIndexObject } from './index-object.ts';
import type { IndexObject } from './index-object.ts';

const idKey = new Uint8Array(32).fill(7);
const salt = new Uint8Array(16).fill(9);

function objectOf(seed: number, packs: number, records: number, replaces: number): IndexObject {
  const random = createSeededRandom(seed);
  const all = Array.from({ length: records }, () => {
    const record = Buffer.alloc(INDEX_RECORD_BYTES);
    record.set(random.bytes(32));
    record.writeUInt32LE(random.integer(packs), recordField.pack);
    record.writeUInt32LE(104 + random.integer(1000), recordField.blockOffset);
    record.writeUInt32LE(21 + random.integer(1000), recordField.blockBytes);
    record.writeUInt32LE(random.integer(1000), recordField.offset);
    record.writeUInt32LE(random.integer(1000), recordField.sizeBytes);
    return record;
  });
  return {
    packs: random.bytes(packs * 32),
    records: Buffer.concat(all.toSorted((left, right) => left.compare(right, 0, 32, 0, 32))),
    replaces: Array.from({ length: replaces }, (_, number) => ({
      session: Buffer.from(random.bytes(16)).toString('hex'),
      number,
    })),
  };
}

function open(bytes: Uint8Array, key = idKey): IndexObject {
  return openIndexObject({ bytes, idKey: key, what: 'it' });
}

/** An object with any body at all, sealed as a writer would. */
function sealBody(packs: number, records: number, body: Uint8Array): Uint8Array {
  const header = Buffer.alloc(28);
  header.write('TMIX');
  header.set(salt, 8);
  const counts = Buffer.alloc(8);
  counts.writeUInt32LE(packs, 0);
  counts.writeUInt32LE(records, 4);
  const key = derive(idKey, salt, 'tidemark index', 32);
  return Buffer.concat([header, seal({ key, aad: header, plain: Buffer.concat([counts, body]) })]);
}

const damage = (error: unknown): boolean => isTidemarkError(error, 'REPOSITORY_DAMAGED');

test('an index object opens to what was sealed', () => {
  const sizes = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 9 }), fc.nat(40), fc.nat(5));
  fc.assert(
    fc.property(sizes, ([seed, packs, records, replaces]) => {
      const object = objectOf(seed, packs, records, replaces);
      const bytes = Buffer.concat(sealIndexObject(object, idKey, salt));
      const opened = open(bytes);
      assert.deepEqual(Buffer.from(opened.packs), Buffer.from(object.packs));
      assert.deepEqual(Buffer.from(opened.records), Buffer.from(object.records));
      assert.deepEqual(opened.replaces, object.replaces);
      assert.deepEqual(readReplaces(bytes, 'it'), object.replaces);
    }),
  );
});

test('any changed byte, any length and another key are refused', () => {
  const bytes = Buffer.concat(sealIndexObject(objectOf(1, 2, 5, 2), idKey, salt));
  for (let at = 0; at < bytes.byteLength; at += 1) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(at) ^ 0x10, at);
    assert.throws(() => open(changed), damage, `byte ${at}`);
    assert.throws(() => open(bytes.subarray(0, at)), damage, `length ${at}`);
  }
  assert.throws(() => open(Buffer.concat([bytes, Buffer.alloc(1)])), damage);
  assert.throws(() => open(bytes, new Uint8Array(32)), damage);
});

test('a sealed body whose numbers lead outside of anything is refused', () => {
  const { packs, records } = objectOf(2, 2, 3, 0);
  assert.equal(open(sealBody(2, 3, Buffer.concat([packs, records]))).records.byteLength, 3 * INDEX_RECORD_BYTES);
  const withField = (field: number, value: number): Uint8Array => {
    const changed = Buffer.from(records);
    changed.writeUInt32LE(value, INDEX_RECORD_BYTES + field);
    return sealBody(2, 3, Buffer.concat([packs, changed]));
  };
  const reversed = Buffer.concat([
    records.subarray(2 * INDEX_RECORD_BYTES),
    records.subarray(0, 2 * INDEX_RECORD_BYTES),
  ]);
  const refused: Readonly<Record<string, Uint8Array>> = {
    'a pack that is not there': withField(recordField.pack, 2),
    'a block in the header': withField(recordField.blockOffset, 103),
    'a block without content': withField(recordField.blockBytes, 20),
    'a block beyond the largest pack': withField(recordField.blockBytes, 128 * 1024 * 1024),
    'a chunk beyond the largest block': withField(recordField.sizeBytes, 16 * 1024 * 1024 + 1),
    'numbers whose sum overflows 32 bits': withField(recordField.offset, 0xffffffff),
    'descending ids': sealBody(2, 3, Buffer.concat([packs, reversed])),
    'more records than bytes': sealBody(2, 4, Buffer.concat([packs, records])),
    'more bytes than records': sealBody(2, 2, Buffer.concat([packs, records])),
    'too many records': sealBody(0, 262_145, Buffer.alloc(262_145 * INDEX_RECORD_BYTES)),
    'no counts': sealBody(0, 0, new Uint8Array(0)).subarray(0, 40),
  };
  for (const [what, bytes] of Object.entries(refused)) assert.throws(() => open(bytes), damage, what);
});

test('the same id may have several places', () => {
  const { packs, records } = objectOf(3, 2, 1, 0);
  const twice = Buffer.concat([records, records]);
  assert.equal(open(sealBody(2, 2, Buffer.concat([packs, twice]))).records.byteLength, 2 * INDEX_RECORD_BYTES);
});

test('the number of replaced objects can not make a reader allocate more than it was given', () => {
  const bytes = Buffer.concat(sealIndexObject(objectOf(4, 1, 1, 0), idKey, salt));
  bytes.writeUInt32LE(0xffffffff, 24);
  assert.throws(() => readReplaces(bytes, 'it'), damage);
});
