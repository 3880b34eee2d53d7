import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Report, Share } from './schedule-worker.ts';

/** Young objects die young here: with room for them the collector is rarely needed. */
const LIMITS = { maxYoungGenerationSizeMb: 64 };

/** Runs the schedules of the seeds from `from` up to `to`, on all processors. */
export async function runSchedules(from: number, to: number, onReport: (report: Report) => void): Promise<void> {
  const step = Math.min(availableParallelism(), to - from);
  const shares = Array.from({ length: step }, (_, at): Share => ({ from: from + at, to, step }));
  await Promise.all(shares.map((share) => runShare(share, onReport)));
}

async function runShare(workerData: Share, onReport: (report: Report) => void): Promise<void> {
  const worker = new Worker(new URL('schedule-worker.ts', import.meta.url), { workerData, resourceLimits: LIMITS });
  worker.on('message', onReport);
  await once(worker, 'exit');
}
