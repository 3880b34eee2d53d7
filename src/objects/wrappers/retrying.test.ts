import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Run } from '../../core/run.ts';
import type { RetryPolicy } from '../../flow/back-off.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { createVirtualClock } from '../../flow/virtual-clock.ts';
import type { VirtualClock } from '../../flow/virtual-clock.ts';
import { memoryFixture } from '../../testing/memory-fixture.ts';
import { MemoryObjectStore } from '../../testing/memory-object-store.ts';
import { registerObjectStoreSuite } from '../../testing/object-store-suite.ts';
import type { ObjectStore } from '../object-store.ts';
import { faultyStore, lastingFault, passingFault } from './faulty.ts';
import type { FaultPlan, FaultyStore } from './faulty.ts';
import { retryingStore } from './retrying.ts';

const STRONG = { exclusiveCreate: true, provesDigest: false, listsAtOnce: true };

function policyOn(clock: RetryPolicy['clock']): RetryPolicy {
  return { clock, random: createSeededRandom(1).bytes, attempts: 4, firstMs: 1, maxMs: 2 };
}

registerObjectStoreSuite({
  name: 'retrying',
  open: async () => memoryFixture((memory) => retryingStore(memory, policyOn(createSystemClock()))),
  capabilities: STRONG,
});

const everySecondCallFails: FaultPlan = (call) => {
  if (call.position % 2 === 1) return undefined;
  // A lost answer is what a retry can't undo: of a create, which is then there, and of every other call.
  return { kind: 'fail', when: call.position % 4 === 0 ? 'before' : 'after', error: passingFault() };
};

registerObjectStoreSuite({
  name: 'retrying over a store whose every second call fails',
  open: async () => {
    const clock = { ...createSystemClock(), sleep: async (_: number, { signal }: Run) => signal.throwIfAborted() };
    const policy = { ...policyOn(clock), attempts: 100 };
    return memoryFixture((memory) => retryingStore(faultyStore(memory, everySecondCallFails), policy));
  },
  capabilities: STRONG,
});

type Scene = {
  readonly clock: VirtualClock;
  readonly memory: MemoryObjectStore;
  readonly faulty: FaultyStore;
  readonly store: ObjectStore;
};

function sceneWith(plan: FaultPlan): Scene {
  const clock = createVirtualClock(0);
  const memory = new MemoryObjectStore({ clock });
  const faulty = faultyStore(memory, plan);
  return { clock, memory, faulty, store: retryingStore(faulty, policyOn(clock)) };
}

test('a create whose answer was lost is found to be its own', async (t) => {
  const run = { signal: t.signal };
  const { clock, memory, faulty, store } = sceneWith((call) =>
    call.name === 'create' && call.nth === 0 ? { kind: 'fail', when: 'after', error: passingFault() } : undefined,
  );
  const body = [new Uint8Array(3_000_000).fill(7), Buffer.from('tail'), new Uint8Array(0)];
  await clock.runUntil(store.create('a', body, run));
  assert.deepEqual(memory.get('a'), Buffer.concat(body));
  assert.deepEqual(
    faulty.calls.slice(0, 3).map((call) => call.name),
    ['create', 'create', 'stat'],
  );
});

test('a create that comes second to another’s object is refused, lost answer or not', async (t) => {
  const run = { signal: t.signal };
  for (const others of ['other', 'ours!', 'our', '']) {
    const { clock, memory, store } = sceneWith((call) =>
      call.name === 'create' && call.nth === 0 ? { kind: 'fail', when: 'before', error: passingFault() } : undefined,
    );
    memory.put('a', Buffer.from(others));
    await assert.rejects(clock.runUntil(store.create('a', [Buffer.from('ours.')], run)), { code: 'OBJECT_EXISTS' });
    assert.deepEqual(memory.get('a'), Buffer.from(others));
  }
});

test('a first create that meets the same bytes is refused: they are another’s', async (t) => {
  const run = { signal: t.signal };
  const { memory, store } = sceneWith(() => undefined);
  memory.put('a', Buffer.from('same'));
  await assert.rejects(store.create('a', [Buffer.from('same')], run), { code: 'OBJECT_EXISTS' });
});

test('a lasting error is not repeated, a passing one only so often', async (t) => {
  const run = { signal: t.signal };
  const lasting = sceneWith(() => ({ kind: 'fail', when: 'before', error: lastingFault() }));
  await assert.rejects(lasting.clock.runUntil(lasting.store.stat('a', run)), { code: 'REPOSITORY_UNREACHABLE' });
  assert.equal(lasting.faulty.calls.length, 1);
  const passing = sceneWith(() => ({ kind: 'fail', when: 'before', error: passingFault() }));
  await assert.rejects(passing.clock.runUntil(passing.store.stat('a', run)), { code: 'REPOSITORY_UNREACHABLE' });
  assert.equal(passing.faulty.calls.length, 4);
});

test('a listing that breaks off goes on behind what it gave', async (t) => {
  const run = { signal: t.signal };
  const { clock, memory, faulty, store } = sceneWith((call) =>
    call.nth < 3 ? { kind: 'fail', when: call.nth === 1 ? 'before' : 'after', error: passingFault() } : undefined,
  );
  const keys = Array.from({ length: 3500 }, (_, index) => `k/${String(index).padStart(5, '0')}`);
  for (const key of keys) memory.put(key, new Uint8Array(0));
  const found: string[] = [];
  const listAll = async (): Promise<void> => {
    for await (const batch of store.list('k/', '', run)) found.push(...batch.map((info) => info.key));
  };
  await clock.runUntil(listAll());
  assert.deepEqual(found, keys);
  assert.equal(faulty.calls.length, 4);
});

test('the wait before a retry ends with the signal', async () => {
  const stop = new AbortController();
  const { clock, faulty, store } = sceneWith(() => ({ kind: 'fail', when: 'before', error: passingFault() }));
  const reason = new Error('enough');
  const waiting = store.stat('a', { signal: stop.signal });
  const rejected = assert.rejects(waiting, (error) => error === reason);
  await clock.advance(0);
  stop.abort(reason);
  await rejected;
  assert.equal(faulty.calls.length, 1);
});
