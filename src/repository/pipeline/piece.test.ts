import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { packPieces, unpackPieces } from './packed-pieces.ts';
import { extentsOf } from './piece.ts';
import type { Piece } from './piece.ts';

const place = fc.nat(2 ** 48);
const cut = fc.constantFrom('stream' as const, 'pages' as const);
/** What 64 bits of seconds hold. */
const time = fc.bigInt({ min: -(2n ** 63n) * 1_000_000_000n, max: 2n ** 63n * 1_000_000_000n - 1n });
const signed64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

const pieces: fc.Arbitrary<Piece> = fc.oneof(
  fc.record({ cut, offset: place, sizeBytes: place, final: fc.boolean(), file: fc.constant(undefined) }),
  fc.record({
    cut,
    offset: place,
    sizeBytes: place,
    final: fc.boolean(),
    file: fc.record({
      path: fc.uint8Array(),
      state: fc.record({ sizeBytes: place, mtimeNs: time, ctimeNs: time, inode: signed64 }),
      tolerant: fc.boolean(),
      padded: fc.boolean(),
      runs: fc.array(fc.record({ offset: place, sizeBytes: place }), { maxLength: 5 }),
    }),
  }),
);

test('pieces are the same after they were packed', () => {
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 20 }), (list) => {
      assert.deepEqual(unpackPieces(structuredClone(packPieces(list))), structuredClone(list));
    }),
  );
});

test('an inode above the signed range keeps its bits', () => {
  const state = { sizeBytes: 0, mtimeNs: 0n, ctimeNs: 0n, inode: 2n ** 64n - 1n };
  const file = { path: new Uint8Array(), state, tolerant: false, padded: false, runs: [] };
  const [piece] = unpackPieces(packPieces([{ cut: 'stream', offset: 0, sizeBytes: 0, final: true, file }]));
  assert.equal(BigInt.asUintN(64, piece?.file?.state.inode ?? 0n), state.inode);
});

test('a slice of extents is where these bytes of the content lie', () => {
  const extents = fc.array(fc.tuple(fc.nat(50), fc.nat(20)), { maxLength: 12 }).map((list) => {
    let at = 0;
    return list.map(([gap, sizeBytes]) => {
      const extent = { offset: at + gap, sizeBytes };
      at += gap + sizeBytes;
      return extent;
    });
  });
  fc.assert(
    fc.property(extents, fc.nat(100), fc.nat(100), (list, from, count) => {
      const runs = extentsOf(list);
      const all = offsetsOf(list);
      assert.equal(runs.totalBytes, all.length);
      const start = Math.min(from, all.length);
      const sizeBytes = Math.min(count, all.length - start);
      const slice = runs.slice(start, sizeBytes);
      assert.deepEqual(offsetsOf(slice), all.slice(start, start + sizeBytes));
      assert.ok(slice.every((run) => run.sizeBytes > 0));
    }),
  );
});

function offsetsOf(extents: readonly { offset: number; sizeBytes: number }[]): number[] {
  return extents.flatMap(({ offset, sizeBytes }) => Array.from({ length: sizeBytes }, (_, index) => offset + index));
}
