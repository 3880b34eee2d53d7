import { assume } from '../core/must.ts';
import type { Clock, Run } from '../core/run.ts';

/** Holds back what goes through to so many bytes a second. */
export interface RateLimit {
  /**
   * Resolves when these bytes may go, in the order of the calls. A call that is larger than the burst goes as well, and those after it wait
   * for longer. What was asked for and then aborted still counts.
   */
  take(sizeBytes: number, run: Run): Promise<void>;
}

export type RateOptions = {
  readonly clock: Clock;
  readonly bytesPerSecond: number;
  /** What may go at once after a pause; a second's worth unless given. */
  readonly burstBytes?: number | undefined;
};

/**
 * A bucket of tokens: over any interval no more than `burstBytes`, the interval's share at the rate and one call's size go
 * through.
 */
export function createRateLimit({ clock, bytesPerSecond, burstBytes = bytesPerSecond }: RateOptions): RateLimit {
  assume(bytesPerSecond > 0 && burstBytes >= 0, 'a rate above 0');
  const burstMs = (burstBytes / bytesPerSecond) * 1000;
  /** When all that was let through would have gone at the rate exactly. */
  let paidUpToMs = clock.monotonicMs() - burstMs;
  return {
    async take(sizeBytes, run) {
      run.signal.throwIfAborted();
      const nowMs = clock.monotonicMs();
      const goesAtMs = Math.max(paidUpToMs, nowMs - burstMs);
      paidUpToMs = goesAtMs + (sizeBytes / bytesPerSecond) * 1000;
      if (goesAtMs > nowMs) await clock.sleep(goesAtMs - nowMs, run);
    },
  };
}
