import type { Clock, Run } from '../core/run.ts';

/**
 * A long wait is made of slices, and what is left is asked of the clock after each: timers stand still while the machine is
 * suspended, the clock does not, so a wait is late by one slice at most.
 */
const SLICE_MS = 15_000;

function waitSlice(delayMs: number, { signal }: Run): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, delayMs);
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/**
 * The machine's own clock. `bootTimeMs` is a monotonic clock that counts suspend (`bootTimeMs` of io/native.ts); without it,
 * time that the machine was suspended is not counted, and no lease may be held by this clock.
 */
export function createSystemClock(bootTimeMs: () => number = () => performance.now()): Clock {
  return {
    nowMs: () => Date.now(),
    monotonicMs: () => bootTimeMs(),
    async sleep(delayMs, run) {
      run.signal.throwIfAborted();
      const untilMs = bootTimeMs() + delayMs;
      for (let leftMs = delayMs; leftMs > 0; leftMs = untilMs - bootTimeMs()) {
        // Timers count whole milliseconds and cut off the rest.
        await waitSlice(Math.min(Math.ceil(leftMs), SLICE_MS), run);
      }
    },
  };
}
