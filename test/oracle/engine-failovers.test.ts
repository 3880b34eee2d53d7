import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../servers/guarded.ts';
import { needs } from '../servers/needs.ts';
import { promote, startPostgres } from '../servers/postgres.ts';
import type { PostgresServer } from '../servers/postgres.ts';
import { failover, startSentinels, untilFailedOver } from '../servers/redis-sentinels.ts';
import { startRedis, untilSynchronised } from '../servers/redis.ts';
import { checkRestored } from './engine-check.ts';
import { makeTables, openEngineWorld, SETTINGS, untilAllRecord, untilComplete } from './engine-world.ts';
import { isFull } from './world.ts';

const { skip } = needs('redis-server', 'redis-sentinel', 'postgres');

/** Nothing is committed that the standby has not. We are no standby of that name. */
async function waitForStandby(primary: PostgresServer): Promise<void> {
  await primary.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await primary.query('SELECT pg_reload_conf()');
  const states = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
  await waitUntil('the standby is synchronous', async () => (await primary.value(states)) === '1');
}

for (const isStill of isFull ? [true, false] : [true]) {
  const what = isStill
    ? 'failovers of Redis and PostgreSQL are followed without a gap when what they go on from is all there was'
    : 'failovers of Redis and PostgreSQL in the midst of writes lose no mark, and what can’t be followed is told';
  test(what, { skip }, async (t) => {
    await using one = await startRedis();
    await using two = await startRedis({ replicaOf: one });
    await using sentinels = await startSentinels({ masterPort: one.port });
    await using primary = await startPostgres({ settings: SETTINGS });
    await makeTables(primary);
    await using standby = await startPostgres({ standbyOf: { primary } });
    await waitForStandby(primary);
    const addresses = sentinels.ports.map((port) => `127.0.0.1:${port}`).join(', ');
    await using world = await openEngineWorld({
      redisUrl: 'redis://shop',
      postgresUrl: `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`,
      more: { cache: `, sentinels: ['${addresses.replaceAll(', ', "', '")}']` },
    });
    t.diagnostic(`seed ${world.seed}`);
    const up = world.startUp();
    world.startWriter({ redisPort: one.port, postgresPort: primary.port, replicaPort: two.port });
    await untilAllRecord(world);
    await sleep(500 + world.random.integer(1_000));
    const before = await untilComplete(world);
    if (isStill) await world.standStill();
    const killed = [one.kill(), primary.kill()];
    await Promise.all(killed);
    assert.equal(await untilFailedOver(sentinels, one.port), two.port);
    await promote(standby);
    world.moveWriter({ redisPort: two.port, postgresPort: standby.port });
    if (isStill) world.goOn();
    await sleep(world.random.integer(1_000));
    const between = await untilComplete(world);
    await one.start();
    await one.call('replicaof', '127.0.0.1', String(two.port));
    await untilSynchronised(one);
    world.moveWriter({ redisPort: two.port, postgresPort: standby.port, replicaPort: one.port });
    assert.equal(await failover(sentinels), one.port);
    world.moveWriter({ redisPort: one.port, postgresPort: standby.port });
    await waitUntil('the new master is recorded', async () =>
      /ip=tidemark-recorder,port=\d+,state=online/.test(await one.call('info', 'replication')),
    );
    await sleep(world.random.integer(1_000));
    const after = await untilComplete(world);
    const model = await world.stopWriter();
    const { err } = await world.stop(up);
    const recorded = await world.recorded();
    const { complete, marks } = recorded;
    const gaps = { cache: recorded.gaps('cache'), orders: recorded.gaps('orders') };
    t.diagnostic(`${complete.length} complete of ${marks.length} marks, ${model.steps} steps, ${JSON.stringify(gaps)}`);
    const lastGapMs = Math.max(0, ...recorded.gapTimes.map(({ toMs }) => toMs));
    // A gap that is found in the moment of the stop has no base after it, and so no complete mark.
    const open = complete.some(({ atMs }) => atMs >= lastGapMs) ? 0 : 1;
    for (const store of ['cache', 'orders'] as const) {
      const lacking = 1 + gaps[store].length - recorded.bases(store);
      assert.ok(lacking === 0 || (lacking === open && gaps[store].length > 0), `${lacking} bases of ${store}: ${err}`);
    }
    // A master that is replaced while it runs goes on for a while, and may tell us more than the new one has.
    assert.ok(gaps.cache.length <= (isStill ? 1 : 2), err);
    for (const reason of gaps.cache) assert.match(reason, /the server became master at|another one|new history/);
    if (isStill) assert.deepEqual(gaps.orders, [], err);
    await checkRestored(world, model, { recorded, ids: [before, between, after] });
  });
}
