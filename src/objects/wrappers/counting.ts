import type { ObjectStore } from '../object-store.ts';
import { forward, sizeOf } from './forward.ts';

/** What went through so far, failed calls included; bytes count when a call has succeeded. */
export type StoreCounts = {
  readonly creates: number;
  readonly reads: number;
  readonly stats: number;
  readonly lists: number;
  /** Calls, not keys. */
  readonly deletes: number;
  readonly createdBytes: number;
  readonly readBytes: number;
};

export interface CountingStore extends ObjectStore {
  counts(): StoreCounts;
}

/** Counts calls and bytes. Owns `store`. */
export function countingStore(store: ObjectStore): CountingStore {
  const counts = { creates: 0, reads: 0, stats: 0, lists: 0, deletes: 0, createdBytes: 0, readBytes: 0 };
  return {
    ...forward(store),
    counts: () => ({ ...counts }),
    async create(key, body, run) {
      counts.creates += 1;
      await store.create(key, body, run);
      counts.createdBytes += sizeOf(body);
    },
    async read(key, offset, into, run) {
      counts.reads += 1;
      const count = await store.read(key, offset, into, run);
      counts.readBytes += count;
      return count;
    },
    stat(key, run) {
      counts.stats += 1;
      return store.stat(key, run);
    },
    list(prefix, after, run) {
      counts.lists += 1;
      return store.list(prefix, after, run);
    },
    delete(keys, run) {
      counts.deletes += 1;
      return store.delete(keys, run);
    },
  };
}
