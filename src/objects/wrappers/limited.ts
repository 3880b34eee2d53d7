import type { Run } from '../../core/run.ts';
import { createLimiter } from '../../flow/limiter.ts';
import type { ObjectInfo, ObjectStore } from '../object-store.ts';
import { forward } from './forward.ts';

/**
 * Lets `callsAtOnce` calls run and the others wait, first come, first served. A listing counts only while a batch of it is fetched, so that
 * calls may be made between batches. Owns `store`.
 */
export function limitedStore(store: ObjectStore, callsAtOnce: number): ObjectStore {
  const limiter = createLimiter(callsAtOnce);
  return {
    ...forward(store),
    create: (key, body, run) => limiter.within((inner) => store.create(key, body, inner), run),
    read: (key, offset, into, run) => limiter.within((inner) => store.read(key, offset, into, inner), run),
    stat: (key, run) => limiter.within((inner) => store.stat(key, inner), run),
    delete: (keys, run) => limiter.within((inner) => store.delete(keys, inner), run),
    nowMs: (run) => limiter.within((inner) => store.nowMs(inner), run),
    async *list(prefix: string, after: string, run: Run): AsyncGenerator<readonly ObjectInfo[]> {
      const listing = store.list(prefix, after, run)[Symbol.asyncIterator]();
      try {
        for (;;) {
          const result = await limiter.within(() => listing.next(), run);
          if (result.done === true) return;
          yield result.value;
        }
      } finally {
        await listing.return?.();
      }
    },
  };
}
