import { assume, must } from '../core/must.ts';
import type { Clock } from '../core/run.ts';

export type MeterReading = {
  readonly count: number;
  readonly total: number | undefined;
  /** Over the last window, or since the start when that is shorter; 0 when no time has passed. */
  readonly perSecond: number;
  /** At this rate; undefined without a total or while nothing moves. */
  readonly remainingMs: number | undefined;
};

/** Counts what a long piece of work has done, for progress. */
export interface Meter {
  add(count: number): void;
  /** What there is to do in all, as far as is known now. */
  setTotal(total: number): void;
  read(): MeterReading;
}

export type MeterOptions = { readonly clock: Clock; readonly windowMs?: number | undefined };

const SLICES = 20;

/** The rate is that of the last `windowMs` (10 s unless given), looked at in slices: memory and cost do not grow with the work. */
export function createMeter({ clock, windowMs = 10_000 }: MeterOptions): Meter {
  assume(windowMs > 0, 'a window');
  const sliceMs = windowMs / SLICES;
  const startMs = clock.monotonicMs();
  let count = 0;
  let total: number | undefined;
  /** Count at the beginning of a slice of time; the oldest one is the last before the window. */
  const history: { readonly atMs: number; readonly count: number }[] = [{ atMs: startMs, count: 0 }];

  const note = (nowMs: number): void => {
    const newest = must(history.at(-1), 'a start');
    if (nowMs - newest.atMs >= sliceMs) history.push({ atMs: nowMs, count });
    while (history.length > 1 && must(history[1], 'a second slice').atMs <= nowMs - windowMs) history.shift();
  };

  return {
    add(more) {
      note(clock.monotonicMs());
      count += more;
    },
    setTotal(all) {
      total = all;
    },
    read() {
      const nowMs = clock.monotonicMs();
      note(nowMs);
      const since = must(history[0], 'a start');
      const passedMs = nowMs - since.atMs;
      const perSecond = passedMs > 0 ? ((count - since.count) / passedMs) * 1000 : 0;
      return { count, total, perSecond, remainingMs: timeLeftMs(count, total, perSecond) };
    },
  };
}

function timeLeftMs(count: number, total: number | undefined, perSecond: number): number | undefined {
  if (total === undefined) return undefined;
  if (count >= total) return 0;
  return perSecond === 0 ? undefined : ((total - count) / perSecond) * 1000;
}
