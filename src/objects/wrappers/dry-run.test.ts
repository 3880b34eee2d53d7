import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVirtualClock } from '../../flow/virtual-clock.ts';
import { MemoryObjectStore } from '../../testing/memory-object-store.ts';
import { dryRunStore } from './dry-run.ts';

test('what a dry run creates is there for itself only, and nothing is deleted', async (t) => {
  const run = { signal: t.signal };
  const memory = new MemoryObjectStore({ clock: createVirtualClock(5_000) });
  await memory.create('a/old', [Buffer.from('old')], run);
  await using store = dryRunStore(memory);
  await store.create('a/new', [Buffer.from('ne'), Buffer.from('w!')], run);
  for (const key of ['a/old', 'a/new']) {
    await assert.rejects(store.create(key, [Buffer.from('x')], run), { code: 'OBJECT_EXISTS' });
  }
  assert.deepEqual(
    { ...(await store.stat('a/new', run)), body: undefined },
    { key: 'a/new', sizeBytes: 4, modifiedMs: 5_000, body: undefined },
  );
  const into = new Uint8Array(10);
  assert.equal(await store.read('a/new', 1, into, run), 3);
  assert.equal(Buffer.from(into.subarray(0, 3)).toString(), 'ew!');
  assert.equal(await store.read('a/old', 0, into, run), 3);
  await store.delete(['a/old', 'a/new'], run);
  const listed = (await Array.fromAsync(store.list('a/', '', run))).flat().map(({ key }) => key);
  assert.deepEqual(listed.toSorted(), ['a/new', 'a/old']);
  assert.deepEqual(memory.keys(), ['a/old']);
});

test('a large body of a dry run is counted, not kept', async (t) => {
  const run = { signal: t.signal };
  const store = dryRunStore(new MemoryObjectStore({ clock: createVirtualClock(0) }));
  await store.create('large', [new Uint8Array(2 ** 20), new Uint8Array(1)], run);
  assert.equal((await store.stat('large', run))?.sizeBytes, 2 ** 20 + 1);
  await assert.rejects(store.read('large', 0, new Uint8Array(1), run), { code: 'OBJECT_NOT_FOUND' });
});

test('a dry run leaves the store to whoever opened it', async (t) => {
  const memory = new MemoryObjectStore({ clock: createVirtualClock(0) });
  await dryRunStore(memory)[Symbol.asyncDispose]();
  assert.equal(await memory.stat('a', { signal: t.signal }), undefined);
});
