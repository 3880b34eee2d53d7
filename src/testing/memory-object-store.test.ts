import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Run } from '../core/run.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import type { MemoryObjectStoreOptions } from './memory-object-store.ts';
import { registerObjectStoreSuite } from './object-store-suite.ts';
import type { ObjectStoreFixture } from './object-store-suite.ts';

const START_MS = Date.parse('2026-03-01T00:00:00Z');

function fixtureOf(options: Omit<MemoryObjectStoreOptions, 'clock'>): ObjectStoreFixture {
  const clock = createVirtualClock(START_MS);
  const store = new MemoryObjectStore({ ...options, clock });
  return {
    store,
    openAgain: async () => store,
    settleListings: () => clock.advance(60_000),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

registerObjectStoreSuite({
  name: 'memory',
  open: async () => fixtureOf({}),
  capabilities: { exclusiveCreate: true, provesDigest: false, listsAtOnce: true },
});

registerObjectStoreSuite({
  name: 'memory, the weakest',
  open: async () => {
    let changes = 0;
    const listingLagMs = (): number => ((changes += 1) * 7919) % 60_000;
    return fixtureOf({ exclusiveCreate: false, provesDigest: true, listingLagMs });
  },
  capabilities: { exclusiveCreate: false, provesDigest: true, listsAtOnce: false },
});

const run: Run = { signal: new AbortController().signal };

async function keysListed(store: MemoryObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const batch of store.list('', '', run)) keys.push(...batch.map((info) => info.key));
  return keys;
}

test('a snapshot restores what was held, into another memory store too', async () => {
  const clock = createVirtualClock(START_MS);
  const store = new MemoryObjectStore({ clock });
  await store.create('a', [Buffer.from('1')], run);
  const before = store.snapshot();
  await store.create('b', [Buffer.from('2')], run);
  await store.delete(['a'], run);
  store.put('c', Buffer.from('3'));
  const other = new MemoryObjectStore({ clock });
  other.restore(store.snapshot());
  store.restore(before);
  assert.deepEqual(store.keys(), ['a']);
  assert.deepEqual(await keysListed(store), ['a']);
  assert.deepEqual(await keysListed(other), ['b', 'c']);
  assert.deepEqual(other.get('c'), Buffer.from('3'));
});

test('listings lag by what is asked for, and never go back', async () => {
  const clock = createVirtualClock(START_MS);
  const lags = [1000, 10, 500];
  const store = new MemoryObjectStore({ clock, listingLagMs: () => lags.shift() ?? 0 });
  await store.create('slow', [], run);
  await store.create('quick', [], run);
  assert.deepEqual(await keysListed(store), []);
  await clock.advance(10);
  assert.deepEqual(await keysListed(store), ['quick']);
  await store.delete(['slow'], run);
  await clock.advance(500);
  assert.deepEqual(await keysListed(store), ['quick']);
  await clock.advance(10_000);
  assert.deepEqual(await keysListed(store), ['quick'], 'the create that comes later is older than the delete');
});

test('where listings lag, a restore is caught up with after a lag', async () => {
  const clock = createVirtualClock(START_MS);
  const store = new MemoryObjectStore({ clock, listingLagMs: () => 100 });
  await store.create('ghost', [], run);
  await clock.advance(100);
  await store.delete(['ghost'], run);
  await store.create('fresh', [], run);
  const snapshot = store.snapshot();
  store.restore(snapshot);
  assert.deepEqual(await keysListed(store), ['ghost']);
  await clock.advance(100);
  assert.deepEqual(await keysListed(store), ['fresh']);
});

test('damage goes round the contract and keeps the time', async () => {
  const clock = createVirtualClock(START_MS);
  const store = new MemoryObjectStore({ clock });
  await store.create('a', [Buffer.from('good')], run);
  await clock.advance(5000);
  store.put('a', Buffer.from('bad'));
  assert.deepEqual(await store.stat('a', run), { key: 'a', sizeBytes: 3, modifiedMs: START_MS });
  assert.equal(store.storedBytes(), 3);
  assert.equal(store.remove('a'), true);
  assert.equal(store.remove('a'), false);
  assert.deepEqual(await keysListed(store), []);
});
