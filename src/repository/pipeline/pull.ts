import type { Run } from '../../core/run.ts';

/**
 * The batches of `sources`. When the signal aborts its reason is thrown at once, even while a batch is being waited
 * for: that call ends by the signal that the owner of the sources gave it. `return` is called once it has.
 */
export async function* pull<Batch>(sources: AsyncIterable<Batch>, { signal }: Run): AsyncGenerator<Batch, void> {
  const iterator = sources[Symbol.asyncIterator]();
  let ended = false;
  let waiting = false;
  const next = async (): Promise<IteratorResult<Batch>> => {
    waiting = true;
    try {
      const result = await iterator.next();
      ended = result.done === true;
      return result;
    } catch (error) {
      ended = true;
      throw error;
    } finally {
      waiting = false;
    }
  };
  try {
    for (;;) {
      const result = await unlessAborted(next(), signal);
      if (result.done === true) return;
      yield result.value;
    }
  } finally {
    const closing = ended ? undefined : iterator.return?.();
    // Whatever comes of it after the abort is nobody's concern any more, and must not count as unhandled.
    if (waiting) closing?.catch(() => undefined);
    else await closing;
  }
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    const leave = (): void => signal.removeEventListener('abort', onAbort);
    promise.then(
      (value) => {
        leave();
        resolve(value);
      },
      (error: unknown) => {
        leave();
        reject(error);
      },
    );
  });
}
