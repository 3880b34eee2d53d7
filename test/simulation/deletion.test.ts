import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSchedule } from './schedule.ts';
import { createTemplate } from './template.ts';

/** Seeds are the schedules: a failing one is run again by its number. */
const SCHEDULES = process.env['TIDEMARK_TEST_LEVEL'] === 'full' ? 3000 : 300;

test(`${SCHEDULES} schedules of writers, sweeps and pins with faults: nothing needed goes, and garbage is gone in the end`, async () => {
  const template = await createTemplate();
  const totals = { marks: 0, deleted: 0 };
  for (let seed = 0; seed < SCHEDULES; seed += 1) {
    const { violations, marks, deleted } = await runSchedule(seed, template);
    assert.deepEqual(violations, [], `schedule ${seed}`);
    totals.marks += marks;
    totals.deleted += deleted;
  }
  // Schedules in which nothing is committed or deleted would prove nothing.
  assert.ok(totals.marks > SCHEDULES && totals.deleted > SCHEDULES, JSON.stringify(totals));
});
