import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkAll } from './check.ts';
import { LONGER, markAtRandom, openWorld, untilRecording } from './world.ts';

const SECONDS = 4 * LONGER;

test(`every mark that is taken under load holds what was there then, and a second recorder is refused`, async (t) => {
  await using world = await openWorld();
  t.diagnostic(`seed ${world.seed}`);
  const up = world.startUp();
  world.startWriter();
  await untilRecording(world);
  const promised = [...(await markAtRandom(world, SECONDS))];
  const second = world.shop.run(['up']);
  assert.deepEqual([second.status, second.json['code']], [8, 'BUSY'], second.err);
  assert.match(second.err, new RegExp(`process ${up.child.pid} \\(up\\)`));
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  assert.equal(status, 0, err);
  const { marks, complete, gaps, bases } = await checkAll(world, model, { promised });
  t.diagnostic(`${marks.length} marks over ${model.steps} steps`);
  assert.deepEqual([gaps, complete.length], [[], marks.length]);
  assert.deepEqual(['orders', 'catalog', 'uploads'].map(bases), [1, 1, 1]);
  assert.ok(promised.length > 5 * LONGER, `${promised.length} marks`);
});
