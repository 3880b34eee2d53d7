import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import { listOf, markId, openShop } from '../e2e/shop.ts';
import type { Ended, Shop, Started } from '../e2e/shop.ts';
import { serverOwner, startPostgres } from '../servers/postgres.ts';
import type { PostgresServer } from '../servers/postgres.ts';
import { startRedis } from '../servers/redis.ts';
import type { RedisServer } from '../servers/redis.ts';
import { EngineModel, ENGINE_STORES, SESSION_SECONDS, SESSIONS } from './engine-model.ts';
import type { EngineStore } from './engine-model.ts';
import type { Span } from './model.ts';
import { until } from './world.ts';

const WRITER = join(import.meta.dirname, 'engine-writer.ts');

/** PostgreSQL's own cap on what it keeps for us, without which `doctor` would not agree. */
export const SETTINGS = { max_slot_wal_keep_size: '512MB', wal_level: 'replica' };

export type EnginePlaces = { readonly redisUrl: string; readonly postgresUrl: string; readonly more?: string };

/** An application with a store of each kind, written to by another process. */
export type EngineWorld = AsyncDisposable & {
  readonly shop: Shop;
  readonly seed: number;
  readonly random: SeededRandom;
  startUp(): Started;
  stop(up: Started): Promise<Ended>;
  /** `hasReplicas`: a write counts once a replica has it. */
  startWriter(ports: {
    readonly redisPort: number;
    readonly postgresPort: number;
    readonly hasReplicas?: boolean;
  }): void;
  /** Where the writer goes on when its connections break. */
  moveWriter(ports: {
    readonly redisPort: number;
    readonly postgresPort: number;
    readonly hasReplicas?: boolean;
  }): void;
  stopWriter(): Promise<EngineModel>;
  /** The marks that are there, oldest first. */
  marks(): readonly TakenMark[];
};

export type TakenMark = { readonly id: string; readonly state: string; readonly class: string; readonly span: Span };

/** The tables that the writer writes. */
export async function makeTables(server: PostgresServer): Promise<void> {
  await server.query(
    'CREATE TABLE counter (value bigint); INSERT INTO counter VALUES (0); CREATE TABLE steps (n bigint PRIMARY KEY, pad text)',
  );
}

export async function openEngineWorld({ redisUrl, postgresUrl, more = '' }: EnginePlaces): Promise<EngineWorld> {
  const stores = `  orders: { url: '${postgresUrl}', references: [uploads]${more} }\n  cache: { url: '${redisUrl}'${more} }\n  catalog: embedded:./catalog.db\n  uploads: { url: 'files:./uploads'${more} }\n`;
  const shop = await openShop({
    manifest: `application: shop\nrepository: ./backups\nmarks: { every: 1s }\nstores:\n${stores}`,
  });
  const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? Date.now() % 1_000_000);
  mkdirSync(shop.at('uploads'));
  writeFileSync(shop.at('uploads', 'counter'), '0');
  {
    using catalog = openEmbedded(shop.at('catalog.db'));
    catalog.put('counter', '0');
  }
  writeFileSync(shop.at('writer.log'), '');
  let writer: ChildProcess | undefined;
  const world: EngineWorld = {
    shop,
    seed,
    random: createSeededRandom(`${seed} events`),
    startUp: () => shop.start(['up']),
    async stop({ child, ended }) {
      child.kill('SIGINT');
      return await ended;
    },
    startWriter(ports) {
      world.moveWriter(ports);
      const args = [WRITER, shop.folder.path, shop.at('writer.log'), shop.at('ports.json')];
      writer = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    },
    moveWriter({ redisPort, postgresPort, hasReplicas = false }) {
      writeFileSync(shop.at('ports.json'), JSON.stringify({ redisPort, postgresPort, hasReplicas }));
    },
    async stopWriter() {
      assert.ok(writer, 'a writer runs');
      writer.kill('SIGTERM');
      if (writer.exitCode === null) await once(writer, 'exit');
      assert.equal(writer.exitCode, 0, 'the writer ended well');
      return new EngineModel(shop.at('writer.log'));
    },
    marks: () =>
      listOf(shop.ok(['marks']), 'marks').map((mark) => {
        const atMs = Date.parse(String(mark['at']));
        const span = { fromMs: atMs - Number(mark['skewMs']), toMs: atMs };
        return { id: String(mark['id']), state: String(mark['state']), class: String(mark['class']), span };
      }),
    async [Symbol.asyncDispose]() {
      rmSync(shop.at('pause'), { force: true });
      if (writer !== undefined && writer.exitCode === null && writer.signalCode === null) {
        writer.kill('SIGKILL');
        await once(writer, 'exit');
      }
      await shop[Symbol.asyncDispose]();
    },
  };
  return world;
}

export async function untilAllRecord({ shop }: EngineWorld): Promise<void> {
  await until('all stores are recorded', () => {
    const { json } = shop.run(['status']);
    const stores = Array.isArray(json['stores']) ? (json['stores'] as readonly { readonly state?: string }[]) : []; // as `status` answers
    return stores.length === ENGINE_STORES.length && stores.every(({ state }) => state === 'recording');
  });
}

/** Takes a mark through `up`, and gives its id. */
export function takeMark({ shop }: EngineWorld, args: readonly string[] = []): string {
  return markId(shop.ok(['mark', ...args]));
}

/** Restores a mark into fresh servers and folders, starts them, and tells what counter each store stands at. */
export async function restoredCounters(
  { shop }: EngineWorld,
  mark: string,
): Promise<Readonly<Record<EngineStore, number>>> {
  await using redis = await startRedis();
  const into = shop.at(`restored-${mark}`);
  mkdirSync(into, { mode: 0o755 });
  if (serverOwner() !== undefined) openTo(shop.folder.path);
  try {
    shop.ok(['restore', '--to', mark, '--into', into, '--into', `cache=${redis.url}`, '--yes']);
    await using postgres = await startPostgres({ folder: join(into, 'orders') });
    using catalog = openEmbedded(join(into, 'catalog'), { mustExist: true });
    return {
      uploads: Number(readFileSync(join(into, 'uploads', 'counter'), 'utf8')),
      cache: await redisCounter(redis),
      orders: await postgresCounter(postgres),
      catalog: Number(Buffer.from(catalog.get('counter') ?? []).toString()),
    };
  } finally {
    rmSync(into, { recursive: true, force: true });
    shop.ok(['restore', '--discard', '--yes']);
  }
}

/** A server that runs as another user has to come to its folder. */
function openTo(path: string): void {
  chmodSync(path, statSync(path).mode | 0o111);
}

async function redisCounter(server: RedisServer): Promise<number> {
  const [counter, first, last, sessions] = [
    await server.call('GET', 'counter'),
    await server.call('HGET', 'a/first', 'step'),
    await server.call('-n', '3', 'GET', 'z/last'),
    Number(await server.call('EVAL', "return #redis.call('keys', 'session/*')", '0')),
  ];
  assert.deepEqual([first, last], [counter, counter], 'a transaction of Redis is whole');
  const steps = Number(counter || 0);
  assert.equal(sessions, Math.min(steps, SESSIONS));
  if (steps === 0) return 0;
  const left = Number(await server.call('TTL', `session/${steps % SESSIONS}`));
  assert.ok(left > SESSION_SECONDS / 2 && left <= SESSION_SECONDS, `a session has ${left} s left`);
  assert.match(
    await server.call('-n', '3', 'XREVRANGE', 'events', '+', '-', 'COUNT', '1'),
    new RegExp(`^${counter}-1`),
  );
  return steps;
}

async function postgresCounter(server: PostgresServer): Promise<number> {
  const [row] = await server.query(
    'SELECT (SELECT value FROM counter) AS value, count(*) AS steps, COALESCE(max(n), 0) AS last FROM steps',
  );
  const [value, steps, last] = [row?.['value'], row?.['steps'], row?.['last']].map(Number);
  assert.deepEqual([steps, last], [value, value], 'PostgreSQL has every step up to the last');
  return value ?? 0;
}

/** Restores some of the marks, and checks that all stores stand where they may; at one moment where the mark is sealed. Returns how many. */
export async function checkMarks(world: EngineWorld, model: EngineModel, marks: readonly TakenMark[]): Promise<void> {
  for (const { id, class: kind, span } of marks) {
    const counters = await restoredCounters(world, id);
    for (const store of ENGINE_STORES) {
      const told = `seed ${world.seed}, mark ${id}: ${model.told(store, counters[store], span)}`;
      assert.ok(model.isPossible(store, counters[store], span), told);
    }
    if (kind === 'sealed') assert.equal(new Set(Object.values(counters)).size, 1, `${id}: ${JSON.stringify(counters)}`);
  }
}
