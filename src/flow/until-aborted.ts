import type { Run } from '../core/run.ts';

/** What a promise that others may wait for as well gives, or, when the run aborts before, the signal's reason. The work goes on in any case. */
export async function untilAborted<T>(work: Promise<T>, { signal }: Run): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
