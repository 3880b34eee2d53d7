import type { ObjectStore } from '../objects/object-store.ts';
import { forward } from '../objects/wrappers/forward.ts';

export type SleepingStore = {
  readonly objects: ObjectStore;
  /** Resolves once a record was put. */
  readonly asleep: Promise<void>;
  awake(): void;
};

/** A store as a host sees it that sleeps right after it has put a record of that folder, until it is woken. */
export function sleepingStore(store: ObjectStore, folder: string): SleepingStore {
  const [asleep, awake] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const objects: ObjectStore = {
    ...forward(store),
    async create(key, body, run) {
      await store.create(key, body, run);
      if (!key.startsWith(folder)) return;
      asleep.resolve();
      await awake.promise;
    },
  };
  return { objects, asleep: asleep.promise, awake: awake.resolve };
}
