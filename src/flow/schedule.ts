import { nextOccurrence, previousOccurrence } from '../core/cron-times.ts';
import type { Clock, RandomBytes, Run } from '../core/run.ts';
import { randomFraction } from './random.ts';

export type ScheduleOptions = {
  /** In cron's five fields, without mistakes. */
  readonly schedule: string;
  readonly timezone: string;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Each run begins up to so long after its time, so that many hosts don't begin together. */
  readonly jitterMs: number;
  /** The time of the schedule that was run last, or when that run was; undefined when there has been none: what has passed before now is not missed. */
  readonly lastRunMs: number | undefined;
  /** Gets the time of the schedule, in milliseconds since 1970. The next one waits for it; what it throws ends the schedule. */
  readonly onDue: (occurrenceMs: number, run: Run) => Promise<void>;
};

/** No longer than this until the wall clock is looked at again: it may have been set. */
const SLICE_MS = 60_000;

/**
 * A time that was run and is further ahead of the wall clock than this was run by a clock that went wrong. The schedule begins anew from what the
 * clock shows then: else it would stay silent until the clock gets there, maybe for years.
 */
const WRONG_CLOCK_MS = 24 * 60 * 60_000;

/**
 * Runs what is due, one at a time, until the run aborts. Of times that passed while nobody was there, or during a run, or over which the
 * wall clock jumped, only the newest is run, at once. No time is run twice when the clock is set back by less than a day. Resolves when the schedule means
 * no time any more (31 February). @throws the signal's reason, or what `onDue` throws
 */
export async function runOnSchedule(options: ScheduleOptions, run: Run): Promise<void> {
  const { schedule, timezone, clock, random, jitterMs, onDue } = options;
  let doneMs = options.lastRunMs ?? clock.nowMs();
  for (;;) {
    const nextMs = nextOccurrence(schedule, timezone, doneMs);
    if (nextMs === undefined) return;
    let nowMs = clock.nowMs();
    while (nowMs < nextMs && doneMs - nowMs <= WRONG_CLOCK_MS) {
      await clock.sleep(Math.min(Math.ceil(nextMs - nowMs), SLICE_MS), run);
      nowMs = clock.nowMs();
    }
    if (nowMs < nextMs) {
      doneMs = nowMs;
      continue;
    }
    await clock.sleep(Math.floor(jitterMs * randomFraction(random)), run);
    doneMs = Math.max(nextMs, previousOccurrence(schedule, timezone, clock.nowMs()) ?? nextMs);
    await onDue(doneMs, run);
  }
}
