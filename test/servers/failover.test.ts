import assert from 'node:assert/strict';
import { test } from 'node:test';
import { needs } from './needs.ts';
import { startRedisCluster } from './redis-cluster.ts';
import { failover, startSentinels, untilFailedOver } from './redis-sentinels.ts';
import { promote, startRedis, untilSynchronised } from './redis.ts';

const programs = needs('redis-server', 'redis-cli', 'redis-sentinel');

test('sentinels replace a master on demand and one that was killed', programs, async () => {
  const password = 'secret';
  await using one = await startRedis({ password });
  await using other = await startRedis({ replicaOf: one, password });
  await using sentinels = await startSentinels({ masterPort: one.port, masterPassword: password, password: 'other' });
  assert.equal(await sentinels.masterPort(), one.port);
  assert.equal(await failover(sentinels), other.port);
  await untilSynchronised(one);
  await other.call('set', 'a', '1');
  await other.call('wait', '1', '0');
  await other.kill();
  assert.equal(await untilFailedOver(sentinels, other.port), one.port);
  assert.equal(await one.call('get', 'a'), '1');
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
