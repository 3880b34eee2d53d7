import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { must } from '../../../src/core/must.ts';
import type { Position } from '../../../src/core/position.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import type { MemoryBase } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedisCluster } from '../../servers/redis-cluster.ts';
import { startRedis } from '../../servers/redis.ts';
import { begin, ClusterClient, clusterWorkload, follow, head, restoreInto, stateOfCluster, urlOf, work } from './cluster.ts';
import { forever, openAt, placeOfUrl, runtime } from './recording.ts';
import { assertSame, stateOf } from './state.ts';

const options = { ...needs('redis-server', 'redis-cli'), timeout: 240_000 };

type Moment = { readonly position: Position; readonly keys: ReadonlyMap<string, string>; readonly base: MemoryBase };

test('a cluster is restored at any moment into one of another size, and into a single server', options, async () => {
  const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? randomInt(2 ** 31));
  const random = createSeededRandom(seed);
  await using cluster = await startRedisCluster();
  await using client = new ClusterClient(cluster);
  await client.refresh();
  const units = clusterWorkload(random);
  await work(client, cluster, units, 400);
  await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  let base = await recordInMemory(await recorder.openBase(forever), forever);
  const moments: Moment[] = [];
  for (let count = 0; count < 8; count += 1) {
    await work(client, cluster, units, 30 + random.integer(300));
    if (count === 5) base = await recordInMemory(await recorder.openBase(forever), forever);
    await work(client, cluster, units, 30 + random.integer(100));
    // What is to expire within milliseconds would do so while it is looked at.
    await runtime.clock.sleep(50, forever);
    const keys = await stateOfCluster(cluster);
    const position = await head(recorder);
    await followed.upTo(position);
    moments.push({ keys, position, base });
  }
  await using small = await startRedisCluster({ masters: 2 });
  await using single = await startRedis();
  for (const [index, { position: to, keys, base: under }] of moments.entries()) {
    await using folder = temporaryFolder();
    const context = { replace: index > 0 };
    const restore = { base: under, followed, to, context };
    await restoreInto(single.url, { ...restore, workFolder: folder.at('single') });
    assertSame(await stateOf(single), keys, `moment ${index} in a server, seed ${seed}`);
    await restoreInto(must(small.servers[1], 'a node').url, { ...restore, workFolder: folder.at('cluster') });
    assertSame(await stateOfCluster(small), keys, `moment ${index} in a cluster, seed ${seed}`);
  }
});
