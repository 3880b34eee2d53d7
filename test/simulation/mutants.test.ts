import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mutants } from './mutants.ts';
import { runSchedule } from './schedule.ts';
import { createTemplate } from './template.ts';

/** A mutant that survives so many schedules would survive them all. */
const MOST_SCHEDULES = 400;

for (const { name, protocol } of mutants) {
  test(`noticed: ${name}`, async () => {
    const template = await createTemplate();
    for (let seed = 0; seed < MOST_SCHEDULES; seed += 1) {
      const { violations } = await runSchedule(seed, template, protocol);
      if (violations.length > 0) return;
    }
    assert.fail(`${MOST_SCHEDULES} schedules did not notice it`);
  });
}
