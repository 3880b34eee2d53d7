import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { needs } from '../servers/needs.ts';
import { startPostgres } from '../servers/postgres.ts';
import { startRedis } from '../servers/redis.ts';
import { checkRestored } from './engine-check.ts';
import { makeTables, openEngineWorld, SETTINGS, untilAllRecord, untilComplete } from './engine-world.ts';
import { ENGINES_LONGER, isFull } from './world.ts';

const SECONDS = 3 * ENGINES_LONGER;
const KILLS = isFull ? 3 : 1;

const PAUSED = `, seal: { pause: [sh, -c, 'touch pause; while [ ! -e paused ]; do sleep 0.01; done'], resume: [sh, -c, 'rm -f pause; while [ -e paused ]; do sleep 0.01; done'] }`;

const { skip } = needs('redis-server', 'postgres');

test('marks over Redis, PostgreSQL, files and an embedded store restore into fresh servers that agree; sealed ones exactly', {
  skip,
}, async (t) => {
  await using redis = await startRedis();
  await using postgres = await startPostgres({ settings: SETTINGS });
  await makeTables(postgres);
  const more = { orders: PAUSED, cache: PAUSED, uploads: PAUSED };
  await using world = await openEngineWorld({ redisUrl: redis.url, postgresUrl: postgres.url, more });
  t.diagnostic(`seed ${world.seed}`);
  const up = world.startUp();
  world.startWriter({ redisPort: redis.port, postgresPort: postgres.port });
  await untilAllRecord(world);
  await sleep(SECONDS * 1000);
  const named = (await world.mark({ name: 'before-upgrade' })) ?? '';
  const sealed = (await world.mark({ sealed: true })) ?? '';
  await sleep(500);
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  assert.equal(status, 0, err);
  const recorded = await world.recorded();
  const { marks, complete } = recorded;
  t.diagnostic(`${marks.length} marks over ${model.steps} steps`);
  assert.ok(complete.length > SECONDS / 2);
  assert.equal(marks.find(({ id }) => id === sealed)?.class, 'sealed');
  await checkRestored(world, model, { recorded, ids: [named, sealed], times: 1 });
});

test('servers that are killed −9 while they are recorded are followed on, and every mark holds what was there', {
  skip,
}, async (t) => {
  // Redis keeps nothing by itself: what it has written to its log on disk is there after a kill.
  await using redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  await using postgres = await startPostgres({ settings: { ...SETTINGS, fsync: 'on' } });
  await makeTables(postgres);
  await using world = await openEngineWorld({ redisUrl: redis.url, postgresUrl: postgres.url });
  t.diagnostic(`seed ${world.seed}`);
  const up = world.startUp();
  world.startWriter({ redisPort: redis.port, postgresPort: postgres.port });
  await untilAllRecord(world);
  for (let count = 0; count < KILLS; count++) {
    await sleep(world.random.integer(1_500));
    if (world.random.chance(0.5) || count === 0) {
      await redis.kill();
      await redis.start();
    }
    await sleep(world.random.integer(500));
    if (world.random.chance(0.5) || count === 0) {
      await postgres.kill();
      await postgres.start();
    }
    await untilComplete(world);
  }
  await sleep(1_000);
  const last = await untilComplete(world);
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  // A Redis that is killed forgets its replication id: a gap, which is told, and a new base.
  assert.equal(status, 3, err);
  assert.match(err, /cache: a gap since/);
  const recorded = await world.recorded();
  assert.deepEqual(recorded.gaps('orders'), []);
  t.diagnostic(`${recorded.complete.length} complete of ${recorded.marks.length} marks over ${model.steps} steps`);
  await checkRestored(world, model, { recorded, ids: [last] });
});
