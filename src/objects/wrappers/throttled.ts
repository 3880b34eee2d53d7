import type { Clock } from '../../core/run.ts';
import { createRateLimit } from '../../flow/rate.ts';
import type { ObjectStore } from '../object-store.ts';
import { forward, sizeOf } from './forward.ts';

export type ThrottledOptions = {
  readonly clock: Clock;
  /** No limit where absent. */
  readonly uploadBytesPerSecond?: number | undefined;
  readonly downloadBytesPerSecond?: number | undefined;
};

/**
 * Holds creates and reads back so that on average no more than so many bytes a second go up and down. Each call goes whole, after its turn;
 * a read counts with what it asks for. Owns `store`.
 */
export function throttledStore(store: ObjectStore, options: ThrottledOptions): ObjectStore {
  const { clock, uploadBytesPerSecond, downloadBytesPerSecond } = options;
  const up =
    uploadBytesPerSecond === undefined ? undefined : createRateLimit({ clock, bytesPerSecond: uploadBytesPerSecond });
  const down =
    downloadBytesPerSecond === undefined
      ? undefined
      : createRateLimit({ clock, bytesPerSecond: downloadBytesPerSecond });
  return {
    ...forward(store),
    async create(key, body, run) {
      await up?.take(sizeOf(body), run);
      await store.create(key, body, run);
    },
    async read(key, offset, into, run) {
      await down?.take(into.byteLength, run);
      return await store.read(key, offset, into, run);
    },
  };
}
