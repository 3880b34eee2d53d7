import assert from 'node:assert/strict';
import process from 'node:process';
import { after, test } from 'node:test';
import { mutants } from './mutants.ts';
import { playScenario, scenarios } from './scenarios.ts';
import { runSchedule } from './schedule.ts';
import { createTemplate } from './template.ts';

const SCHEDULES = 30;
const template = await createTemplate();
const table: string[] = [];

for (const scenario of scenarios) {
  test(`the protocol holds when ${scenario.name}`, async () => {
    assert.deepEqual(await playScenario(scenario, template), []);
  });
}

for (const { name, protocol } of mutants) {
  test(`it is noticed when ${name}`, async () => {
    for (const scenario of scenarios) {
      const [violation] = await playScenario(scenario, template, protocol);
      if (violation === undefined) continue;
      table.push(`${name} | when ${scenario.name} | ${violation}`);
      return;
    }
    for (let seed = 0; seed < SCHEDULES; seed += 1) {
      const [violation] = (await runSchedule(seed, template, protocol)).violations;
      if (violation === undefined) continue;
      table.push(`${name} | schedule ${seed} | ${violation}`);
      return;
    }
    assert.fail(`neither the scenarios nor ${SCHEDULES} schedules notice it`);
  });
}

after(() => {
  process.stdout.write(`${['what is done otherwise | noticed', ...table].join('\n')}\n`);
});
