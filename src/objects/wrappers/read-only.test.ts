import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVirtualClock } from '../../flow/virtual-clock.ts';
import { MemoryObjectStore } from '../../testing/memory-object-store.ts';
import { readOnlyStore } from './read-only.ts';

test('a read-only store refuses to create and delete, and reads', async (t) => {
  const run = { signal: t.signal };
  const memory = new MemoryObjectStore({ clock: createVirtualClock(0), url: 'memory:here' });
  await memory.create('a/b', [Buffer.from('kept')], run);
  await using store = readOnlyStore(memory);
  const refused = { code: 'UNSUPPORTED', message: /memory:here is open for reading only/ };
  await assert.rejects(store.create('a/c', [], run), refused);
  await assert.rejects(store.delete(['a/b'], run), refused);
  await assert.rejects(store.delete(['a/b', 'a/c'], run), { message: /delete 2 objects/ });
  assert.deepEqual(memory.keys(), ['a/b']);
  const into = new Uint8Array(10);
  assert.equal(await store.read('a/b', 1, into, run), 3);
  assert.equal((await store.stat('a/b', run))?.sizeBytes, 4);
  const listed: string[] = [];
  for await (const batch of store.list('', '', run)) listed.push(...batch.map((info) => info.key));
  assert.deepEqual(listed, ['a/b']);
  assert.equal(await store.nowMs(run), 0);
});
