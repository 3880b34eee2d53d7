import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVirtualClock } from '../../flow/virtual-clock.ts';
import { memoryFixture } from '../../testing/memory-fixture.ts';
import { MemoryObjectStore } from '../../testing/memory-object-store.ts';
import { registerObjectStoreSuite } from '../../testing/object-store-suite.ts';
import { countingStore } from './counting.ts';

registerObjectStoreSuite({
  name: 'counting',
  open: async () => memoryFixture(countingStore),
  capabilities: { exclusiveCreate: true, provesDigest: false, listsAtOnce: true },
});

test('calls are counted, and bytes when they have gone through', async (t) => {
  const run = { signal: t.signal };
  const store = countingStore(new MemoryObjectStore({ clock: createVirtualClock(0) }));
  await store.create('a', [new Uint8Array(3), new Uint8Array(4)], run);
  await assert.rejects(store.create('a', [new Uint8Array(100)], run));
  await store.read('a', 5, new Uint8Array(10), run);
  await store.stat('a', run);
  for await (const batch of store.list('', '', run)) assert.equal(batch.length, 1);
  await store.delete(['a', 'b'], run);
  const expected = { creates: 2, reads: 1, stats: 1, lists: 1, deletes: 1, createdBytes: 7, readBytes: 2 };
  assert.deepEqual(store.counts(), expected);
});
