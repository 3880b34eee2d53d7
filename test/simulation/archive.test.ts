import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import type { ArchiveOutcome } from './archive-schedule.ts';
import { runSchedules } from './run-schedules.ts';

const isFull = process.env['TIDEMARK_TEST_LEVEL'] === 'full';
const only = process.env['TIDEMARK_TEST_SEED'];
const COUNT = only !== undefined ? 1 : isFull ? 10_000 : 300;
const MOST_TOLD = 10;

test(`in ${COUNT} schedules of agents, merges, retention and sweeps whatever was called durable restores exactly`, async (t) => {
  const first = Number(only ?? process.env['TIDEMARK_TEST_FIRST'] ?? 0);
  t.diagnostic(`seeds from ${first}`);
  const totals: Record<string, number> = {};
  const failed: string[] = [];
  let schedules = 0;
  await runSchedules<ArchiveOutcome>(
    { worker: 'archive-worker.ts', from: first, to: first + COUNT },
    ({ seed, outcome }) => {
      schedules += 1;
      for (const [name, value] of Object.entries(outcome.totals)) {
        totals[name] = Math.round((totals[name] ?? 0) + value);
      }
      if (outcome.violations.length === 0) return;
      const replay = `TIDEMARK_TEST_SEED=${seed} node --test test/simulation/archive.test.ts`;
      failed.push(`${outcome.violations.slice(0, MOST_TOLD).join('\n    ')}\n    replay: ${replay}`);
    },
  );
  t.diagnostic(JSON.stringify({ schedules, ...totals }));
  assert.equal(failed.length, 0, `${failed.length} schedules break it:\n${failed.slice(0, MOST_TOLD).join('\n')}`);
  if (only !== undefined) return;
  // Where nothing goes wrong and nothing is merged or deleted, nothing is proven.
  const { marks = 0, restored = 0, deleted = 0, merges = 0, fences = 0, kills = 0, verified = 0 } = totals;
  const isBusy = [marks, restored, deleted, merges].every((count) => count > schedules);
  assert.ok(isBusy && kills > schedules / 4 && fences > 0 && verified > 0, JSON.stringify(totals));
});
