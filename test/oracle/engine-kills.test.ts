import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { needs } from '../servers/needs.ts';
import { startPostgres } from '../servers/postgres.ts';
import { startProxy } from '../servers/proxy.ts';
import { startRedis } from '../servers/redis.ts';
import { checkRestored } from './engine-check.ts';
import { makeTables, openEngineWorld, SETTINGS, untilAllRecord, untilComplete } from './engine-world.ts';
import { ENGINE_STORES } from './engine-model.ts';
import { LONGER, markAtRandom, until } from './world.ts';

const KILLS = 2 * LONGER;
const SECONDS = 1;
const FILLED_MB = 4;
/** For a recorder that is away for long on a slow machine. */
const BACKLOG = ['--repl-backlog-size', '64mb'];

const { skip } = needs('redis-server', 'postgres');

test('a recorder of four stores that is killed −9 at random moments goes on without a gap, and keeps the marks that it promised', {
  skip,
}, async (t) => {
  await using redis = await startRedis({ args: BACKLOG });
  await using postgres = await startPostgres({ settings: SETTINGS });
  await makeTables(postgres);
  await using world = await openEngineWorld({ redisUrl: redis.url, postgresUrl: postgres.url });
  t.diagnostic(`seed ${world.seed}`);
  const promised: string[] = [];
  world.startWriter({ redisPort: redis.port, postgresPort: postgres.port });
  for (let count = 0; count < KILLS; count++) {
    const up = world.startUp();
    if (count === 0 || world.random.chance(0.5)) await untilAllRecord(world);
    const marks = markAtRandom(world, SECONDS);
    await sleep(world.random.integer(SECONDS * 1000));
    await world.kill(up);
    promised.push(...(await marks));
  }
  const up = world.startUp();
  await untilAllRecord(world);
  promised.push(...(await markAtRandom(world, SECONDS)), await untilComplete(world));
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  assert.equal(status, 0, err);
  const recorded = await world.recorded();
  const { marks, complete } = recorded;
  t.diagnostic(`${complete.length} complete of ${marks.length} marks over ${model.steps} steps`);
  const ids = new Set(marks.map(({ id }) => id));
  assert.deepEqual(
    promised.filter((id) => !ids.has(id)),
    [],
    'marks that were promised',
  );
  assert.deepEqual(ENGINE_STORES.map(recorded.gaps).flat(), []);
  assert.deepEqual(ENGINE_STORES.map(recorded.bases), [1, 1, 1, 1], 'no base had to be taken anew');
  await checkRestored(world, model, { recorded, ids: promised.slice(-1) });
});

test('servers that are killed −9 while their first base is taken leave nothing half', { skip }, async (t) => {
  await using redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  await using postgres = await startPostgres({ settings: SETTINGS });
  await makeTables(postgres);
  await postgres.query(
    `CREATE TABLE big AS SELECT n, (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 28) i) AS pad FROM generate_series(1, ${FILLED_MB * 1000}) n`,
  );
  const filled = `for n = 1, ${FILLED_MB * 1000} do local pad = {}; for i = 1, 22 do pad[i] = redis.sha1hex(n .. '/' .. i) end; redis.call('SET', 'big/' .. n, table.concat(pad)) end`;
  await redis.call('EVAL', filled, '0');
  await using cacheProxy = await startProxy({ toPort: redis.port });
  await using ordersProxy = await startProxy({ toPort: postgres.port });
  await using world = await openEngineWorld({
    redisUrl: `redis://127.0.0.1:${cacheProxy.port}`,
    postgresUrl: postgres.url.replace(`:${postgres.port}`, `:${ordersProxy.port}`),
  });
  t.diagnostic(`seed ${world.seed}`);
  for (const proxy of [cacheProxy, ordersProxy]) proxy.slow({ bytesPerSecond: 4_000_000 });
  world.startWriter({ redisPort: redis.port, postgresPort: postgres.port });
  const up = world.startUp();
  for (const [proxy, server] of [
    [cacheProxy, redis],
    [ordersProxy, postgres],
  ] as const) {
    const start = proxy.bytes;
    await until('a base is being sent', () => proxy.bytes - start > 500_000 + world.random.integer(2_000_000));
    await server.kill();
    await server.start();
  }
  for (const proxy of [cacheProxy, ordersProxy]) proxy.slow({ bytesPerSecond: Number.POSITIVE_INFINITY });
  await untilAllRecord(world);
  const first = await untilComplete(world);
  await sleep(500);
  const last = await untilComplete(world);
  const model = await world.stopWriter();
  const { err } = await world.stop(up);
  const recorded = await world.recorded();
  const { complete, marks } = recorded;
  t.diagnostic(`${complete.length} complete of ${marks.length} marks over ${model.steps} steps\n${err}`);
  assert.deepEqual(ENGINE_STORES.map(recorded.bases), [1, 1, 1, 1], 'only whole bases count');
  await checkRestored(world, model, { recorded, ids: [first, last] });
});
