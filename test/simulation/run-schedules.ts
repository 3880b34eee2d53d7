import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

/** Every `step`th of the seeds from `from` up to `to`. */
export type Share = { readonly from: number; readonly to: number; readonly step: number };

/** What came of the schedule of a seed. */
export type Report<Outcome> = { readonly seed: number; readonly outcome: Outcome };

export type Schedules = Pick<Share, 'from' | 'to'> & {
  /** A file beside this one that runs a `Share` and posts a `Report` of each. */
  readonly worker: string;
};

/** Young objects die young here: with room for them the collector is rarely needed. */
const LIMITS = { maxYoungGenerationSizeMb: 64 };

/** Runs the schedules of the seeds from `from` up to `to`, on all processors. */
export async function runSchedules<Outcome>(
  { worker, from, to }: Schedules,
  onReport: (report: Report<Outcome>) => void,
): Promise<void> {
  const step = Math.min(availableParallelism(), to - from);
  const shares = Array.from({ length: step }, (_, at): Share => ({ from: from + at, to, step }));
  await Promise.all(shares.map((share) => runShare(worker, share, onReport)));
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
