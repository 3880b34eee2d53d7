/** Runs every `step`th schedule of archives from `from` up to `to`, and posts what came of each. */
import { parentPort, workerData } from 'node:worker_threads';
import { must } from '../../src/core/must.ts';
import { runArchiveSchedule } from './archive-schedule.ts';
import type { ArchiveOutcome } from './archive-schedule.ts';
import { createArchiveTemplate } from './archive-world.ts';
import type { Report, Share } from './run-schedules.ts';

const { from, to, step, endMs } = workerData as Share; // as run-schedules.ts gives it
const port = must(parentPort, 'a parent');
const template = await createArchiveTemplate();
for (let seed = from; seed < to && Date.now() < endMs; seed += step) {
  port.postMessage({ seed, outcome: await runArchiveSchedule(seed, template) } satisfies Report<ArchiveOutcome>);
}
