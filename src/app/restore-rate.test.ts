import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PastRun } from '../repository/runs.ts';
import { estimateMs } from './restore-rate.ts';

const MIB = 1024 * 1024;

function restored(bytes: number, durationMs: number, more: Partial<PastRun> = {}): PastRun {
  const summary = { stores: [{ store: 'a', bytes, entries: 1 }] };
  return { key: 'k', command: 'restore', startedAtMs: 0, durationMs, outcome: 'done', summary, ...more };
}

test('an estimate goes by what the newest restores have written in their time', () => {
  const summary = { stores: [{ bytes: 6 * MIB, reusedBytes: 4 * MIB }, { bytes: 2 * MIB }] };
  assert.equal(estimateMs([restored(0, 2_000, { summary }), restored(4 * MIB, 4_000)], 8 * MIB), 6_000);
  const many = [...Array.from({ length: 5 }, () => restored(10 * MIB, 1_000)), restored(10 * MIB, 100_000)];
  assert.equal(estimateMs(many, 20 * MIB), 2_000);
});

test('no more runs are looked at than an estimate takes', () => {
  let asked = 0;
  function* endless(): Generator<PastRun> {
    for (;;) {
      asked += 1;
      yield restored(10 * MIB, 1_000, { command: asked % 2 === 0 ? 'restore' : 'sweep' });
    }
  }
  assert.equal(estimateMs(endless(), 10 * MIB), 1_000);
  assert.equal(asked, 10);
});

test('without a restore that tells anything there is no estimate', () => {
  const runs = [
    restored(100 * MIB, 5),
    restored(5, 100_000),
    restored(100 * MIB, 2_000, { outcome: 'failed' }),
    restored(100 * MIB, 2_000, { command: 'verify' }),
    restored(100 * MIB, 2_000, { summary: { stores: 'none' } }),
    restored(100 * MIB, 2_000, { summary: undefined }),
  ];
  assert.equal(estimateMs(runs, MIB), undefined);
});
