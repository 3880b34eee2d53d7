import type { Run } from '../core/run.ts';
import { assume } from '../core/must.ts';

/** Lets a number of operations run at once and the others wait, first come, first served. With 1 it is a mutex. */
export interface Limiter {
  readonly active: number;
  readonly waiting: number;
  /** A permit, given back when it is disposed: `using permit = await limiter.acquire(run)`. Giving it back twice is fine. */
  acquire(run: Run): Promise<Disposable>;
  /** The operation's result, after a permit was had and while it is held. */
  within<T>(operation: (run: Run) => Promise<T>, run: Run): Promise<T>;
}

export function createLimiter(permits: number): Limiter {
  assume(Number.isInteger(permits) && permits >= 1, 'a limit of at least 1');
  /** In order of arrival; a set, so that whoever gives up leaves from the middle. */
  const queue = new Set<() => void>();
  let active = 0;

  const createPermit = (): Disposable => {
    let held = true;
    return {
      [Symbol.dispose]() {
        if (!held) return;
        held = false;
        const [next] = queue;
        if (next === undefined) {
          active -= 1;
          return;
        }
        queue.delete(next);
        // The permit passes on without being free in between, so that a newcomer can't overtake.
        next();
      },
    };
  };

  const wait = ({ signal }: Run): Promise<void> =>
    new Promise((resolve, reject) => {
      const onTurn = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        queue.delete(onTurn);
        reject(signal.reason);
      };
      queue.add(onTurn);
      signal.addEventListener('abort', onAbort, { once: true });
    });

  const acquire = async (run: Run): Promise<Disposable> => {
    run.signal.throwIfAborted();
    if (active < permits) active += 1;
    else await wait(run);
    return createPermit();
  };

  return {
    get active() {
      return active;
    },
    get waiting() {
      return queue.size;
    },
    acquire,
    async within(operation, run) {
      using _permit = await acquire(run);
      return await operation(run);
    },
  };
}
