import { createVirtualClock } from '../flow/virtual-clock.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import type { ObjectStoreFixture } from './object-store-suite.ts';

const START_MS = Date.parse('2026-03-01T00:00:00Z');

/** For the conformance suite: what `wrap` makes of a fresh store in memory, again for each way into it. */
export function memoryFixture(wrap: (memory: ObjectStore) => ObjectStore): ObjectStoreFixture {
  const memory = new MemoryObjectStore({ clock: createVirtualClock(START_MS) });
  const store = wrap(memory);
  return {
    store,
    openAgain: async () => wrap(memory),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
