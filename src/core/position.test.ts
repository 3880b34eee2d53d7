import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { comparePositions, orderOf } from './position.ts';
import type { Position } from './position.ts';

const counts = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

function positionAt(count: bigint, lineage = 'l'): Position {
  return { lineage, order: orderOf(count), resume: '' };
}

test('positions of one lineage are ordered as what they count', () => {
  fc.assert(
    fc.property(counts, counts, (left, right) => {
      const expected = left === right ? 0 : left < right ? -1 : 1;
      assert.equal(comparePositions(positionAt(left), positionAt(right)), expected);
      assert.equal(orderOf(left) < orderOf(right), left < right);
      assert.equal(BigInt(orderOf(left)), left);
    }),
  );
});

test('positions of two lineages can’t be compared', () => {
  assert.equal(comparePositions(positionAt(1n), positionAt(1n, 'other')), undefined);
});

test('what is no count has no order', () => {
  for (const count of [-1, -1n, 2n ** 64n]) assert.throws(() => orderOf(count), RangeError);
  assert.throws(() => orderOf(0.5), RangeError);
});
