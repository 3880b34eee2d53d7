import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { needs } from '../servers/needs.ts';
import { startPostgres } from '../servers/postgres.ts';
import { startRedis } from '../servers/redis.ts';
import { checkMarks, makeTables, openEngineWorld, SETTINGS, takeMark, untilAllRecord } from './engine-world.ts';
import type { EngineWorld, TakenMark } from './engine-world.ts';
import { isFull, LONGER } from './world.ts';

const RESTORED = isFull ? 8 : 3;
const SECONDS = 4 * LONGER;
const KILLS = isFull ? 3 : 2;

/** Some of them, the newest one among them. */
function chosen({ random }: EngineWorld, marks: readonly TakenMark[]): readonly TakenMark[] {
  const complete = marks.filter(({ state }) => state === 'complete');
  const newest = complete.slice(-1);
  return [...random.shuffle(complete.slice(0, -1)).slice(0, RESTORED - 1), ...newest];
}

const PAUSED = `, seal: { pause: [sh, -c, 'touch pause; while [ ! -e paused ]; do sleep 0.01; done'], resume: [sh, -c, 'rm -f pause; while [ -e paused ]; do sleep 0.01; done'] }`;

const { skip } = needs('redis-server', 'postgres');

test('marks over Redis, PostgreSQL, files and an embedded store restore into fresh servers that agree; sealed ones exactly', {
  skip,
}, async (t) => {
  await using redis = await startRedis();
  await using postgres = await startPostgres({ settings: SETTINGS });
  await makeTables(postgres);
  await using world = await openEngineWorld({ redisUrl: redis.url, postgresUrl: postgres.url, more: PAUSED });
  t.diagnostic(`seed ${world.seed}`);
  const up = world.startUp();
  world.startWriter({ redisPort: redis.port, postgresPort: postgres.port });
  await untilAllRecord(world);
  await sleep(SECONDS * 1000);
  const named = takeMark(world, ['before-upgrade']);
  const sealed = takeMark(world, ['--sealed']);
  await sleep(500);
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  assert.equal(status, 0, err);
  const marks = world.marks();
  t.diagnostic(`${marks.length} marks over ${model.steps} steps`);
  assert.ok(marks.filter(({ state }) => state === 'complete').length > SECONDS / 2);
  const wanted = marks.filter(({ id }) => id === named || id === sealed);
  assert.deepEqual([wanted.length, wanted.at(-1)?.class], [2, 'sealed']);
  await checkMarks(world, model, [...wanted, ...chosen(world, marks)]);
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
  const ports = { redisPort: redis.port, postgresPort: postgres.port };
  world.startWriter(ports);
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
    await sleep(1_000);
    await untilAllRecord(world);
  }
  await sleep(2_000);
  const last = takeMark(world);
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  // A Redis that is killed forgets its replication id: a gap, which is told, and a new base.
  assert.equal(status, 3, err);
  assert.match(err, /cache: a gap since/);
  assert.doesNotMatch(err, /orders: a gap since/);
  const marks = world.marks();
  const complete = marks.filter(({ state }) => state === 'complete');
  t.diagnostic(`${complete.length} complete of ${marks.length} marks over ${model.steps} steps`);
  assert.ok(complete.some(({ id }) => id === last));
  await checkMarks(world, model, chosen(world, marks));
});
