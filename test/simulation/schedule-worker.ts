/** Runs every `step`th schedule from `from` up to `to`, and posts what came of each. */
import { parentPort, workerData } from 'node:worker_threads';
import { must } from '../../src/core/must.ts';
import type { Report, Share } from './run-schedules.ts';
import { runSchedule } from './schedule.ts';
import type { Outcome } from './schedule.ts';
import { createTemplate } from './template.ts';

const { from, to, step, endMs } = workerData as Share; // as run-schedules.ts gives it
const port = must(parentPort, 'a parent');
const template = await createTemplate();
for (let seed = from; seed < to && Date.now() < endMs; seed += step) {
  port.postMessage({ seed, outcome: await runSchedule(seed, template) } satisfies Report<Outcome>);
}
