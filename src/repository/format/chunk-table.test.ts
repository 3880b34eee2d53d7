import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import { ByteBuilder } from './byte-builder.ts';
import { chunkId, openChunkTable } from './chunk-table.ts';
import { boxPair, derive, seal } from './crypto.ts';
import { openDirectory, packEnd, packHeader, PACK_TRAILER_BYTES } from './pack.ts';
import type { DirectoryBlock } from './pack.ts';

const owner = { repository: new Uint8Array(16).fill(1), writer: new Uint8Array(16).fill(2) };
const secret = { owner, salt: new Uint8Array(16).fill(3), key: new Uint8Array(32).fill(4) };
const idKey = new Uint8Array(32).fill(5);
const header = packHeader(secret, boxPair(new Uint8Array(32).fill(6)).publicKey, new Uint8Array(32).fill(7));

const blocksOf = fc.array(
  fc.record({
    sealedBytes: fc.nat(4_000_000),
    chunks: fc.array(
      fc.record({
        kind: fc.constantFrom('node' as const, 'content' as const),
        id: fc.uint8Array({ minLength: 32, maxLength: 32 }),
        sizeBytes: fc.nat(4_000_000),
      }),
      { minLength: 1, maxLength: 20 },
    ),
  }),
  { maxLength: 8 },
);

const open = (sealed: Uint8Array) => openChunkTable({ sealed, header, owner, idKey, what: 'it' });

test('says the same as the directory with an object for each chunk', () => {
  fc.assert(
    fc.property(blocksOf, (blocks: readonly DirectoryBlock[]) => {
      const end = packEnd(secret, idKey, blocks);
      const sealed = end.subarray(0, end.byteLength - PACK_TRAILER_BYTES);
      const expected = openDirectory({ sealed, header, owner, idKey, what: 'it' });
      const table = open(sealed);
      assert.deepEqual(
        [...table.sealedBytes],
        expected.map(({ sealedBytes }) => sealedBytes),
      );
      assert.deepEqual(
        [...table.chunkCounts],
        expected.map(({ chunks }) => chunks.length),
      );
      const chunks = expected.flatMap((block) => block.chunks);
      assert.deepEqual(
        [table.sizes.length, table.kinds.length, table.ids.length],
        [chunks.length, chunks.length, chunks.length * 32],
      );
      for (const [at, { id, kind, sizeBytes }] of chunks.entries()) {
        assert.deepEqual(Buffer.from(chunkId(table, at)), Buffer.from(id));
        assert.deepEqual([must(table.kinds[at], 'a kind') === 1, table.sizes[at]], [kind === 'node', sizeBytes]);
      }
    }),
  );
});

test('counts and sizes that can’t be are refused before anything is made of them', () => {
  const seals = (write: (builder: ByteBuilder) => ByteBuilder): Uint8Array => {
    const aad = Buffer.concat([Buffer.from('tidemark directory'), owner.repository, owner.writer]);
    const plain = write(new ByteBuilder()).take();
    return seal({ key: derive(idKey, secret.salt, 'tidemark directory', 32), aad, plain });
  };
  const id = new Uint8Array(32);
  const wrong: readonly ((builder: ByteBuilder) => ByteBuilder)[] = [
    (builder) =>
      builder
        .varint(1)
        .varint(5)
        .varint(2 ** 40),
    (builder) =>
      builder
        .varint(1)
        .varint(2 ** 30)
        .varint(0),
    (builder) => builder.varint(1).varint(5).varint(1).u8(2).bytes(id).varint(1),
    (builder) =>
      builder
        .varint(1)
        .varint(5)
        .varint(1)
        .u8(0)
        .bytes(id)
        .varint(2 ** 33),
    (builder) => builder.varint(1).varint(5).varint(0),
    (builder) => builder.varint(2 ** 50),
    (builder) => builder.varint(0).u8(1),
  ];
  assert.equal(open(seals((builder) => builder.varint(1).varint(5).varint(1).u8(1).bytes(id).varint(9))).sizes[0], 9);
  for (const [at, write] of wrong.entries()) {
    assert.throws(
      () => open(seals(write)),
      (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
      `case ${at}`,
    );
  }
});
