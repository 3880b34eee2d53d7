import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BugError } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import { createVirtualClock } from './virtual-clock.ts';

const run: Run = { signal: new AbortController().signal };
const START_MS = Date.UTC(2026, 0, 1);

test('sleepers wake by due time and then by who slept first, at exactly that time', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 8 }), { maxLength: 12 }),
      async (tasks) => {
        const clock = createVirtualClock(START_MS);
        const log: { readonly dueMs: number; readonly slept: number }[] = [];
        let slept = 0;
        const sleepThrough = async (delays: readonly number[]): Promise<void> => {
          for (const delayMs of delays) {
            const mine = { dueMs: clock.monotonicMs() + delayMs, slept: slept++ };
            await clock.sleep(delayMs, run);
            assert.equal(clock.monotonicMs(), mine.dueMs);
            assert.equal(clock.nowMs(), START_MS + mine.dueMs);
            log.push(mine);
            // A long tail of promises has to be over before time goes on.
            for (let tick = 0; tick < 20; tick += 1) await Promise.resolve();
          }
        };
        await clock.runUntil(Promise.all(tasks.map(sleepThrough)));
        const sorted = log.toSorted((left, right) => left.dueMs - right.dueMs || left.slept - right.slept);
        assert.deepEqual(log, sorted);
        assert.equal(log.length, tasks.flat().length);
        assert.equal(clock.sleeping, 0);
      },
    ),
    { numRuns: 100 },
  );
});

test('time does not go on while a woken task has promises to follow', async () => {
  const clock = createVirtualClock(0);
  const seen: number[] = [];
  const busy = async (): Promise<void> => {
    await clock.sleep(1, run);
    for (let step = 0; step < 1000; step += 1) await Promise.resolve();
    process.nextTick(() => seen.push(clock.monotonicMs()));
    seen.push(clock.monotonicMs());
  };
  void clock.sleep(2, run);
  await clock.runUntil(busy());
  assert.deepEqual(seen.slice(0, 1), [1]);
  await clock.runUntilIdle();
  assert.deepEqual(seen, [1, 1]);
  assert.equal(clock.monotonicMs(), 2);
});

test('advance wakes who is due and stops at the given time', async () => {
  const clock = createVirtualClock(0);
  const woken: number[] = [];
  for (const delayMs of [5, 10, 10.5]) void clock.sleep(delayMs, run).then(() => woken.push(delayMs));
  await clock.advance(10);
  assert.deepEqual(woken, [5, 10]);
  assert.equal(clock.monotonicMs(), 10);
  assert.equal(clock.sleeping, 1);
  await clock.runUntilIdle();
  assert.deepEqual(woken, [5, 10, 10.5]);
  assert.equal(clock.monotonicMs(), 10.5);
});

test('who is aborted leaves the queue at once, and time does not go to where it would have woken', async () => {
  const clock = createVirtualClock(0);
  const controller = new AbortController();
  const { signal } = controller;
  const reason = new Error('enough');
  const sleeps = [7, 1, 5, 3].map((delayMs) => clock.sleep(delayMs, { signal }));
  const survivor = clock.sleep(4, run);
  controller.abort(reason);
  assert.equal(clock.sleeping, 1);
  for (const outcome of await Promise.allSettled(sleeps)) assert.deepEqual(outcome, { status: 'rejected', reason });
  await clock.runUntilIdle();
  await survivor;
  assert.equal(clock.monotonicMs(), 4);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  await assert.rejects(clock.sleep(1, { signal }), reason);
});

test('a sleeper that woke leaves no listener', async () => {
  const clock = createVirtualClock(0);
  const { signal } = new AbortController();
  for (let count = 0; count < 20; count += 1) void clock.sleep(count, { signal });
  await clock.runUntilIdle();
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('a simulation that stands still is a bug, and an outcome is passed on', async () => {
  const clock = createVirtualClock(0);
  await assert.rejects(clock.runUntil(new Promise(() => undefined)), BugError);
  const failing = clock.sleep(1, run).then(() => Promise.reject(new RangeError('x')));
  await assert.rejects(clock.runUntil(failing), RangeError);
  assert.equal(await clock.runUntil(clock.sleep(1, run).then(() => 7)), 7);
});

test('runUntil stops the clock when the task settles, others go on sleeping', async () => {
  const clock = createVirtualClock(0);
  void clock.sleep(100, run);
  await clock.runUntil(clock.sleep(3, run));
  assert.equal(clock.monotonicMs(), 3);
  assert.equal(clock.sleeping, 1);
});

test('two drivers at once are refused', async () => {
  const clock = createVirtualClock(0);
  const first = clock.advance(1);
  await assert.rejects(clock.advance(1), BugError);
  await first;
});

test('a jump of the wall clock moves no sleeper', async () => {
  const clock = createVirtualClock(1000);
  const sleep = clock.sleep(10, run);
  clock.jumpWall(-500);
  await clock.runUntil(sleep);
  assert.equal(clock.nowMs(), 510);
  assert.equal(clock.monotonicMs(), 10);
});
