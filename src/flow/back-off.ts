import { TidemarkError } from '../core/errors.ts';
import type { Clock, RandomBytes, Run } from '../core/run.ts';
import { randomFraction } from './random.ts';

/** The longest wait doubles from `firstMs` with each attempt, up to `maxMs`. */
export type BackOff = { readonly firstMs: number; readonly maxMs: number };

export type RetryPolicy = BackOff & {
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** At most so many attempts, the first one included. */
  readonly attempts: number;
  /** No wait goes beyond this long after the start. */
  readonly deadlineMs?: number | undefined;
  /** Told before each wait: for the log. */
  readonly onRetry?: ((failure: RetriedFailure) => void) | undefined;
};

export type RetriedFailure = { readonly error: TidemarkError; readonly attempt: number; readonly delayMs: number };

/**
 * How long to wait after the `attempt`-th failure (from 1): evenly spread from 0 to the longest, so that many who failed
 * together do not come back together.
 */
export function backOffDelayMs(attempt: number, { firstMs, maxMs }: BackOff, random: RandomBytes): number {
  const longestMs = Math.min(maxMs, firstMs * 2 ** (attempt - 1));
  return longestMs * randomFraction(random);
}

/**
 * The operation's result. It is repeated while it fails with a TidemarkError of disposition `retry` and the policy allows; any
 * other error, and the last one, is thrown as it is. @throws the signal's reason when the run aborts during a wait
 */
export async function retrying<T>(
  operation: (run: Run, attempt: number) => Promise<T>,
  policy: RetryPolicy,
  run: Run,
): Promise<T> {
  const { clock, random, attempts, deadlineMs = Number.POSITIVE_INFINITY } = policy;
  const startMs = clock.monotonicMs();
  for (let attempt = 1; ; attempt += 1) {
    run.signal.throwIfAborted();
    try {
      return await operation(run, attempt);
    } catch (error) {
      if (!(error instanceof TidemarkError) || error.disposition !== 'retry') throw error;
      const delayMs = backOffDelayMs(attempt, policy, random);
      const passedMs = clock.monotonicMs() - startMs;
      if (attempt >= attempts || passedMs + delayMs > deadlineMs) throw error;
      policy.onRetry?.({ error, attempt, delayMs });
      await clock.sleep(delayMs, run);
    }
  }
}
