import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import process from 'node:process';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { must } from '../../../src/core/must.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import type { SeededRandom } from '../../../src/flow/random.ts';
import { listOf, markId, objectOf, openShop } from '../../e2e/shop.ts';
import type { Shop } from '../../e2e/shop.ts';
import { waitUntil } from '../../servers/guarded.ts';
import { needs } from '../../servers/needs.ts';
import { startRedisCluster } from '../../servers/redis-cluster.ts';
import type { ClusterNode, RedisCluster } from '../../servers/redis-cluster.ts';
import { ClusterClient, clusterWorkload, stateOfCluster, urlOf, work } from './cluster.ts';
import { forever, runtime } from './recording.ts';
import { assertSame } from './state.ts';

const options = { ...needs('redis-server', 'redis-cli'), timeout: 240_000 };
const UNITS = 20;

type Command = ReturnType<Shop['ok']>;

async function ended(shop: Shop, args: readonly string[]): Promise<Command> {
  const { status, err, json } = await shop.start(args).ended;
  assert.equal(status, 0, `tidemark ${args.join(' ')}: ${err}`);
  return json;
}

async function untilRecording(shop: Shop): Promise<void> {
  await waitUntil('the cluster is recorded', async () => {
    const [store] = listOf(await ended(shop, ['status']), 'stores');
    return store?.['state'] === 'recording';
  });
}

/** A mark that has the cluster, and its id. While nobody has noticed yet that a master is away, it waits. */
async function untilMarked(shop: Shop): Promise<string> {
  let id = '';
  await waitUntil('a mark has the cluster', async () => {
    const json = await ended(shop, ['mark']);
    id = markId(json);
    return objectOf(json, 'mark')['state'] === 'complete';
  });
  return id;
}

/** Writes from all that is known of a cluster until it is told to stop. */
class Writer {
  readonly #client: ClusterClient;
  readonly #units: Parameters<typeof work>[1];
  #isStopped = false;
  readonly #written: Promise<void>;

  constructor(client: ClusterClient, random: SeededRandom) {
    this.#client = client;
    // What has no key goes to each master, of which one is away.
    this.#units = clusterWorkload(random, 200).filter(({ tag }) => tag !== '');
    this.#written = this.#write();
    // It is `stop` that tells.
    this.#written.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#written;
    // What is to expire within milliseconds would do so while it is looked at.
    await runtime.clock.sleep(50, forever);
  }

  async #write(): Promise<void> {
    while (!this.#isStopped) await work(this.#client, this.#units, UNITS);
  }
}

function replicaOf(nodes: readonly ClusterNode[], master: ClusterNode): ClusterNode {
  return must(
    nodes.find(({ masterId }) => masterId === master.id),
    'a replica',
  );
}

type World = {
  readonly cluster: RedisCluster;
  readonly into: RedisCluster;
  readonly shop: Shop;
  readonly client: ClusterClient;
  readonly random: SeededRandom;
};

/** Kills a master, waits until its replica has its slots, and lets it come back. `before`: what happens to that replica first. */
async function failOver(
  { cluster, client, random }: World,
  before: (replica: ClusterNode) => Promise<void>,
): Promise<void> {
  const masters = (await cluster.masters()).filter(({ slots }) => slots.length > 0);
  const killed = random.pick(masters);
  const replica = replicaOf(await cluster.nodes(), killed);
  await before(replica);
  await cluster.at(killed.port).kill();
  await cluster.at(replica.port).resume();
  await cluster.untilReplaced(killed.port);
  await client.refresh();
  await runtime.clock.sleep(random.integer(500), forever);
  await cluster.at(killed.port).start();
  await cluster.untilWhole();
}

/** A cluster of three masters with a replica each, an application that has it as a store, and another cluster to restore into. */
async function openWorld(t: TestContext): Promise<World & AsyncDisposable> {
  const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? randomInt(2 ** 31));
  t.diagnostic(`seed ${seed}`);
  await using opened = new AsyncDisposableStack();
  const cluster = opened.use(await startRedisCluster({ replicas: 1 }));
  const into = opened.use(await startRedisCluster({ masters: 2 }));
  const stores = `stores:\n  sessions: { url: '${urlOf(cluster)}' }\n`;
  const manifest = `application: shop\nrepository: ./backups\nmarks: { every: 1s }\n${stores}`;
  const shop = opened.use(await openShop({ manifest }));
  const client = opened.use(new ClusterClient(cluster));
  await client.refresh();
  const random = createSeededRandom(seed);
  const held = opened.move();
  return { cluster, into, shop, client, random, [Symbol.asyncDispose]: async () => await held.disposeAsync() };
}

type Marked = { readonly mark: string; readonly keys: ReadonlyMap<string, string> };

/** What the mark holds is what the cluster had. */
async function assertRestores({ shop, into }: World, { mark, keys }: Marked): Promise<void> {
  await ended(shop, ['restore', '--to', mark, '--into', `sessions=${urlOf(into)}`, '--replace', 'sessions', '--yes']);
  assertSame(await stateOfCluster(into), keys, mark);
  await ended(shop, ['restore', '--discard', '--yes']);
}

test(
  'masters that are killed −9 under load are followed on, or a gap is told; marks afterwards hold what the cluster had',
  options,
  async (t) => {
    await using world = await openWorld(t);
    const { cluster, shop, client, random } = world;
    await work(client, clusterWorkload(random), 300);
    const up = shop.start(['up']);
    await untilRecording(shop);
    const marks: Marked[] = [];
    for (let count = 0; count < 2; count += 1) {
      const writer = new Writer(client, random);
      await runtime.clock.sleep(random.integer(1_000), forever);
      await failOver(world, async () => undefined);
      await untilMarked(shop);
      await writer.stop();
      const keys = await stateOfCluster(cluster);
      marks.push({ mark: await untilMarked(shop), keys });
    }
    up.child.kill('SIGINT');
    const { status, err } = await up.ended;
    const gaps = err.match(/^sessions: a gap since/gm) ?? [];
    t.diagnostic(`${gaps.length} gaps\n${err}`);
    assert.equal(status, gaps.length === 0 ? 0 : 3, err);
    const bases = err.match(/^sessions: base of/gm) ?? [];
    assert.equal(bases.length, 1 + gaps.length, err);
    for (const one of marks) await assertRestores(world, one);
  },
);

test(
  'a replica that had less than was recorded and takes over begins anew, and the gap is told',
  options,
  async (t) => {
    await using world = await openWorld(t);
    const { cluster, shop, client, random } = world;
    const up = shop.start(['up']);
    await untilRecording(shop);
    let before: Marked | undefined;
    await failOver(world, async (replica) => {
      const masters = await cluster.nodes();
      const master = must(
        masters.find(({ id }) => id === replica.masterId),
        'its master',
      );
      await cluster.at(replica.port).pause();
      // What lies in its socket it would read all the same. The recorder connects anew.
      await cluster.at(master.port).call('client', 'kill', 'type', 'replica');
      await work(
        client,
        clusterWorkload(random).filter(({ tag }) => tag !== ''),
        300,
      );
      await runtime.clock.sleep(50, forever);
      before = { keys: await stateOfCluster(cluster), mark: await untilMarked(shop) };
    });
    const first = must(before, 'a mark before');
    await work(client, clusterWorkload(random), 100);
    await runtime.clock.sleep(50, forever);
    await untilMarked(shop);
    const second = { keys: await stateOfCluster(cluster), mark: await untilMarked(shop) };
    assert.notDeepEqual(second.keys, first.keys);
    up.child.kill('SIGINT');
    const { status, err } = await up.ended;
    assert.equal(status, 3, err);
    assert.match(err, /^sessions: a gap since .*became master at/m);
    for (const one of [first, second]) await assertRestores(world, one);
  },
);
