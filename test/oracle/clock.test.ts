import assert from 'node:assert/strict';
import { test } from 'node:test';
import { up } from '../../src/agent/up.ts';
import { findMark, openReader } from '../../src/app/look.ts';
import type { Clock } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { checkAll } from './check.ts';
import { openShopApplication, run } from './opened.ts';
import { LONGER, markAtRandom, openWorld, untilRecording } from './world.ts';

const HOUR_MS = 3_600_000;
const JUMPS_MS = [0, -30 * HOUR_MS, 2 * HOUR_MS, -HOUR_MS];

test('a clock that jumps to and fro breaks nothing: order comes from positions', async (t) => {
  await using world = await openWorld();
  t.diagnostic(`seed ${world.seed}`);
  let aheadMs = 0;
  const machine = createSystemClock();
  const clock: Clock = { ...machine, nowMs: () => machine.nowMs() + aheadMs };
  const stop = new AbortController();
  const news: string[] = [];
  await using application = await openShopApplication(world.shop, clock);
  const ended = up(application, { onNews: (message) => news.push(message) }, { signal: stop.signal });
  const promised: string[] = [];
  try {
    world.startWriter();
    await untilRecording(world);
    for (const jumpMs of JUMPS_MS) {
      aheadMs = jumpMs;
      promised.push(...(await markAtRandom(world, 0.6 * LONGER)));
    }
    const named = await world.mark({ name: 'the-newest' });
    promised.push(String(named));
  } finally {
    stop.abort(new Error('enough'));
    await ended;
  }
  const model = await world.stopWriter();
  const { gaps, bases, complete } = await checkAll(world, model, { promised, isTimeKnown: false });
  assert.deepEqual([gaps, news.filter((text) => text.includes('gap'))], [[], []]);
  assert.deepEqual(['orders', 'catalog', 'uploads'].map(bases), [1, 1, 1]);
  await using reader = await openReader(application, {}, run);
  const furthest = complete
    .map(({ mark }) => mark.positions['orders']?.order ?? '')
    .toSorted()
    .at(-1);
  const latest = findMark(application, reader, 'latest');
  assert.equal(latest.mark.positions['orders']?.order, furthest, 'the newest mark is the one that stands furthest');
});
