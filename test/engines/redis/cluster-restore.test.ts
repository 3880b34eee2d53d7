import assert from 'node:assert/strict';
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
import {
  begin,
  ClusterClient,
  clusterWorkload,
  follow,
  head,
  restoreInto,
  stateOfCluster,
  urlOf,
  work,
} from './cluster.ts';
import { forever, openAt, placeOfUrl, runtime } from './recording.ts';
import { assertSame, stateOf } from './state.ts';

const options = { ...needs('redis-server', 'redis-cli'), timeout: 240_000 };

const isFull = process.env['TIDEMARK_TEST_LEVEL'] === 'full';
const MOMENTS = isFull ? 8 : 4;
const MOVES = isFull ? 4 : 2;
const MOVED_SLOTS = isFull ? 2_500 : 1_000;
const MIDDLES = isFull ? 12 : 4;

type Moment = { readonly position: Position; readonly keys: ReadonlyMap<string, string>; readonly base: MemoryBase };

test('a cluster is restored at any moment into one of another size, and into a single server', options, async () => {
  const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? randomInt(2 ** 31));
  const random = createSeededRandom(seed);
  await using cluster = await startRedisCluster();
  await using client = new ClusterClient(cluster);
  await client.refresh();
  const units = clusterWorkload(random);
  await work(client, units, 400);
  await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  let base = await recordInMemory(await recorder.openBase(forever), forever);
  const moments: Moment[] = [];
  for (let count = 0; count < MOMENTS; count += 1) {
    await work(client, units, 30 + random.integer(300));
    if (count === Math.ceil(MOMENTS / 2)) base = await recordInMemory(await recorder.openBase(forever), forever);
    await work(client, units, 30 + random.integer(100));
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

test('what is recorded while slots move is restored, also at moments in the middle', options, async () => {
  const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? randomInt(2 ** 31));
  const random = createSeededRandom(seed);
  await using cluster = await startRedisCluster();
  await using client = new ClusterClient(cluster);
  await client.refresh();
  // What needs several keys waits until its slot has moved; a transaction can't be asked for elsewhere.
  const units = clusterWorkload(random, 200).filter(({ tag, commands }) => tag !== '' && commands.length === 1);
  await work(client, units, 1_000);
  const steady = Array.from({ length: 500 }, (_, index) => `steady:${index}`);
  for (const key of steady) await client.run(key, [['SET', `{${key}}`, key]]);
  await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  const moments: { readonly position: Position; readonly keys: ReadonlyMap<string, string> }[] = [];
  const refused: unknown[] = [];
  const ids = (await cluster.masters()).map(({ id }) => id);
  const moves = [
    [0, 1],
    [1, 2],
    [2, 0],
    [1, 0],
  ] as const;
  for (const [source, target] of moves.slice(0, MOVES)) {
    let isDone = false;
    const moved = must(cluster.servers[0], 'a node')
      .cluster(
        'reshard',
        `127.0.0.1:${must(cluster.servers[0], 'a node').port}`,
        '--cluster-from',
        must(ids[source], 'an id'),
        '--cluster-to',
        must(ids[target], 'an id'),
        '--cluster-slots',
        String(MOVED_SLOTS),
        '--cluster-yes',
      )
      .finally(() => {
        isDone = true;
      });
    while (!isDone) {
      await work(client, units, 20);
      await head(recorder).catch((error: unknown) => refused.push(error));
    }
    await moved;
    await work(client, units, 200);
    await runtime.clock.sleep(50, forever);
    const keys = await stateOfCluster(cluster);
    const position = await head(recorder);
    await followed.upTo(position);
    moments.push({ keys, position });
  }
  assert.ok(refused.length > 0);
  for (const error of refused) assert.match(String(error), /slots are being moved|is nobody’s/);
  await using small = await startRedisCluster({ masters: 2 });
  await using single = await startRedis();
  for (const [index, { position: to, keys }] of moments.entries()) {
    await using folder = temporaryFolder();
    const restore = { base, followed, to, context: { replace: true } };
    await restoreInto(single.url, { ...restore, workFolder: folder.at('single') });
    assertSame(await stateOf(single), keys, `moment ${index} in a server, seed ${seed}`);
    await restoreInto(urlOf(small), { ...restore, workFolder: folder.at('cluster') });
    assertSame(await stateOfCluster(small), keys, `moment ${index} in a cluster, seed ${seed}`);
  }
  const commits = followed.pieces.flatMap(({ changes, commit }) =>
    changes.length > 0 && commit ? [commit.position] : [],
  );
  for (let count = 0; count < MIDDLES; count += 1) {
    await using folder = temporaryFolder();
    const to = random.pick(commits);
    await restoreInto(single.url, { base, followed, to, workFolder: folder.at('work'), context: { replace: true } });
    const values = (await single.call('mget', ...steady.map((key) => `{${key}}`))).split('\n');
    assert.deepEqual(values, steady, `at ${to.resume}, seed ${seed}`);
  }
});
