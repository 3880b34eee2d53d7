import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogPiece } from '../../../core/recorder.ts';
import type { CommitTime } from '../wal/commit-times.ts';
import { PieceCutter } from './pieces.ts';
import type { Received } from './pieces.ts';
import { WalHistory } from './wal-history.ts';

const SEGMENT = 0x1000000n;
const START = 3n * SEGMENT;
const LEAST_MS = 1_000;

function history(): WalHistory {
  const timelines = { current: 1, left: [] };
  return new WalHistory({ lineage: { id: 'l' }, shape: { segmentBytes: SEGMENT, pageBytes: 8192n }, timelines });
}

function run(
  start: number,
  sizeBytes: number,
  commits: readonly (readonly [number, number])[],
  allAtMs?: number,
): Received {
  const times = commits.map(([end, atMs]): CommitTime => ({ end: START + BigInt(end), atMs }));
  return { start: START + BigInt(start), bytes: Buffer.alloc(sizeBytes), commits: times, allAtMs };
}

/** Where each piece ends, and its time. */
function endsOf(pieces: readonly LogPiece[]): readonly (readonly [number, number])[] {
  return pieces.map(({ commit }) => [Number(BigInt(commit?.position.order ?? 0) - START), commit?.atMs ?? 0]);
}

test('what was committed at other times is in other pieces, however it came', () => {
  const cutter = new PieceCutter(history(), START, LEAST_MS);
  const first = cutter.cut([
    run(0, 400, [
      [100, 5_000],
      [200, 5_100],
      [300, 9_000],
    ]),
    run(400, 600, [
      [500, 9_050],
      [700, 20_000],
    ]),
  ]);
  assert.deepEqual(endsOf(first), [
    [200, 5_100],
    [500, 9_050],
    [1_000, 20_000],
  ]);
  assert.deepEqual(endsOf(cutter.cut([run(1_000, 10, [])])), [[1_010, 20_000]]);
  assert.deepEqual(endsOf(cutter.cut([run(1_010, 10, [], 30_000)])), [[1_020, 30_000]]);
});

test('a piece has no time before that of what is known already', () => {
  const cutter = new PieceCutter(history(), START + 50n, LEAST_MS);
  assert.deepEqual(endsOf(cutter.cut([run(0, 40, [[30, 400]])])), []);
  assert.deepEqual(endsOf(cutter.cut([run(40, 60, [])])), [[100, LEAST_MS]]);
  assert.deepEqual(
    endsOf(
      cutter.cut([
        run(100, 100, [
          [120, 500],
          [150, 700],
        ]),
      ]),
    ),
    [[200, LEAST_MS]],
  );
});

test('pieces are short, and end where a segment does', () => {
  const cutter = new PieceCutter(history(), START, LEAST_MS);
  const size = 100_000;
  const runs = Array.from({ length: 170 }, (_, index) => run(index * size, size, []));
  const ends = cutter.cut(runs).map(({ commit }) => BigInt(commit?.position.order ?? 0));
  assert.ok(ends.includes(START + SEGMENT));
  assert.equal(ends.at(-1), START + BigInt(170 * size));
  ends.reduce((before, end) => {
    assert.ok(before < end && end - before <= 256n * 1024n);
    return end;
  }, START);
});
