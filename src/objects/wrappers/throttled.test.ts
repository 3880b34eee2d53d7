import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSystemClock } from '../../flow/clock.ts';
import { createVirtualClock } from '../../flow/virtual-clock.ts';
import { memoryFixture } from '../../testing/memory-fixture.ts';
import { MemoryObjectStore } from '../../testing/memory-object-store.ts';
import { registerObjectStoreSuite } from '../../testing/object-store-suite.ts';
import { throttledStore } from './throttled.ts';

registerObjectStoreSuite({
  name: 'throttled',
  open: async () =>
    memoryFixture((memory) =>
      throttledStore(memory, {
        clock: createSystemClock(),
        uploadBytesPerSecond: 2 ** 40,
        downloadBytesPerSecond: 2 ** 40,
      }),
    ),
  capabilities: { exclusiveCreate: true, provesDigest: false, listsAtOnce: true },
});

test('what goes up and down takes its time, each way by itself', async (t) => {
  const run = { signal: t.signal };
  const clock = createVirtualClock(0);
  const memory = new MemoryObjectStore({ clock });
  const store = throttledStore(memory, { clock, uploadBytesPerSecond: 1000, downloadBytesPerSecond: 4000 });
  const createAll = async (): Promise<void> => {
    for (let index = 0; index < 20; index += 1) {
      await store.create(`up/${index}`, [new Uint8Array(300), new Uint8Array(200)], run);
    }
  };
  await clock.runUntil(createAll());
  // 10,000 bytes at 1,000 a second; the first second's worth and the last call go at once.
  assert.equal(clock.monotonicMs(), 8500);
  const into = new Uint8Array(500);
  const readAll = async (): Promise<void> => {
    for (let index = 0; index < 20; index += 1) await store.read(`up/${index}`, 0, into, run);
  };
  await clock.runUntil(readAll());
  assert.equal(clock.monotonicMs(), 8500 + 1375);
});

test('without a limit nothing waits', async (t) => {
  const run = { signal: t.signal };
  const clock = createVirtualClock(0);
  const store = throttledStore(new MemoryObjectStore({ clock }), { clock });
  await store.create('a', [new Uint8Array(1 << 20)], run);
  assert.equal(await store.read('a', 0, new Uint8Array(1 << 20), run), 1 << 20);
  assert.equal(clock.monotonicMs(), 0);
});

test('a create that waits for its turn ends with the signal, without effect', async () => {
  const clock = createVirtualClock(0);
  const memory = new MemoryObjectStore({ clock });
  const store = throttledStore(memory, { clock, uploadBytesPerSecond: 1 });
  const stop = new AbortController();
  const run = { signal: stop.signal };
  await store.create('first', [new Uint8Array(100)], run);
  const waiting = store.create('second', [new Uint8Array(1)], run);
  const reason = new Error('enough');
  stop.abort(reason);
  await assert.rejects(waiting, (error) => error === reason);
  assert.deepEqual(memory.keys(), ['first']);
});
