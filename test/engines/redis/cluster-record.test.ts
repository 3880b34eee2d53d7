import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { openRedisRecorder } from '../../../src/connectors/redis/recorder.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { must } from '../../../src/core/must.ts';
import { FrameReader } from '../../../src/connectors/redis/cluster/frames.ts';
import { parseClusterResume } from '../../../src/connectors/redis/cluster/positions.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedisCluster } from '../../servers/redis-cluster.ts';
import type { RedisCluster } from '../../servers/redis-cluster.ts';
import { startRedis } from '../../servers/redis.ts';
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
import { forever, openAt, placeOfUrl, runtime, untilCaughtUp } from './recording.ts';
import type { Followed } from './recording.ts';
import { assertSame, stateOf } from './state.ts';

const options = { ...needs('redis-server', 'redis-cli'), timeout: 120_000 };

async function write(cluster: RedisCluster, name: string, count: number): Promise<void> {
  const lines = Array.from({ length: count }, (_, index) => `SET ${name}:${index} ${index}`);
  for (let at = 0; at < count; at += 1) await cluster.call(...must(lines[at], 'a line').split(' '));
}

for (const [name, needed, program] of [
  ['Redis', options, async () => 'redis-server'],
  ['Valkey', { ...options, ...needsValkey() }, valkeyServer],
] as const) {
  test(`the streams of all masters are one history, of ${name}`, needed, async () => {
    await using cluster = await startRedisCluster({ program: await program() });
    await write(cluster, 'before', 20);
    await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
    const from = await begin(recorder);
    await using followed = await follow(recorder, from);
    const base = await recordInMemory(await recorder.openBase(forever), forever);
    assert.deepEqual([base.end.logFrom, base.end.cut], [from, from]);
    await write(cluster, 'after', 20);
    const position = await head(recorder);
    await followed.upTo(position);
    assert.deepEqual(followed.last, position);
    const text = Array.from(new FrameReader().push(followed.bytes(from)), ({ bytes }) => Buffer.from(bytes).toString());
    for (let index = 0; index < 20; index += 1) assert.match(text.join(''), new RegExp(`after:${index}\\r`));
    assert.equal(parseClusterResume(position.resume)?.vector?.length, 3);
    // It stands still while nobody writes.
    assert.deepEqual(await head(recorder), position);
    await runtime.clock.sleep(1_500, forever);
    assert.deepEqual([await head(recorder), followed.last], [position, position]);
    const later = await recordInMemory(await recorder.openBase(forever), forever);
    assert.ok(later.end.logFrom.order <= later.end.cut.order);
  });
}

test('a cluster that nobody has replicated yet is recorded while it is written to', options, async () => {
  await using cluster = await startRedisCluster({ masters: 1 });
  const [server] = cluster.servers;
  // Whatever the recorder does between two of its questions, somebody has written meanwhile.
  const write = ['-p', String(must(server, 'a node').port), 'SET', 'key', 'x'.repeat(100)];
  const monotonicMs = (): number => {
    execFileSync('redis-cli', write);
    return runtime.clock.monotonicMs();
  };
  const clock = { ...runtime.clock, monotonicMs };
  await using recorder = await openRedisRecorder(
    placeOfUrl(urlOf(cluster)),
    { runtime: { ...runtime, clock } },
    forever,
  );
  const from = await begin(recorder);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  assert.deepEqual([base.end.logFrom, base.end.cut], [from, from]);
  const later = await head(recorder);
  assert.ok(later.order > from.order, `${later.order} comes after ${from.order}`);
});

test(
  'a failover of one master goes on, byte for byte, also when the node of the URL is the one that is gone',
  options,
  async () => {
    await using cluster = await startRedisCluster({ replicas: 1 });
    await using folder = temporaryFolder();
    await using client = new ClusterClient(cluster);
    await client.refresh();
    const units = clusterWorkload(createSeededRandom(7));
    const [killed] = await cluster.masters();
    const place = placeOfUrl(cluster.at(must(killed, 'a master').port).url);
    await using recorder = await openAt(place, { stateFolder: folder.at('state') });
    const from = await begin(recorder);
    await using followed = await follow(recorder, from);
    const base = await recordInMemory(await recorder.openBase(forever), forever);
    await work(client, units, 300);
    const before = await head(recorder);
    await followed.upTo(before);
    for (const { port, masterId } of await cluster.nodes()) {
      const master = (await cluster.nodes()).find(({ id }) => id === masterId);
      if (master !== undefined) await untilCaughtUp(cluster.at(port), cluster.at(master.port));
    }
    const { port } = must(killed, 'a master');
    await cluster.at(port).kill();
    assert.match(String(await followed.failed()), /ended the connection|nothing listens|STORE_UNREACHABLE/);
    await cluster.untilReplaced(port);
    const previous = must(followed.last, 'a position');
    await recorder[Symbol.asyncDispose]();
    const later = await until(() => openAt(place, { previous, stateFolder: folder.at('state') }));
    await using _later = later;
    assert.equal(later.lineage.id, previous.lineage);
    await using onward = await follow(later, previous);
    await work(client, units, 300);
    await runtime.clock.sleep(50, forever);
    const keys = await stateOfCluster(cluster);
    const to = await head(later);
    await onward.upTo(to);
    followed.pieces.push(...onward.pieces);
    await using single = await startRedis();
    await restoreInto(single.url, { base, followed, to, workFolder: folder.at('work') });
    assertSame(await stateOf(single), keys, 'after the failover');
    // The old master comes back as a replica, and nothing changes.
    await cluster.at(port).start();
    await cluster.untilWhole();
    assert.equal((await head(later)).lineage, previous.lineage);
  },
);

async function until<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (tries >= 20 || !isTidemarkError(error, 'STORE_UNREACHABLE')) throw error;
      await runtime.clock.sleep(500, forever);
    }
  }
}

test(
  'what is none of the same history is noticed: another cluster, a master that began anew, a master that is new',
  options,
  async () => {
    await using cluster = await startRedisCluster();
    await using other = await startRedisCluster({ masters: 2 });
    const place = placeOfUrl(urlOf(cluster));
    const recorder = await openAt(place);
    await using _recorder = recorder;
    const from = await begin(recorder);
    await using followed = await follow(recorder, from);
    await cluster.call('set', 'a', '1');
    const previous = await head(recorder);
    await followed.upTo(previous);
    await using elsewhere = await openAt(placeOfUrl(urlOf(other)), { previous });
    assert.notEqual(elsewhere.lineage.id, previous.lineage);
    await assert.rejects(follow(elsewhere, previous), isLost);
    await using single = await startRedis();
    await using alone = await openAt(placeOfUrl(single.url), { previous });
    assert.notEqual(alone.lineage.id, previous.lineage);
    // One that gets slots before it has been taken in is none of the history.
    const newcomer = await cluster.startNode();
    const first = must(cluster.servers[0], 'a node');
    await first.cluster('add-node', `127.0.0.1:${newcomer.port}`, `127.0.0.1:${first.port}`);
    await cluster.untilWhole();
    const source = (await cluster.masters()).find(({ slots }) => slots.length > 0);
    const id = must(
      (await cluster.nodes()).find(({ port }) => port === newcomer.port),
      'the newcomer',
    ).id;
    await first.cluster(
      'reshard',
      `127.0.0.1:${first.port}`,
      '--cluster-from',
      must(source, 'a master').id,
      '--cluster-to',
      id,
      '--cluster-slots',
      '10',
      '--cluster-yes',
    );
    await cluster.untilWhole();
    await assert.rejects(head(recorder), /slots are now at|has joined/);
    assert.match(String(await followed.failed()), /slots are now at|has joined/);
    await using anew = await openAt(place, { previous: must(followed.last, 'a position') });
    assert.notEqual(anew.lineage.id, previous.lineage);
    const second = await begin(anew);
    await using again = await follow(anew, second);
    await (await anew.openBase(forever))[Symbol.asyncDispose]();
    // A master that was restarted without its data is another one.
    await newcomer.restart();
    await cluster.untilWhole();
    await again.failed();
    await using restarted = await until(() => openAt(place, { previous: second }));
    assert.notEqual(restarted.lineage.id, second.lineage);
  },
);

test('a cluster that grows goes on in its history, and one that shrinks begins anew', options, async () => {
  await using cluster = await startRedisCluster();
  await using client = new ClusterClient(cluster);
  await client.refresh();
  const units = clusterWorkload(createSeededRandom(11), 200).filter(
    ({ tag, commands }) => tag !== '' && commands.length === 1,
  );
  await work(client, units, 600);
  const place = placeOfUrl(urlOf(cluster));
  const recorder = await openAt(place);
  await using _recorder = recorder;
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  const first = must(cluster.servers[0], 'a node');
  const at = `127.0.0.1:${first.port}`;
  const newcomer = await cluster.startNode();
  await first.cluster('add-node', `127.0.0.1:${newcomer.port}`, at);
  assert.match(String(await followed.failed()), /has joined its cluster/);
  const goOn = async (previous: Position): Promise<{ recorder: Recorder; onward: Followed }> => {
    const recorder = await until(() => openAt(place, { previous }));
    assert.equal(recorder.lineage.id, previous.lineage);
    return { recorder, onward: await follow(recorder, previous) };
  };
  const second = await goOn(must(followed.last, 'a position'));
  await using _second = second.recorder;
  await using _onward = second.onward;
  await second.onward.upTo(await head(second.recorder));
  const id = must(
    (await cluster.nodes()).find(({ port }) => port === newcomer.port),
    'the newcomer',
  ).id;
  const source = must(
    (await cluster.masters()).find(({ port, slots }) => port !== first.port && slots.length > 0),
    'a master',
  );
  const reshard = async (count: number): Promise<void> => {
    const slots = ['--cluster-slots', String(count), '--cluster-yes'];
    const moved = first.cluster('reshard', at, '--cluster-from', source.id, '--cluster-to', id, ...slots);
    await work(client, units, 300);
    await moved;
  };
  await reshard(3_000);
  await work(client, units, 300);
  await runtime.clock.sleep(50, forever);
  const grown = { keys: await stateOfCluster(cluster), to: await head(second.recorder) };
  await second.onward.upTo(grown.to);
  const later = await recordInMemory(await second.recorder.openBase(forever), forever);
  await second.onward.upTo(later.end.cut);
  followed.pieces.push(...second.onward.pieces);
  await using single = await startRedis();
  for (const [index, { to, under }] of [
    { ...grown, under: base },
    { to: later.end.cut, under: later },
  ].entries()) {
    await using folder = temporaryFolder();
    const context = { replace: true };
    await restoreInto(single.url, { base: under, followed, to, workFolder: folder.at('work'), context });
    assertSame(await stateOf(single), grown.keys, `moment ${index}`);
  }
  // A master that has no slots any more becomes a replica, and does not say up to where it was master.
  await reshard(2_500);
  assert.match(String(await second.onward.failed()), /is a replica now|ended the connection/);
  const previous = must(second.onward.last, 'a position');
  await using anew = await until(() => openAt(place, { previous }));
  assert.notEqual(anew.lineage.id, previous.lineage);
});

function isLost(error: unknown): boolean {
  return isTidemarkError(error, 'POSITION_LOST');
}

test('no mark is taken while a slot is nobody’s or a master is away', options, async () => {
  await using cluster = await startRedisCluster();
  await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  await followed.upTo(await head(recorder));
  await (await recorder.openBase(forever))[Symbol.asyncDispose]();
  const masters = await cluster.masters();
  const first = masters.find(({ slots }) => slots[0]?.startsWith('0-'));
  const second = masters.find((master) => master !== first);
  const [server, target] = [cluster.at(must(first, 'a master').port), cluster.at(must(second, 'a master').port)];
  await target.call('cluster', 'setslot', '7', 'importing', must(first, 'a master').id);
  await server.call('cluster', 'setslot', '7', 'migrating', must(second, 'a master').id);
  await assert.rejects(head(recorder), /slots are being moved/);
  await assert.rejects(recorder.openBase(forever), /slots are being moved/);
  for (const one of [server, target]) await one.call('cluster', 'setslot', '7', 'stable');
  await followed.upTo(await head(recorder));
  await server.call('cluster', 'delslots', '7');
  await assert.rejects(head(recorder), /the slot 7 of the cluster is nobody’s/);
  await server.call('cluster', 'addslots', '7');
  await followed.upTo(await head(recorder));
  await target.pause();
  const cut = new AbortController();
  setTimeout(() => cut.abort(new Error('given up')), 2_000);
  await assert.rejects(must(recorder.head, 'a head').call(recorder, { signal: cut.signal }), /given up/);
  await target.resume();
});
