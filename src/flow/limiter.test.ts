import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createLimiter } from './limiter.ts';
import { createVirtualClock } from './virtual-clock.ts';

test('no more than the limit run at once, in order of arrival, and all get their turn', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.integer({ min: 0, max: 5 })),
      async (limit, delays) => {
        const clock = createVirtualClock(0);
        const limiter = createLimiter(limit);
        const { signal } = new AbortController();
        const started: number[] = [];
        let most = 0;
        const tasks = delays.map((delayMs, index) =>
          limiter.within(
            async (run) => {
              started.push(index);
              most = Math.max(most, limiter.active);
              await clock.sleep(delayMs, run);
              return index;
            },
            { signal },
          ),
        );
        assert.deepEqual(await clock.runUntil(Promise.all(tasks)), [...delays.keys()]);
        assert.deepEqual(started, [...delays.keys()]);
        assert.equal(most, Math.min(limit, delays.length));
        assert.equal(limiter.active + limiter.waiting, 0);
        assert.equal(getEventListeners(signal, 'abort').length, 0);
      },
    ),
    { numRuns: 50 },
  );
});

test('who gives up while waiting leaves the queue and takes nobody’s turn', async () => {
  const limiter = createLimiter(1);
  const run = { signal: new AbortController().signal };
  const impatient = new AbortController();
  const reason = new Error('enough');
  const held = await limiter.acquire(run);
  const given = limiter.acquire({ signal: impatient.signal });
  const next = limiter.acquire(run);
  assert.equal(limiter.waiting, 2);
  impatient.abort(reason);
  await assert.rejects(given, reason);
  assert.equal(limiter.waiting, 1);
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  const permit = await next;
  assert.equal(limiter.active, 1);
  permit[Symbol.dispose]();
  assert.equal(limiter.active, 0);
  await assert.rejects(limiter.acquire({ signal: impatient.signal }), reason);
});

test('a newcomer can’t overtake who was given the permit', async () => {
  const limiter = createLimiter(1);
  const run = { signal: new AbortController().signal };
  const order: string[] = [];
  const held = await limiter.acquire(run);
  const waiting = limiter.within(async () => void order.push('waiting'), run);
  held[Symbol.dispose]();
  await Promise.all([limiter.within(async () => void order.push('newcomer'), run), waiting]);
  assert.deepEqual(order, ['waiting', 'newcomer']);
});

test('a failing operation gives its permit back', async () => {
  const limiter = createLimiter(1);
  const run = { signal: new AbortController().signal };
  await assert.rejects(
    limiter.within(() => Promise.reject(new RangeError('x')), run),
    RangeError,
  );
  assert.equal(limiter.active, 0);
});
