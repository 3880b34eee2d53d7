import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BugError } from '../../core/must.ts';
import { BLOCK_HEADER_BYTES, MAX_PLAIN_BYTES } from './block.ts';
import { groupChunks, shapeOf } from './shape.ts';

const MIB = 1024 * 1024;
const shape = shapeOf({ minBytes: MIB / 4, averageBytes: MIB, maxBytes: 4 * MIB, pageBytes: 65_536 });

const chunkSizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 4 * MIB }), fc.integer({ min: 1, max: 20_000 })), {
  maxLength: 200,
});

function bytesOfBlocks(sizes: readonly number[]): number[] {
  let chunk = 0;
  return groupChunks(sizes, shape).map((count) => {
    const bytes = sizes.slice(chunk, chunk + count).reduce((sum, size) => sum + size, 0);
    chunk += count;
    return bytes;
  });
}

test('blocks hold all chunks, and none of them too much', () => {
  fc.assert(
    fc.property(chunkSizes, (sizes) => {
      const counts = groupChunks(sizes, shape);
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        sizes.length,
      );
      assert.ok(counts.every((count) => count > 0));
      assert.ok(bytesOfBlocks(sizes).every((bytes) => bytes < 4.5 * MIB && bytes <= MAX_PLAIN_BYTES));
    }),
  );
});

test('the headers of all blocks of a task fit into the reserve', () => {
  fc.assert(
    fc.property(chunkSizes, (sizes) => {
      let total = 0;
      const fitting = sizes.filter((size) => (total += size) <= shape.capacityBytes);
      assert.ok(groupChunks(fitting, shape).length * BLOCK_HEADER_BYTES <= shape.reserveBytes);
    }),
  );
});

test('small chunks are collected, large ones are a block each', () => {
  assert.deepEqual(groupChunks([], shape), []);
  assert.deepEqual(groupChunks([10], shape), [1]);
  assert.deepEqual(groupChunks([2 * MIB, MIB, 3 * MIB], shape), [1, 1, 1]);
  assert.deepEqual(
    groupChunks(
      Array.from({ length: 100 }, () => 50_000),
      shape,
    ),
    [21, 21, 21, 37],
  );
});

test('a few bytes join their neighbour, more become a block before a large chunk', () => {
  assert.deepEqual(groupChunks([1000, 2 * MIB], shape), [2]);
  assert.deepEqual(groupChunks([200_000, 2 * MIB], shape), [1, 1]);
  assert.deepEqual(groupChunks([2 * MIB, 1000], shape), [2]);
  assert.deepEqual(groupChunks([3 * MIB, 200_000], shape), [1, 1]);
  assert.deepEqual(groupChunks([MIB, 200_000], shape), [2]);
});

test('a task has room for the largest chunk and what is left before a cut', () => {
  const large = shapeOf({ minBytes: MIB, averageBytes: 4 * MIB, maxBytes: 8 * MIB, pageBytes: 65_536 });
  assert.equal(large.capacityBytes, 16 * MIB);
  assert.throws(
    () => shapeOf({ minBytes: MIB, averageBytes: 4 * MIB, maxBytes: 16 * MIB, pageBytes: 65_536 }),
    BugError,
  );
});
