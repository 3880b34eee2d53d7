import assert from 'node:assert/strict';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import process from 'node:process';
import { Worker } from 'node:worker_threads';

/** Every `step`th of the seeds from `from` up to `to`, as many as begin before `endMs`. */
export type Share = { readonly from: number; readonly to: number; readonly step: number; readonly endMs: number };

/** What came of the schedule of a seed. */
export type Report<Outcome> = { readonly seed: number; readonly outcome: Outcome };

export type Schedules = Pick<Share, 'from' | 'to'> & {
  /** A file beside this one that runs a `Share` and posts a `Report` of each. */
  readonly worker: string;
};

/** No schedule begins after it, so that all tests together end in their time on a slow machine as well. */
const END_MS = Number(process.env['TIDEMARK_TEST_END_MS'] ?? Number.POSITIVE_INFINITY);

/** Young objects die young here: with room for them the collector is rarely needed. */
const LIMITS = { maxYoungGenerationSizeMb: 64 };

/** Runs the schedules of the seeds from `from` up to `to`, on all processors. @throws where less than a fifth of them have run before the end */
export async function runSchedules<Outcome>(
  { worker, from, to }: Schedules,
  onReport: (report: Report<Outcome>) => void,
): Promise<void> {
  const step = Math.min(availableParallelism(), to - from);
  const shares = Array.from({ length: step }, (_, at): Share => ({ from: from + at, to, step, endMs: END_MS }));
  let count = 0;
  const counted = (report: Report<Outcome>): void => {
    count += 1;
    onReport(report);
  };
  await Promise.all(shares.map((share) => runShare(worker, share, counted)));
  const isAll = count === to - from;
  assert.ok(isAll || (Date.now() >= END_MS && count >= (to - from) / 5), `only ${count} of ${to - from} schedules ran`);
}

async function runShare<Outcome>(
  file: string,
  workerData: Share,
  onReport: (report: Report<Outcome>) => void,
): Promise<void> {
  const worker = new Worker(new URL(file, import.meta.url), { workerData, resourceLimits: LIMITS });
  worker.on('message', onReport);
  await once(worker, 'exit');
}
