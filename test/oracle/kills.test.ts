import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkAll } from './check.ts';
import { LONGER, markAtRandom, openWorld, until, untilRecording } from './world.ts';

const KILLS = 3 * LONGER;
const SECONDS = 1;

test('a recorder that is killed at random moments goes on without a gap, and keeps the marks that it promised', async (t) => {
  await using world = await openWorld();
  t.diagnostic(`seed ${world.seed}`);
  const promised: string[] = [];
  world.startWriter();
  for (let count = 0; count < KILLS; count++) {
    const up = world.startUp();
    // Before it records it is killed as well, but not always.
    if (count === 0 || world.random.chance(0.5)) await untilRecording(world);
    const marks = markAtRandom(world, SECONDS);
    await sleep(world.random.integer(SECONDS * 1000));
    await world.kill(up);
    promised.push(...(await marks));
  }
  const up = world.startUp();
  await untilRecording(world);
  promised.push(...(await markAtRandom(world, SECONDS)));
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  assert.equal(status, 0, err);
  const { complete, gaps, bases } = await checkAll(world, model, { promised });
  t.diagnostic(`${complete.length} complete marks over ${model.steps} steps, ${promised.length} promised`);
  assert.deepEqual(gaps, []);
  assert.deepEqual(['orders', 'catalog', 'uploads'].map(bases), [1, 1, 1], 'no base had to be taken anew');
  assert.notEqual(complete.at(-1)?.mark.positions['catalog'], undefined);
});

test('a recorder that stands still for a while, as a suspended machine does, goes on as if nothing had happened', async (t) => {
  await using world = await openWorld();
  t.diagnostic(`seed ${world.seed}`);
  const up = world.startUp();
  world.startWriter();
  await untilRecording(world);
  const promised: string[] = [];
  for (let count = 0; count < LONGER; count++) {
    const marks = markAtRandom(world, 1);
    await sleep(world.random.integer(1000));
    up.child.kill('SIGSTOP');
    await sleep(300 + world.random.integer(1000));
    up.child.kill('SIGCONT');
    promised.push(...(await marks));
  }
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  assert.equal(status, 0, err);
  const { gaps } = await checkAll(world, model, { promised });
  assert.deepEqual(gaps, []);
});

test('while the repository is away all is kept on this host, and is in the repository once it is back', async (t) => {
  await using world = await openWorld();
  const { shop } = world;
  t.diagnostic(`seed ${world.seed}`);
  const up = world.startUp();
  world.startWriter();
  await untilRecording(world);
  await world.mark();
  renameSync(shop.at('backups'), shop.at('elsewhere'));
  const marks = markAtRandom(world, 3 * LONGER);
  await sleep(2000 * LONGER);
  renameSync(shop.at('elsewhere'), shop.at('backups'));
  const promised = await marks;
  await until('a mark can be had again', async () => (await world.mark()) !== undefined);
  await untilRecording(world);
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  assert.equal(status, 0, err);
  const { gaps, bases, complete } = await checkAll(world, model, { promised });
  t.diagnostic(`${complete.length} complete marks, ${promised.length} promised`);
  assert.deepEqual(gaps, []);
  assert.deepEqual(['orders', 'catalog', 'uploads'].map(bases), [1, 1, 1], 'no base had to be taken anew');
});
