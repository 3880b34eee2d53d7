import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { needs } from '../servers/needs.ts';
import { startPostgres } from '../servers/postgres.ts';
import { startProxy } from '../servers/proxy.ts';
import { startRedis } from '../servers/redis.ts';
import { ENGINE_STORES } from './engine-model.ts';
import { checkRestored } from './engine-check.ts';
import { makeTables, openEngineWorld, SETTINGS, untilAllRecord, untilComplete } from './engine-world.ts';
import { ENGINES_LONGER, isFull } from './world.ts';

const TROUBLES = 3 * (isFull ? 2 : 1) * ENGINES_LONGER;
const MEAN_BYTES = 100_000;
/** For several troubles in a row: what the server keeps by itself is written in seconds. */
const BACKLOG = ['--repl-backlog-size', '64mb'];

const { skip } = needs('redis-server', 'postgres');

test('over a network that cuts, stands still, is slow and breaks, all stores are followed without a gap', {
  skip,
}, async (t) => {
  await using redis = await startRedis({ args: BACKLOG });
  await using postgres = await startPostgres({ settings: SETTINGS });
  await makeTables(postgres);
  await using cacheProxy = await startProxy({ toPort: redis.port });
  await using ordersProxy = await startProxy({ toPort: postgres.port });
  await using world = await openEngineWorld({
    redisUrl: `redis://127.0.0.1:${cacheProxy.port}`,
    postgresUrl: postgres.url.replace(`:${postgres.port}`, `:${ordersProxy.port}`),
  });
  t.diagnostic(`seed ${world.seed}`);
  const { random } = world;
  const up = world.startUp();
  world.startWriter({ redisPort: redis.port, postgresPort: postgres.port });
  await untilAllRecord(world);
  const troubles = [
    async () => cacheProxy.cut(),
    async () => ordersProxy.cut(),
    async () => {
      for (const proxy of [cacheProxy, ordersProxy]) proxy.pause();
      await sleep(random.integer(2_000));
      for (const proxy of [cacheProxy, ordersProxy]) proxy.resume();
    },
    async () => {
      for (const proxy of [cacheProxy, ordersProxy]) proxy.slow({ bytesPerSecond: 50_000 });
      await sleep(random.integer(2_000));
      for (const proxy of [cacheProxy, ordersProxy]) proxy.slow({ bytesPerSecond: Number.POSITIVE_INFINITY });
    },
    async () => {
      const loss = { seed: random.integer(1_000_000), meanBytes: MEAN_BYTES };
      for (const proxy of [cacheProxy, ordersProxy]) proxy.lossy(loss);
      await sleep(1_000 + random.integer(1_000));
      for (const proxy of [cacheProxy, ordersProxy]) proxy.lossy(undefined);
    },
  ];
  const marks: string[] = [];
  for (let count = 0; count < TROUBLES; count++) {
    await random.shuffle(troubles)[0]?.();
    if (random.chance(0.3)) marks.push(await untilComplete(world));
  }
  marks.push(await untilComplete(world));
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  assert.equal(status, 0, err);
  const recorded = await world.recorded();
  t.diagnostic(`${recorded.complete.length} complete of ${recorded.marks.length} marks over ${model.steps} steps`);
  assert.deepEqual(ENGINE_STORES.map(recorded.gaps).flat(), [], err);
  assert.deepEqual(ENGINE_STORES.map(recorded.bases), [1, 1, 1, 1]);
  await checkRestored(world, model, { recorded, ids: marks.slice(-2) });
});
