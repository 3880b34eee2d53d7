import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { parseSlotRanges, showSlotRanges, slotOf } from '../../../src/connectors/redis/cluster/slots.ts';
import type { SlotRange } from '../../../src/connectors/redis/cluster/slots.ts';
import { itemsOf, textOf } from '../../../src/connectors/redis/resp.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { must } from '../../../src/core/must.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import type { MemoryBase } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { waitUntil } from '../../servers/guarded.ts';
import { startRedisCluster } from '../../servers/redis-cluster.ts';
import type { RedisCluster } from '../../servers/redis-cluster.ts';
import { startRedis } from '../../servers/redis.ts';
import type { RedisServer } from '../../servers/redis.ts';
import { needsValkey, valkeyServer } from '../../servers/valkey.ts';
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
import { clientOf } from './fill.ts';
import { forever, openAt, placeOfUrl, runtime } from './recording.ts';
import { assertSame, stateOf } from './state.ts';

/** Valkey moves slots at once: the target takes in all their keys beside its own, and then has them in one step. */
const options = { ...needsValkey(), timeout: 240_000 };

/** So a move waits when the target has everything, and does not end. */
const HELD = ['debug', 'slotmigration', 'prevent-pause', '1'];
const RELEASED = ['debug', 'slotmigration', 'prevent-pause', '0'];

type Node = { readonly id: string; readonly server: RedisServer };

async function nodesOf(cluster: RedisCluster): Promise<readonly Node[]> {
  return (await cluster.masters()).map(({ id, port }) => ({ id, server: cluster.at(port) }));
}

/** The first so many slots of a node. */
async function slotsOf(cluster: RedisCluster, { id }: Node, count: number): Promise<readonly SlotRange[]> {
  const { slots } = must(
    (await cluster.masters()).find((master) => master.id === id),
    'a master',
  );
  let left = count;
  return parseSlotRanges(slots.join(',')).flatMap(([first, last]): readonly SlotRange[] => {
    const end = Math.min(last, first + left - 1);
    left -= Math.max(0, end - first + 1);
    return end < first ? [] : [[first, end]];
  });
}

async function beginMove(source: Node, target: Node, slots: readonly SlotRange[]): Promise<void> {
  const ranges = slots.flatMap((range) => range.map(String));
  await source.server.call('cluster', 'migrateslots', 'slotsrange', ...ranges, 'node', target.id);
}

async function isMoving({ server }: Node): Promise<boolean> {
  const told = await server.call('cluster', 'getslotmigrations');
  return [...told.matchAll(/^state\n(.*)$/gm)].some(([, state = '']) => !/^(?:success|failed|cancelled)$/.test(state));
}

/** What is pushed twice, or is gone, is seen in a list. */
async function assertLists(
  server: RedisServer,
  {
    keys,
    isRight,
    message,
  }: { readonly keys: readonly string[]; readonly isRight: (list: string) => boolean; readonly message: string },
): Promise<void> {
  await using client = await clientOf(server);
  const lists = keys.map(async (key) => itemsOf(await client.call(['LRANGE', `{${key}}`, '0', '-1'], forever)));
  const wrong = (await Promise.all(lists)).map((list) => list.map(textOf).join()).filter((list) => !isRight(list));
  assert.deepEqual(wrong, [], message);
}

type Moment = { readonly position: Position; readonly keys: ReadonlyMap<string, string>; readonly base: MemoryBase };

/** A mark as soon as one may be taken, with what is in the cluster then. */
async function momentOf(cluster: RedisCluster, recorder: Recorder, base: MemoryBase): Promise<Moment> {
  // What is to expire within milliseconds would do so while it is looked at.
  await runtime.clock.sleep(50, forever);
  const keys = await stateOfCluster(cluster);
  return { keys, base, position: await head(recorder) };
}

test('slots that Valkey moves at once are restored right at every moment, also in the middle', options, async () => {
  const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? randomInt(2 ** 31));
  const random = createSeededRandom(seed);
  const program = await valkeyServer();
  await using cluster = await startRedisCluster({ program });
  await using client = new ClusterClient(cluster);
  await client.refresh();
  // Of a consumer that finds nothing to read Valkey tells its replicas nothing.
  const units = clusterWorkload(random, 200).filter(({ tag, commands }) => {
    return tag !== '' && commands.length === 1 && !/^X(?:READGROUP|AUTOCLAIM)$/.test(commands[0]?.[0] ?? '');
  });
  await work(client, units, 1_000);
  const steady = Array.from({ length: 500 }, (_, index) => `steady:${index}`);
  for (const key of steady) await client.run(key, [['RPUSH', `{${key}}`, 'x', 'y']]);
  await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  let base = await recordInMemory(await recorder.openBase(forever), forever);
  const nodes = await nodesOf(cluster);
  const moments: Moment[] = [await momentOf(cluster, recorder, base)];
  for (const [index, [from, to]] of (
    [
      [0, 1],
      [1, 2],
      [2, 0],
      [1, 0],
    ] as const
  ).entries()) {
    const [source, target] = [must(nodes[from], 'a master'), must(nodes[to], 'a master')];
    await beginMove(source, target, await slotsOf(cluster, source, 2_500));
    do await work(client, units, 20);
    while (await isMoving(source));
    await cluster.untilWhole();
    if (index === 2) base = await recordInMemory(await recorder.openBase(forever), forever);
    await work(client, units, 200);
    moments.push(await momentOf(cluster, recorder, base));
  }
  await followed.upTo(must(moments.at(-1), 'a moment').position);
  await using small = await startRedisCluster({ masters: 2, program });
  await using single = await startRedis({ program });
  for (const [index, { position: to, keys, base }] of moments.entries()) {
    await using folder = temporaryFolder();
    const restore = { base, followed, to, context: { replace: true } };
    await restoreInto(single.url, { ...restore, workFolder: folder.at('single') });
    assertSame(await stateOf(single), keys, `moment ${index} in a server, seed ${seed}`);
    await restoreInto(urlOf(small), { ...restore, workFolder: folder.at('cluster') });
    assertSame(await stateOfCluster(small), keys, `moment ${index} in a cluster, seed ${seed}`);
  }
  const [{ base: first }] = moments as [Moment];
  const commits = followed.pieces.flatMap(({ changes, commit }) =>
    changes.length > 0 && commit ? [commit.position] : [],
  );
  for (let count = 0; count < 8; count += 1) {
    await using folder = temporaryFolder();
    const to = random.pick(commits);
    const context = { replace: true };
    await restoreInto(single.url, { base: first, followed, to, workFolder: folder.at('work'), context });
    const isRight = (list: string): boolean => list === 'x,y';
    await assertLists(single, { keys: steady, isRight, message: `at ${to.resume}, seed ${seed}` });
  }
});

test(
  'while Valkey moves slots no mark is taken and no base; a move that fails leaves nothing behind',
  options,
  async () => {
    const program = await valkeyServer();
    await using cluster = await startRedisCluster({ program });
    await using client = new ClusterClient(cluster);
    await client.refresh();
    const tags = Array.from({ length: 300 }, (_, index) => `t${index}`);
    const write = async (word: string): Promise<void> => {
      for (const tag of tags) await client.run(tag, [['RPUSH', `{${tag}}`, word]]);
    };
    await write('before');
    await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
    const from = await begin(recorder);
    await using followed = await follow(recorder, from);
    const base = await recordInMemory(await recorder.openBase(forever), forever);
    const [source, target] = (await nodesOf(cluster)) as [Node, Node];
    const slots = await slotsOf(cluster, source, 3_000);
    await source.server.call(...HELD);
    const isRefused = (error: unknown): boolean =>
      isTidemarkError(error, 'STORE_UNREACHABLE') && /slots are being moved/.test(error.message);
    const isThere = async (): Promise<boolean> => {
      const told = await source.server.call('cluster', 'getslotmigrations');
      return /^state\nwaiting-to-pause$/m.test(told);
    };
    await beginMove(source, target, slots);
    await write('during');
    await waitUntil('all keys are at the target', isThere);
    await assert.rejects(head(recorder), isRefused);
    await assert.rejects(recorder.openBase(forever), isRefused);
    await using another = await openAt(placeOfUrl(urlOf(cluster)));
    await assert.rejects(begin(another), isRefused);
    const inTheMiddle = must(followed.last, 'a position');
    await source.server.call('cluster', 'cancelslotmigrations');
    await waitUntil('the target has forgotten them', async () => {
      const told = await target.server.call('cluster', 'getslotmigrations');
      return /^state\nfailed$/m.test(told);
    });
    const failed = await momentOf(cluster, recorder, base);
    await source.server.call(...RELEASED);
    await beginMove(source, target, slots);
    await write('again');
    await waitUntil('they have moved', async () => !(await isMoving(source)));
    await cluster.untilWhole();
    const moved = await momentOf(cluster, recorder, base);
    await followed.upTo(moved.position);
    await using single = await startRedis({ program });
    for (const [index, { position: to, keys }] of [failed, moved].entries()) {
      await using folder = temporaryFolder();
      await restoreInto(single.url, { base, followed, to, workFolder: folder.at('work'), context: { replace: true } });
      assertSame(await stateOf(single), keys, `moment ${index}, slots ${showSlotRanges(slots)}`);
    }
    await using folder = temporaryFolder();
    const context = { replace: true };
    await restoreInto(single.url, { base, followed, to: inTheMiddle, workFolder: folder.at('work'), context });
    const isRight = (list: string): boolean => list === 'before' || list === 'before,during';
    await assertLists(single, { keys: tags, isRight, message: 'in the middle' });
  },
);

test(
  'what a cluster of Valkey did in another database than 0 is refused before anything is removed',
  options,
  async () => {
    const program = await valkeyServer();
    await using cluster = await startRedisCluster({ program, masters: 2, args: ['--cluster-databases', '4'] });
    await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
    const from = await begin(recorder);
    await using followed = await follow(recorder, from);
    const base = await recordInMemory(await recorder.openBase(forever), forever);
    for (const { server } of await nodesOf(cluster)) await server.script(['SELECT 2', 'SET a 1', 'SET b 1', 'SET c 1']);
    const to = await head(recorder);
    await followed.upTo(to);
    await using single = await startRedis({ program });
    await single.call('set', 'mine', '1');
    await using folder = temporaryFolder();
    await assert.rejects(
      restoreInto(single.url, { base, followed, to, workFolder: folder.at('work'), context: { replace: true } }),
      (error) => isTidemarkError(error, 'UNSUPPORTED') && /in several databases/.test(error.message),
    );
    assert.equal(await single.call('keys', '*'), 'mine');
  },
);

test(
  'what Valkey tells of keys behind their number, or of a slot that is emptied, is done again where the keys are',
  options,
  async () => {
    const program = await valkeyServer();
    await using cluster = await startRedisCluster({ program, masters: 2 });
    await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
    const from = await begin(recorder);
    await using followed = await follow(recorder, from);
    const base = await recordInMemory(await recorder.openBase(forever), forever);
    await using client = new ClusterClient(cluster);
    await client.refresh();
    for (let tag = 0; tag < 20; tag += 1) {
      await client.run(String(tag), [['MSETEX', '2', `{${tag}}one`, '1', `{${tag}}two`, '2', 'EX', '1000']]);
    }
    await client.run('3', [['CLUSTER', 'FLUSHSLOT', String(slotOf(Buffer.from('3')))]]);
    await client.run('3', [['SET', '{3}three', '3']]);
    const to = await head(recorder);
    await followed.upTo(to);
    await using other = await startRedisCluster({ program, masters: 3 });
    await using folder = temporaryFolder();
    await restoreInto(urlOf(other), { base, followed, to, workFolder: folder.at('work') });
    assertSame(await stateOfCluster(other), await stateOfCluster(cluster), 'into three masters');
    await assert.rejects(
      restoreInto(urlOf(other), {
        base,
        followed,
        to,
        workFolder: folder.at('files'),
        context: { target: folder.at('data') },
      }),
      (error) => isTidemarkError(error, 'UNSUPPORTED') && /FLUSHSLOT/.test(error.message),
    );
  },
);
