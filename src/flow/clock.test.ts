import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { createSystemClock } from './clock.ts';

test('a sleep ends no earlier than asked and leaves no listener', async () => {
  const { signal } = new AbortController();
  const clock = createSystemClock();
  const beforeMs = clock.monotonicMs();
  await clock.sleep(3, { signal });
  assert.ok(clock.monotonicMs() - beforeMs >= 3);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('a sleep ends with the reason when the signal aborts', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  const clock = createSystemClock();
  const sleep = clock.sleep(3_600_000, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(sleep, reason);
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  await assert.rejects(clock.sleep(0, { signal: controller.signal }), reason);
});

test('a sleep counts by the clock that is given, which goes on while the machine is suspended', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let bootMs = 1000;
  const clock = createSystemClock(() => bootMs);
  let awake = false;
  const sleep = clock.sleep(60_000, { signal: t.signal }).then(() => {
    awake = true;
  });
  const wakeTimer = async (): Promise<void> => {
    t.mock.timers.tick(15_000);
    await new Promise((resolve) => process.nextTick(resolve));
  };
  await Promise.resolve();

  bootMs += 15_000;
  await wakeTimer();
  assert.ok(!awake, 'a quarter has passed');

  bootMs += 45_000;
  await wakeTimer();
  assert.ok(awake, 'the rest has passed at once');
  await sleep;
  assert.equal(clock.monotonicMs(), 61_000);
});

test('wall time is that of the machine', () => {
  const before = Date.now();
  const nowMs = createSystemClock().nowMs();
  assert.ok(nowMs >= before && nowMs <= Date.now());
});
