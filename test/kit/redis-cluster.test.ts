import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { must } from '../../src/core/must.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import {
  begin,
  ClusterClient,
  clusterWorkload,
  follow,
  head,
  stateOfCluster,
  urlOf,
  work,
} from '../engines/redis/cluster.ts';
import { forever, openAt, placeOfUrl, runtime } from '../engines/redis/recording.ts';
import { assertSame, stateOf } from '../engines/redis/state.ts';
import { kit } from '../golden/restore-moments.ts';
import { needs } from '../servers/needs.ts';
import { startRedisCluster } from '../servers/redis-cluster.ts';
import { startRedis } from '../servers/redis.ts';
import { EngineRepository, upTo } from './engine-repository.ts';

const NEEDED = { ...needs('redis-server', 'redis-cli'), timeout: 120_000 };

test('the kit brings each master of a cluster to where it was at a mark', NEEDED, async () => {
  await using out = temporaryFolder();
  await using cluster = await startRedisCluster({ masters: 2 });
  await using client = new ClusterClient(cluster);
  await client.refresh();
  const units = clusterWorkload(createSeededRandom('kit'));
  await work(client, units, 300);
  await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  await using repository = await EngineRepository.create('redis');
  {
    await using base = await recorder.openBase(forever);
    await repository.base(base);
  }
  const moments = [];
  for (let count = 0; count < 3; count += 1) {
    await work(client, units, 200);
    await runtime.clock.sleep(50, forever);
    const keys = await stateOfCluster(cluster);
    const position = await head(recorder);
    await followed.upTo(position);
    moments.push({ keys, position });
  }
  const last = must(moments.at(-1), 'a moment').position;
  await repository.log(from, upTo(followed.pieces, last));
  const ids: string[] = [];
  for (const { position } of moments) ids.push(await repository.mark(position));
  const path = out.at('repository');
  await repository.export(path);
  for (const [index, { keys }] of moments.entries()) {
    const id = must(ids[index], 'an id');
    const ended = kit('restore', path, id, out.at(id));
    assert.equal(ended.status, 0, ended.err);
    const found = new Map<string, string>();
    for (const shard of ['shard-0', 'shard-1']) {
      await using scratch = temporaryFolder();
      const args = ['--include', join(out.at(id), 'main', shard, 'redis.conf')];
      await using server = await startRedis({ folder: scratch.path, args });
      assert.doesNotMatch(server.log(), /CRITICAL|Truncat/);
      for (const [key, value] of await stateOf(server)) found.set(key, value);
    }
    assertSame(found, keys, `moment ${index}`);
  }
  const verified = kit('verify', path);
  assert.deepEqual([verified.status, verified.err], [0, '']);
  const listed = kit('ls', path, 'latest', 'main');
  assert.match(listed.out, /^ *\d+ shards\/0000\/dump\.rdb .*\n *\d+ shards\/0001\/dump\.rdb /);
});
