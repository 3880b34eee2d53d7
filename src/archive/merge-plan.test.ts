import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SegmentRecord } from '../repository/log-view.ts';
import { fakeSegment } from '../testing/fake-records.ts';
import { planMerge } from './merge-plan.ts';
import type { MergeTier } from './merge-plan.ts';

const MIB = 2 ** 20;

function groups(segments: readonly SegmentRecord[], tier: MergeTier = 'minutes'): readonly string[] {
  return planMerge(segments, tier).map((group) =>
    group.map(({ after, upTo }) => `${Number(after.order)}-${Number(upTo.order)}`).join(' '),
  );
}

test('small neighbours become one, and a single one stays as it is', () => {
  assert.deepEqual(groups([]), []);
  assert.deepEqual(groups([fakeSegment(0, 1)]), []);
  assert.deepEqual(groups([fakeSegment(0, 1), fakeSegment(1, 2), fakeSegment(2, 5)]), ['0-1 1-2 2-5']);
});

test('what spans as much as the tier stays as it is, and parts what is around it', () => {
  const long = { fromMs: 0, toMs: 4 * 60_000 };
  const segments = [0, 1, 2, 3, 4].map((at) => fakeSegment(at, at + 1, at === 2 ? long : {}));
  assert.deepEqual(groups(segments), ['0-1 1-2', '3-4 4-5']);
  assert.deepEqual(groups(segments, 'hour'), ['0-1 1-2 2-3 3-4 4-5']);
});

test('what does not follow on is not joined: a gap, an overlap, or another thing at the same place', () => {
  assert.deepEqual(groups([fakeSegment(0, 1), fakeSegment(2, 3)]), []);
  assert.deepEqual(groups([fakeSegment(0, 2), fakeSegment(1, 3)]), []);
  assert.deepEqual(groups([fakeSegment(0, 1), fakeSegment(1, 2, { afterResume: 'other' }), fakeSegment(2, 3)]), [
    '1-2 2-3',
  ]);
});

test('nothing becomes larger than can be read whole', () => {
  const of = (sizes: readonly number[]): readonly SegmentRecord[] =>
    sizes.map((size, at) => fakeSegment(at, at + 1, { storedBytes: size * MIB }));
  assert.deepEqual(groups(of([16, 16, 1, 1])), ['0-1 1-2', '2-3 3-4']);
  assert.deepEqual(groups(of([1, 32, 1, 1])), ['2-3 3-4']);
  assert.deepEqual(groups(of([20, 20, 20])), []);
});
