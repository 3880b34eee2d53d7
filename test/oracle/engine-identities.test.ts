import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import { waitUntil } from '../servers/guarded.ts';
import { needs } from '../servers/needs.ts';
import { startPostgres } from '../servers/postgres.ts';
import { startProxy } from '../servers/proxy.ts';
import { promote, startRedis } from '../servers/redis.ts';
import { ENGINE_STORES } from './engine-model.ts';
import { restoredCounters } from './engine-restored.ts';
import { checkRestored } from './engine-check.ts';
import { makeTables, openEngineWorld, SETTINGS, untilAllRecord, untilComplete } from './engine-world.ts';
import type { EngineWorld } from './engine-world.ts';
import { askingOf, isFull } from './world.ts';

const { skip } = needs('redis-server', 'postgres');

/** At the full level only. */
function fully(name: string, work: (t: TestContext) => Promise<void>): void {
  if (isFull) void test(name, { skip }, work);
}

const KEEP = { ...SETTINGS, wal_keep_size: '256MB' };

/** How far the writer has come, in all stores alike. */
async function stepsOf(world: EngineWorld): Promise<number> {
  return (await world.stopWriter()).steps;
}

fully('other servers on the same addresses are noticed, and what was recorded of the first ones stays', async (t) => {
  await using redis = await startRedis();
  await using postgres = await startPostgres({ settings: SETTINGS });
  await makeTables(postgres);
  await using cacheProxy = await startProxy({ toPort: redis.port });
  await using ordersProxy = await startProxy({ toPort: postgres.port });
  await using world = await openEngineWorld({
    redisUrl: `redis://127.0.0.1:${cacheProxy.port}`,
    postgresUrl: postgres.url.replace(`:${postgres.port}`, `:${ordersProxy.port}`),
  });
  t.diagnostic(`seed ${world.seed}`);
  const leadTo = (redisPort: number, postgresPort: number): void => {
    cacheProxy.leadTo(redisPort);
    ordersProxy.leadTo(postgresPort);
    for (const proxy of [cacheProxy, ordersProxy]) proxy.cut();
  };
  const up = world.startUp();
  world.startWriter({ redisPort: redis.port, postgresPort: postgres.port });
  await untilAllRecord(world);
  await sleep(500);
  const n = await stepsOf(world);
  const first = await untilComplete(world);
  await using otherRedis = await startRedis();
  await using otherPostgres = await startPostgres({ settings: SETTINGS });
  await makeTables(otherPostgres);
  leadTo(otherRedis.port, otherPostgres.port);
  const second = await untilComplete(world);
  leadTo(redis.port, postgres.port);
  const third = await untilComplete(world);
  const { status, err } = await world.stop(up);
  assert.equal(status, 3, err);
  const { gaps, bases } = await world.recorded();
  assert.deepEqual(
    ENGINE_STORES.map((store) => gaps(store).length),
    [0, 2, 2, 0],
    err,
  );
  assert.deepEqual(ENGINE_STORES.map(bases), [1, 3, 3, 1]);
  const all = { uploads: n, cache: n, orders: n, catalog: n };
  assert.deepEqual(await restoredCounters(world, first), all);
  assert.deepEqual(await restoredCounters(world, second), { ...all, cache: 0, orders: 0 });
  assert.deepEqual(await restoredCounters(world, third), all);
});

fully(
  'a replica of Redis that was promoted is gone on from where it has all, and told where it went its own way',
  async (t) => {
    await using redis = await startRedis();
    await using whole = await startRedis({ replicaOf: redis });
    await using early = await startRedis({ replicaOf: redis });
    await using postgres = await startPostgres({ settings: SETTINGS });
    await makeTables(postgres);
    await using proxy = await startProxy({ toPort: redis.port });
    const redisUrl = `redis://127.0.0.1:${proxy.port}`;
    await using world = await openEngineWorld({ redisUrl, postgresUrl: postgres.url });
    t.diagnostic(`seed ${world.seed}`);
    const up = world.startUp();
    await untilAllRecord(world);
    await promote(early);
    world.startWriter({ redisPort: redis.port, postgresPort: postgres.port });
    await sleep(1_000);
    const n = await stepsOf(world);
    const first = await untilComplete(world);
    const counter = String(n);
    await waitUntil('the replica has all', async () => (await whole.call('get', 'counter')) === counter);
    await redis.kill();
    await promote(whole);
    proxy.leadTo(whole.port);
    proxy.cut();
    const second = await untilComplete(world);
    assert.deepEqual((await world.recorded()).gaps('cache'), [], 'it goes on');
    // More than all that the first one ever wrote.
    await early.call('EVAL', "for i = 1, 5000 do redis.call('SET', 'own/' .. i, string.rep('x', 1000)) end", '0');
    proxy.leadTo(early.port);
    proxy.cut();
    const third = await untilComplete(world);
    const { status, err } = await world.stop(up);
    assert.equal(status, 3, err);
    const { gaps } = await world.recorded();
    assert.deepEqual(
      ENGINE_STORES.map((store) => gaps(store).length),
      [0, 1, 0, 0],
      err,
    );
    const all = { uploads: n, cache: n, orders: n, catalog: n };
    assert.deepEqual(await restoredCounters(world, first), all);
    assert.deepEqual(await restoredCounters(world, second), all);
    assert.deepEqual(await restoredCounters(world, third), { ...all, cache: 0 });
  },
);

test('a dropped slot, and a copy of a PostgreSQL server in its place, are noticed', { skip }, async (t) => {
  await using redis = await startRedis();
  await using postgres = await startPostgres({ settings: KEEP });
  await makeTables(postgres);
  await using world = await openEngineWorld({ redisUrl: redis.url, postgresUrl: postgres.url });
  t.diagnostic(`seed ${world.seed}`);
  const ports = { redisPort: redis.port, postgresPort: postgres.port };
  let up = world.startUp();
  await untilAllRecord(world);
  const first = await untilComplete(world);
  await world.stop(up);
  await postgres.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
  up = world.startUp();
  const second = await untilComplete(world);
  assert.equal((await world.recorded()).gaps('orders').length, 1);
  await world.stop(up);
  await postgres.stop();
  await using copies = temporaryFolder();
  const folder = join(copies.path, 'data');
  execFileSync('cp', ['-a', postgres.folder, folder]);
  execFileSync('chmod', ['0755', copies.path]);
  await postgres.start();
  world.startWriter(ports);
  up = world.startUp();
  await untilAllRecord(world);
  await sleep(500);
  const n = await stepsOf(world);
  const third = await untilComplete(world);
  await world.stop(up);
  await postgres.stop();
  await using copy = await startPostgres({ folder, port: postgres.port });
  await copy.query('CREATE TABLE own AS SELECT n, repeat(md5(n::text), 10) FROM generate_series(1, 50000) n');
  up = world.startUp();
  const fourth = await untilComplete(world);
  const { err } = await world.stop(up);
  const { gaps, bases } = await world.recorded();
  assert.deepEqual(
    ENGINE_STORES.map((store) => gaps(store).length),
    [0, 0, 2, 0],
    err,
  );
  assert.deepEqual(ENGINE_STORES.map(bases), [1, 1, 3, 1]);
  const none = { uploads: 0, cache: 0, orders: 0, catalog: 0 };
  const all = { uploads: n, cache: n, orders: n, catalog: n };
  assert.deepEqual(await restoredCounters(world, first), none);
  assert.deepEqual(await restoredCounters(world, second), none);
  assert.deepEqual(await restoredCounters(world, third), all);
  assert.deepEqual(await restoredCounters(world, fourth), { ...all, orders: 0 });
});

fully(
  'two hosts that record the same stores take nothing from each other, and all their marks are right',
  async (t) => {
    await using redis = await startRedis();
    await using postgres = await startPostgres({ settings: SETTINGS });
    await makeTables(postgres);
    await using world = await openEngineWorld({ redisUrl: redis.url, postgresUrl: postgres.url });
    t.diagnostic(`seed ${world.seed}`);
    const { shop } = world;
    const up = world.startUp();
    const otherUp = world.startUp({ env: { XDG_STATE_HOME: shop.at('other-state') } });
    const at: typeof shop.at = (first, ...rest) => shop.at(first === 'state' ? 'other-state' : (first ?? ''), ...rest);
    const other = await askingOf({ ...shop, at });
    world.startWriter({ redisPort: redis.port, postgresPort: postgres.port });
    await untilAllRecord(world);
    await untilAllRecord(other);
    await sleep(1_000);
    const marks = [await untilComplete(world), await untilComplete(other)];
    const model = await world.stopWriter();
    for (const { status, err } of [await world.stop(up), await world.stop(otherUp)]) assert.equal(status, 0, err);
    const recorded = await world.recorded();
    assert.deepEqual(ENGINE_STORES.map(recorded.gaps).flat(), []);
    assert.deepEqual(ENGINE_STORES.map(recorded.bases), [2, 2, 2, 2]);
    t.diagnostic(`${recorded.complete.length} complete of ${recorded.marks.length} marks over ${model.steps} steps`);
    await checkRestored(world, model, { recorded, ids: marks });
  },
);
