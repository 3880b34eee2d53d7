import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from './guarded.ts';
import { needs } from './needs.ts';
import { startRedisCluster } from './redis-cluster.ts';
import { failover, startSentinels, untilFailedOver } from './redis-sentinels.ts';
import { promote, startRedis, untilSynchronised } from './redis.ts';

const programs = needs('redis-server', 'redis-cli', 'redis-sentinel');

test('sentinels replace a master on demand and one that was killed', programs, async () => {
  const password = 'secret';
  await using one = await startRedis({ password });
  const replicas = [
    await startRedis({ replicaOf: one, password }),
    await startRedis({ replicaOf: one, password }),
  ] as const;
  await using _first = replicas[0];
  await using _second = replicas[1];
  const passwords = { masterPassword: password, password: 'other' };
  await using sentinels = await startSentinels({ masterPort: one.port, replicas: 2, ...passwords });
  assert.equal(await sentinels.masterPort(), one.port);
  const port = await failover(sentinels);
  const [promoted, other] = port === replicas[0].port ? replicas : [replicas[1], replicas[0]];
  assert.equal(promoted.port, port);
  await untilSynchronised(other);
  await promoted.call('set', 'a', '1');
  await waitUntil('the other has it', async () => (await other.call('get', 'a')) === '1');
  await promoted.kill();
  // The first one may still think that it is the master: it is told so only some seconds later.
  const next = await untilFailedOver(sentinels, port);
  assert.ok([one.port, other.port].includes(next));
});

test('a replica is promoted by hand', programs, async () => {
  await using master = await startRedis();
  await using replica = await startRedis({ replicaOf: master });
  await promote(replica);
  assert.equal(await replica.call('set', 'a', '1'), 'OK');
});

test('a cluster serves all slots, and a replica takes over from a master that was killed', programs, async () => {
  await using cluster = await startRedisCluster({ masters: 3, replicas: 1, password: 'secret' });
  for (const key of ['a', 'b', 'c', 'd']) await cluster.call('set', key, key);
  const masters = await cluster.masters();
  assert.equal(masters.length, 3);
  const port = masters[2]?.port ?? 0;
  await cluster.at(port).kill();
  await cluster.untilReplaced(port);
  await cluster.untilWhole();
  assert.equal((await cluster.masters()).length, 3);
  for (const key of ['a', 'b', 'c', 'd']) assert.equal(await cluster.call('get', key), key);
});
