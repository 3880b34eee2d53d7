import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createRateLimit } from './rate.ts';
import { createVirtualClock } from './virtual-clock.ts';

test('over any interval no more goes through than burst, rate and one call allow, in order', async (t) => {
  const take = fc.record({ sizeBytes: fc.integer({ min: 0, max: 3000 }), pauseMs: fc.integer({ min: 0, max: 2000 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(take, { maxLength: 20 }),
      fc.integer({ min: 0, max: 2000 }),
      async (takes, burstBytes) => {
        const clock = createVirtualClock(0);
        const bytesPerSecond = 1000;
        const limit = createRateLimit({ clock, bytesPerSecond, burstBytes });
        const gone: { readonly atMs: number; readonly sizeBytes: number; readonly call: number }[] = [];
        let calls = 0;
        const all = takes.map(async ({ sizeBytes, pauseMs }) => {
          await clock.sleep(pauseMs, t);
          const call = calls++;
          await limit.take(sizeBytes, t);
          gone.push({ atMs: clock.monotonicMs(), sizeBytes, call });
        });
        await clock.runUntil(Promise.all(all));
        assert.deepEqual(
          gone.map(({ call }) => call),
          [...takes.keys()],
        );
        for (const [from, first] of gone.entries()) {
          let sum = 0;
          for (const { atMs, sizeBytes } of gone.slice(from)) {
            const allowed = burstBytes + ((atMs - first.atMs) * bytesPerSecond) / 1000;
            assert.ok(sum <= allowed + 0.001, `${sum} before a call, ${allowed} allowed`);
            sum += sizeBytes;
          }
        }
      },
    ),
    { numRuns: 100 },
  );
});

test('a steady load goes through at the rate', async (t) => {
  const clock = createVirtualClock(0);
  const limit = createRateLimit({ clock, bytesPerSecond: 1000, burstBytes: 100 });
  const load = async (): Promise<void> => {
    for (let count = 0; count < 101; count += 1) await limit.take(100, t);
  };
  await clock.runUntil(load());
  assert.equal(Math.round(clock.monotonicMs()), 9900);
});

test('a pause earns no more than the burst', async (t) => {
  const clock = createVirtualClock(0);
  const limit = createRateLimit({ clock, bytesPerSecond: 1000, burstBytes: 500 });
  await clock.advance(60_000);
  await limit.take(500, t);
  await limit.take(100, t);
  assert.equal(clock.monotonicMs(), 60_000);
  await clock.runUntil(limit.take(1, t));
  assert.equal(Math.round(clock.monotonicMs()), 60_100);
});

test('an abort ends the wait with its reason', async (t) => {
  const clock = createVirtualClock(0);
  const controller = new AbortController();
  const limit = createRateLimit({ clock, bytesPerSecond: 10 });
  await limit.take(1000, t);
  const waiting = limit.take(1, { signal: controller.signal });
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(waiting, reason);
});
