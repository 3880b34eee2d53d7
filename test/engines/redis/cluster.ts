import assert from 'node:assert/strict';
import { ErrorReply } from '../../../src/connectors/redis/errors.ts';
import { slotOf } from '../../../src/connectors/redis/cluster/slots.ts';
import { openRedisRestorer } from '../../../src/connectors/redis/restorer.ts';
import type { RedisClient } from '../../../src/connectors/redis/resp-client.ts';
import { must } from '../../../src/core/must.ts';
import type { RestorerContext } from '../../../src/core/connector.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import type { LoggedTransaction, LogReader, Restorer } from '../../../src/core/restorer.ts';
import type { SeededRandom } from '../../../src/flow/random.ts';
import type { MemoryBase } from '../../../src/testing/tree/memory-base.ts';
import type { RedisCluster } from '../../servers/redis-cluster.ts';
import { clientOf } from './fill.ts';
import { Followed, forever, placeOfUrl, runtime } from './recording.ts';
import type { PlaceOptions } from './recording.ts';
import { stateOf } from './state.ts';
import { HARMLESS, workload } from './workload.ts';

export async function begin(recorder: Recorder): Promise<Position> {
  return await must(recorder.begin, 'a beginning').call(recorder, forever);
}

export async function head(recorder: Recorder): Promise<Position> {
  return await must(recorder.head, 'a head').call(recorder, forever);
}

export async function follow(recorder: Recorder, after: Position): Promise<Followed> {
  return new Followed(await must(recorder.openLog, 'a log').call(recorder, after, forever));
}

export function urlOf(cluster: RedisCluster): string {
  return must(cluster.servers[0], 'a node').url;
}

/** The log as a repository gives it. */
export function logOf(followed: Followed, after: Position, to: Position): LogReader {
  const transactions: LoggedTransaction[] = [];
  let entries: LoggedTransaction['entries'][number][] = [];
  for (const { changes, commit } of followed.pieces) {
    entries.push(...changes.map((change) => change)); // A change without content is an entry.
    if (commit === undefined) continue;
    if (entries.length > 0 && commit.position.order > after.order && commit.position.order <= to.order) {
      transactions.push({ entries, commit });
    }
    entries = [];
  }
  return {
    async *read() {
      yield transactions;
    },
  };
}

export type ClusterRestore = {
  readonly base: MemoryBase;
  readonly followed: Followed;
  readonly to: Position;
  readonly workFolder: string;
  readonly context?: Partial<RestorerContext>;
  readonly options?: PlaceOptions;
};

export async function stageInto(url: string, restore: ClusterRestore): Promise<Restorer> {
  const { base, followed, to, workFolder, context, options } = restore;
  const restorer = openRedisRestorer(placeOfUrl(url, options), { runtime, id: 'abc', ...context, workFolder });
  await restorer.restoreBase(base, forever);
  await restorer.rollForward?.(logOf(followed, base.end.logFrom, to), to, forever);
  await restorer.verify(forever);
  return restorer;
}

export async function restoreInto(url: string, restore: ClusterRestore): Promise<void> {
  await using restorer = await stageInto(url, restore);
  await restorer.swap(forever);
}

/** Everything that a client could see of a cluster, but for when keys expire. */
export async function stateOfCluster(cluster: RedisCluster): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const { port, slots } of await cluster.masters()) {
    if (slots.length === 0) continue;
    for (const [key, value] of await stateOf(cluster.at(port), 1)) {
      if (key === 'functions') assert.equal(value, found.get(key) ?? value, 'all masters have the same functions');
      else assert.ok(!found.has(key), `${key} is at one master`);
      found.set(key, value);
    }
  }
  return found;
}

/** Sends commands to whichever master has their slot, also while slots move. */
export class ClusterClient implements AsyncDisposable {
  readonly #cluster: RedisCluster;
  readonly #clients = new Map<number, RedisClient>();
  #ports: Int32Array = new Int32Array(16_384);

  constructor(cluster: RedisCluster) {
    this.#cluster = cluster;
  }

  async refresh(): Promise<void> {
    for (const { slots, port } of await this.#cluster.masters()) {
      for (const range of slots) {
        const [first = '', last = first] = range.split('-');
        if (!range.startsWith('[')) this.#ports.fill(port, Number(first), Number(last) + 1);
      }
    }
  }

  /** Of all masters that have slots. */
  get ports(): readonly number[] {
    return [...new Set(this.#ports)];
  }

  async at(port: number): Promise<RedisClient> {
    const known = this.#clients.get(port);
    if (known !== undefined) return known;
    const client = await clientOf(this.#cluster.at(port));
    this.#clients.set(port, client);
    return client;
  }

  /** Commands of one slot, in one transaction where they are one. Errors that change nothing are passed over. */
  async run(tag: string, commands: readonly (readonly string[])[]): Promise<void> {
    const slot = slotOf(Buffer.from(`{${tag}}`));
    let isAsking = false;
    let port = this.#ports[slot] ?? 0;
    for (let tries = 0; ; tries += 1) {
      assert.ok(tries < 2_000, `${commands.join(' ')} is never taken`);
      try {
        const client = await this.at(port);
        for (const words of commands) {
          // A transaction of slots on their way is asked for as a whole.
          if (isAsking && (commands.length === 1 || words[0] !== 'EXEC')) await client.call(['ASKING'], forever);
          const reply = await client.call(words, forever);
          if (words[0] !== 'EXEC') continue;
          const failed = (Array.isArray(reply) ? reply : []).find((part) => part instanceof ErrorReply);
          if (failed !== undefined) assert.match(String(failed), HARMLESS);
        }
        return;
      } catch (error) {
        const told = String(error instanceof Error && error.cause instanceof Error ? error.cause.message : error);
        const [, kind, to] = /(MOVED|ASK) \d+ [^ ]*:(\d+)/.exec(told) ?? [];
        if (commands.length > 1) await this.#discard(port).catch(() => undefined);
        if (to !== undefined) {
          port = Number(to);
          isAsking = kind === 'ASK';
          if (kind === 'MOVED') this.#ports[slot] = port;
        } else if (
          /TRYAGAIN|CLUSTERDOWN|ended the connection|ECONN|EPIPE|nothing listens|closed here|READONLY|LOADING/.test(
            told,
          )
        ) {
          this.#clients.delete(port);
          await runtime.clock.sleep(10, forever);
          await this.refresh().catch(() => undefined);
          port = this.#ports[slot] ?? 0;
          isAsking = false;
        } else {
          assert.match(told, HARMLESS, JSON.stringify(commands));
          return;
        }
      }
    }
  }

  async #discard(port: number): Promise<void> {
    await (await this.at(port)).call(['DISCARD'], forever);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients.values()) await client[Symbol.asyncDispose]();
  }
}

type Unit = { readonly tag: string; readonly commands: readonly (readonly string[])[] };

const KEY = /^(?:(?:s|h|a|n|f|l|hf|set|z|p|g|x):\d+|xg)$/;
const NONE_OF_CLUSTERS = new Set(['SELECT', 'MOVE', 'SWAPDB', 'FLUSHDB', 'PUBLISH']);

/** The commands of `workload` as a cluster takes them: the keys of each have one tag. Those of functions and FLUSHALL have none. */
export function* clusterWorkload(random: SeededRandom, tags = 30): Generator<Unit> {
  let open: (readonly string[])[] | undefined;
  let tag = 't0';
  for (const words of workload(random)) {
    const [name = ''] = words;
    if (open === undefined) tag = `t${random.integer(tags)}`;
    // In a transaction it would reach one master only.
    const isAlone = name === 'FUNCTION' && open !== undefined;
    if (NONE_OF_CLUSTERS.has(name) || words.includes('DB') || isAlone) {
      if (name === 'FLUSHDB' && open === undefined) yield { tag: '', commands: [['FLUSHALL']] };
      continue;
    }
    const tagged = words.map((word) => (KEY.test(word) ? `{${tag}}${word}` : word));
    if (name === 'MULTI') open = [tagged];
    else if (open !== undefined) {
      open.push(tagged);
      if (name !== 'EXEC') continue;
      yield { tag, commands: open };
      open = undefined;
    } else yield { tag: name === 'FUNCTION' ? '' : tag, commands: [tagged] };
  }
}

/** Does so many units; what has no key is done at all masters, or FLUSHALL at one of them. */
export async function work(client: ClusterClient, units: Iterator<Unit>, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) {
    const { tag, commands } = units.next().value as Unit; // It never ends.
    if (tag !== '') {
      await client.run(tag, commands);
      continue;
    }
    const ports = client.ports.slice(0, commands[0]?.[0] === 'FLUSHALL' ? 1 : undefined);
    for (const port of ports) await (await client.at(port)).call(must(commands[0], 'a command'), forever);
  }
}
