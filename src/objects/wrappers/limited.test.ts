import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVirtualClock } from '../../flow/virtual-clock.ts';
import { memoryFixture } from '../../testing/memory-fixture.ts';
import { MemoryObjectStore } from '../../testing/memory-object-store.ts';
import { registerObjectStoreSuite } from '../../testing/object-store-suite.ts';
import type { ObjectStore } from '../object-store.ts';
import { forward } from './forward.ts';
import { limitedStore } from './limited.ts';

registerObjectStoreSuite({
  name: 'limited',
  open: async () => memoryFixture((memory) => limitedStore(memory, 3)),
  capabilities: { exclusiveCreate: true, provesDigest: false, listsAtOnce: true },
});

test('no more calls run at once than the limit, and all of them in the end', async (t) => {
  const run = { signal: t.signal };
  const clock = createVirtualClock(0);
  const memory = new MemoryObjectStore({ clock });
  let running = 0;
  let most = 0;
  const slow: ObjectStore = {
    ...forward(memory),
    async create(key, body) {
      running += 1;
      most = Math.max(most, running);
      await clock.sleep(10, run);
      await memory.create(key, body, run);
      running -= 1;
    },
  };
  const store = limitedStore(slow, 4);
  const keys = Array.from({ length: 10 }, (_, index) => `k${index}`);
  await clock.runUntil(Promise.all(keys.map((key) => store.create(key, [], run))));
  assert.equal(most, 4);
  assert.equal(clock.monotonicMs(), 30);
  assert.deepEqual(memory.keys(), keys);
});

test('calls may be made between the batches of a listing, also with one at a time', async (t) => {
  const run = { signal: t.signal };
  const memory = new MemoryObjectStore({ clock: createVirtualClock(0) });
  for (const key of ['a', 'b']) await memory.create(key, [], run);
  const store = limitedStore(memory, 1);
  let looks = 0;
  for await (const batch of store.list('', '', run)) {
    for (const { key } of batch) {
      assert.ok((await store.stat(key, run)) !== undefined);
      looks += 1;
    }
  }
  assert.equal(looks, 2);
});
