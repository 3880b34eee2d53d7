import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { comparePositions, isOrder, isSamePlace, isWithin, orderOf } from './position.ts';
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

test('an order is the digits of a count, and nothing else is one', () => {
  fc.assert(fc.property(counts, (count) => isOrder(orderOf(count)) && isOrder(String(count))));
  for (const text of ['', 'x', '1x', ' 1', '-1', '1.0', '0x1', '1n', '१', '18446744073709551616', '1'.repeat(21)]) {
    assert.ok(!isOrder(text), text);
  }
});

test('one order with another token, or in another lineage, is another place', () => {
  const place = positionAt(3n);
  assert.ok(isSamePlace(place, { ...place }));
  assert.ok(!isSamePlace(place, { ...place, resume: 'other' }));
  assert.ok(!isSamePlace(place, positionAt(3n, 'other')));
});

test('within a stretch is what lies between its ends, and its ends themselves', () => {
  const stretch = { after: positionAt(3n), upTo: positionAt(6n) };
  const within = [2n, 3n, 4n, 6n, 7n].map((count) => isWithin(stretch, positionAt(count)));
  assert.deepEqual(within, [false, true, true, true, false]);
  for (const count of [3n, 6n]) assert.ok(!isWithin(stretch, { ...positionAt(count), resume: 'other' }));
  assert.ok(!isWithin(stretch, positionAt(4n, 'other')));
});
