import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import process from 'node:process';
import { test } from 'node:test';
import { runSchedules } from './run-schedules.ts';
import type { Outcome } from './schedule.ts';

const isFull = process.env['TIDEMARK_TEST_LEVEL'] === 'full';
const only = process.env['TIDEMARK_TEST_SEED'];
const COUNT = only !== undefined ? 1 : isFull ? 10_000 : 1000;
const MOST_TOLD = 10;

test(`in ${COUNT} schedules of writers, sweeps and retention nothing that is needed goes, and garbage does`, async (t) => {
  const first = only !== undefined ? Number(only) : isFull ? randomInt(2 ** 31) : 0;
  t.diagnostic(`seeds from ${first}`);
  const totals = { schedules: 0, marks: 0, deleted: 0, calls: 0 };
  const failed: string[] = [];
  await runSchedules<Outcome>({ worker: 'schedule-worker.ts', from: first, to: first + COUNT }, ({ seed, outcome }) => {
    totals.schedules += 1;
    totals.marks += outcome.marks;
    totals.deleted += outcome.deleted;
    totals.calls += outcome.calls;
    if (outcome.violations.length === 0) return;
    const replay = `TIDEMARK_TEST_SEED=${seed} node --test test/simulation/deletion.test.ts`;
    failed.push(`${outcome.violations.join('\n    ')}\n    replay: ${replay}`);
  });
  t.diagnostic(JSON.stringify(totals));
  assert.equal(failed.length, 0, `${failed.length} schedules break it:\n${failed.slice(0, MOST_TOLD).join('\n')}`);
  // Where nothing is committed and nothing deleted, nothing is proven.
  assert.ok(totals.marks > totals.schedules && totals.deleted > totals.schedules, JSON.stringify(totals));
});
