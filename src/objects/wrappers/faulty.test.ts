import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BugError } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import { createVirtualClock } from '../../flow/virtual-clock.ts';
import { memoryFixture } from '../../testing/memory-fixture.ts';
import { MemoryObjectStore } from '../../testing/memory-object-store.ts';
import { registerObjectStoreSuite } from '../../testing/object-store-suite.ts';
import type { ObjectStore } from '../object-store.ts';
import { deathAt, faultAt, faultyStore, passingFault } from './faulty.ts';
import type { Fault, FaultPlan, FaultyStore } from './faulty.ts';

registerObjectStoreSuite({
  name: 'faulty without a fault',
  open: async () => memoryFixture((memory) => faultyStore(memory, () => undefined)),
  capabilities: { exclusiveCreate: true, provesDigest: false, listsAtOnce: true },
});

const run: Run = { signal: new AbortController().signal };
const injected = passingFault();
const isInjected = (error: unknown): boolean => error === injected;

function sceneWith(plan: FaultPlan): { memory: MemoryObjectStore; store: FaultyStore } {
  const memory = new MemoryObjectStore({ clock: createVirtualClock(0) });
  memory.put('there', Buffer.from('content'));
  return { memory, store: faultyStore(memory, plan) };
}

async function listKeys(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const batch of store.list('', '', run)) keys.push(...batch.map((info) => info.key));
  return keys;
}

/** One call of each kind. */
async function scenario(store: ObjectStore): Promise<void> {
  await store.create('made', [Buffer.from('x')], run);
  await store.read('there', 0, new Uint8Array(3), run);
  await store.stat('there', run);
  await listKeys(store);
  await store.delete(['there', 'made'], run);
  await store.nowMs(run);
}

test('a run without faults tells which calls can fail', async () => {
  const { store } = sceneWith(() => undefined);
  await scenario(store);
  await store.stat('made', run);
  assert.deepEqual(store.calls, [
    { position: 0, name: 'create', nth: 0, key: 'made' },
    { position: 1, name: 'read', nth: 0, key: 'there' },
    { position: 2, name: 'stat', nth: 0, key: 'there' },
    { position: 3, name: 'list', nth: 0, key: '' },
    { position: 4, name: 'delete', nth: 0, key: 'there' },
    { position: 5, name: 'nowMs', nth: 0, key: '' },
    { position: 6, name: 'stat', nth: 1, key: 'made' },
  ]);
});

test('each call can fail, before its effect and after it', async () => {
  for (const when of ['before', 'after'] as const) {
    for (let position = 0; position < 6; position += 1) {
      const { memory, store } = sceneWith(faultAt(position, { kind: 'fail', when, error: injected }));
      await assert.rejects(scenario(store), isInjected, `${when} ${position}`);
      assert.equal(store.calls.length, position + 1);
      const deletes = position > 4 || (position === 4 && when === 'after');
      const creates = !deletes && (position > 0 || when === 'after');
      assert.deepEqual(memory.keys(), deletes ? [] : creates ? ['made', 'there'] : ['there'], `${when} ${position}`);
    }
  }
});

test('a death ends all later calls too', async () => {
  const { memory, store } = sceneWith(deathAt(1, 'after'));
  await store.create('made', [], run);
  await assert.rejects(store.delete(['there'], run), { code: 'INTERRUPTED' });
  await assert.rejects(store.create('late', [], run), { code: 'INTERRUPTED' });
  await assert.rejects(listKeys(store), { code: 'INTERRUPTED' });
  assert.deepEqual(memory.keys(), ['made']);
});

test('a torn create leaves its beginning', async () => {
  const { memory, store } = sceneWith(faultAt(0, { kind: 'torn', keepBytes: 3, error: injected }));
  await assert.rejects(store.create('half', [Buffer.from('ab'), Buffer.from('cd')], run), isInjected);
  assert.deepEqual(memory.get('half'), Buffer.from('abc'));
});

test('a flipped byte is that of the object, wherever the read begins', async () => {
  const { memory, store } = sceneWith(() => ({ kind: 'flip', offset: 2, mask: 0x20 }));
  const read = async (offset: number, length: number): Promise<string> => {
    const into = new Uint8Array(length);
    const count = await store.read('there', offset, into, run);
    return Buffer.from(into.subarray(0, count)).toString();
  };
  assert.deepEqual(
    [await read(0, 10), await read(2, 2), await read(3, 2), await read(0, 2)],
    ['coNtent', 'Nt', 'te', 'co'],
  );
  assert.deepEqual(memory.get('there'), Buffer.from('content'));
});

test('a listing can leave keys out, and break off after its first batch', async () => {
  const hidden = sceneWith(() => ({ kind: 'hide', keys: (key) => key.startsWith('t') }));
  hidden.memory.put('shown', new Uint8Array(0));
  assert.deepEqual(await listKeys(hidden.store), ['shown']);
  const broken = sceneWith(() => ({ kind: 'fail', when: 'after', error: injected }));
  const seen: string[] = [];
  const listAll = async (): Promise<void> => {
    for await (const batch of broken.store.list('', '', run)) seen.push(...batch.map((info) => info.key));
  };
  await assert.rejects(listAll(), isInjected);
  assert.deepEqual(seen, ['there']);
});

test('a call can be held, before its effect or before its answer', async () => {
  for (const when of ['before', 'after'] as const) {
    const held = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const until = async (): Promise<void> => {
      reached.resolve();
      await held.promise;
    };
    const { memory, store } = sceneWith(faultAt(0, { kind: 'hold', when, until }));
    const creating = store.create('made', [], run);
    await reached.promise;
    assert.equal(memory.get('made') !== undefined, when === 'after');
    held.resolve();
    await creating;
    assert.ok(memory.get('made') !== undefined);
  }
});

test('a fault that does not fit its call is a bug of the test', async () => {
  const unfit: readonly Fault[] = [
    { kind: 'flip', offset: 0, mask: 1 },
    { kind: 'hide', keys: () => true },
  ];
  for (const fault of unfit) {
    const { store } = sceneWith(() => fault);
    await assert.rejects(store.stat('there', run), BugError);
    await assert.rejects(store.create('made', [], run), BugError);
  }
  const { store } = sceneWith(() => ({ kind: 'torn', keepBytes: 1, error: injected }));
  await assert.rejects(store.create('made', [Buffer.of(1)], run), BugError);
  await assert.rejects(listKeys(store), BugError);
});
