import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeter } from './meter.ts';
import { createVirtualClock } from './virtual-clock.ts';

test('rate and time left follow what was counted', async () => {
  const clock = createVirtualClock(0);
  const meter = createMeter({ clock });
  assert.deepEqual(meter.read(), { count: 0, total: undefined, perSecond: 0, remainingMs: undefined });
  meter.setTotal(1000);
  for (let second = 0; second < 5; second += 1) {
    await clock.advance(1000);
    meter.add(100);
  }
  assert.deepEqual(meter.read(), { count: 500, total: 1000, perSecond: 100, remainingMs: 5000 });
  meter.add(700);
  assert.equal(meter.read().remainingMs, 0);
});

test('the rate is that of the last window, however long the work has taken', async () => {
  const clock = createVirtualClock(0);
  const meter = createMeter({ clock, windowMs: 1000 });
  for (let step = 0; step < 1000; step += 1) {
    await clock.advance(100);
    meter.add(1000);
  }
  for (let step = 0; step < 30; step += 1) {
    await clock.advance(100);
    meter.add(10);
  }
  const { perSecond } = meter.read();
  assert.ok(perSecond >= 90 && perSecond <= 110, `${perSecond}`);
});

test('what stands still has no time left that could be told', async () => {
  const clock = createVirtualClock(0);
  const meter = createMeter({ clock, windowMs: 1000 });
  meter.setTotal(100);
  meter.add(50);
  await clock.advance(5000);
  meter.read();
  await clock.advance(5000);
  const { perSecond, remainingMs } = meter.read();
  assert.deepEqual({ perSecond, remainingMs }, { perSecond: 0, remainingMs: undefined });
});
