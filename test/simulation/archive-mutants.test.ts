import assert from 'node:assert/strict';
import process from 'node:process';
import { after, test } from 'node:test';
import { archiveMutants } from './archive-mutants.ts';
import { archiveScenarios, playArchiveScenario } from './archive-scenarios.ts';
import { runArchiveSchedule } from './archive-schedule.ts';
import { createArchiveTemplate } from './archive-world.ts';

const SCHEDULES = 400;
const template = await createArchiveTemplate();
const table: string[] = [];

for (const scenario of archiveScenarios) {
  test(`what was called durable restores when ${scenario.name}`, async () => {
    assert.deepEqual(await playArchiveScenario(scenario, template), []);
  });
}

for (const { name, protocol } of archiveMutants) {
  test(`it is noticed when ${name}`, async () => {
    for (const scenario of archiveScenarios) {
      const [violation] = await playArchiveScenario(scenario, template, protocol);
      if (violation === undefined) continue;
      table.push(`${name} | when ${scenario.name} | ${violation.split('\n')[0]}`);
      return;
    }
    for (let seed = 0; seed < SCHEDULES; seed += 1) {
      const [violation] = (await runArchiveSchedule(seed, template, protocol)).violations;
      if (violation === undefined) continue;
      table.push(`${name} | schedule ${seed} | ${violation.split('\n')[0]}`);
      return;
    }
    assert.fail(`${SCHEDULES} schedules do not notice it`);
  });
}

after(() => {
  process.stdout.write(`${['what is done otherwise | noticed', ...table].join('\n')}\n`);
});
