import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { must } from '../src/core/must.ts';
import { startPostgres } from '../test/servers/postgres.ts';
import type { PostgresServer } from '../test/servers/postgres.ts';
import type { PostgresVersion } from '../test/servers/postgres-binaries.ts';
import { startRedis } from '../test/servers/redis.ts';
import type { RedisServer } from '../test/servers/redis.ts';
import { contentWriters } from './data/content.ts';
import { deriveSeed, seededRandom } from './data/random.ts';
import type { Random } from './data/random.ts';

/** Of a table with its index that `pgbench -i` makes. */
const BYTES_PER_SCALE = 15_600_000;
const PAGE_BYTES = 8_192;

/** As an operator runs it: what is committed is on the disk. */
const SETTINGS = {
  fsync: 'on',
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  maintenance_work_mem: '256MB',
} as const;

export type PgbenchOptions = {
  readonly version?: PostgresVersion;
  /** Of the database, about. */
  readonly sizeBytes: number;
  readonly settings?: Readonly<Record<string, string>>;
  readonly initdb?: readonly string[];
};

/** A PostgreSQL with the tables of pgbench, checkpointed. */
export async function startPgbench({ sizeBytes, settings, ...options }: PgbenchOptions): Promise<PostgresServer> {
  const server = await startPostgres({ ...options, settings: { ...SETTINGS, ...settings } });
  try {
    const scale = String(Math.max(1, Math.round(sizeBytes / BYTES_PER_SCALE)));
    await server.runClient('pgbench', ['-i', '-q', '-s', scale, 'postgres']);
    await server.query('CHECKPOINT');
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

export type PgbenchResult = { readonly transactionsPerSecond: number; readonly meanLatencyMs: number };

/** Its usual transactions, by so many clients for so long. */
export async function runPgbench(
  server: PostgresServer,
  { clients, seconds }: { readonly clients: number; readonly seconds: number },
): Promise<PgbenchResult> {
  const args = ['-n', '-c', String(clients), '-j', '2', '-T', String(seconds), 'postgres'];
  const text = await server.runClient('pgbench', args);
  return {
    transactionsPerSecond: Number(must(/tps = ([\d.]+)/.exec(text)?.[1], 'tps')),
    meanLatencyMs: Number(must(/latency average = ([\d.]+)/.exec(text)?.[1], 'latency')),
  };
}

export type Touched = { readonly changedPages: number; readonly bytes: number };

/**
 * Changes a share of the pages of the accounts at random places in one transaction, and checkpoints. What it says is counted: pages whose
 * last change is newer than its beginning.
 */
export async function touchPages(server: PostgresServer, share: number, seed: number): Promise<Touched> {
  await server.query('CREATE EXTENSION IF NOT EXISTS pageinspect');
  const pages = Number(
    await server.value("SELECT pg_relation_size('pgbench_accounts') / current_setting('block_size')::int"),
  );
  const rows = Number(await server.value('SELECT max(aid) FROM pgbench_accounts'));
  const before = await server.value('SELECT pg_current_wal_insert_lsn()');
  const count = Math.round(pages * share);
  await server.query(
    `SELECT setseed(${(seed % 1_000) / 1_000}); UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid IN ` +
      `(SELECT 1 + floor(random() * ${rows})::int FROM generate_series(1, ${count}))`,
  );
  await server.query('CHECKPOINT');
  let changedPages = 0;
  for (const relation of ['pgbench_accounts', 'pgbench_accounts_pkey']) {
    changedPages += Number(
      await server.value(
        `SELECT count(*) FROM generate_series(0, pg_relation_size('${relation}') / ${PAGE_BYTES} - 1) AS page ` +
          `WHERE (page_header(get_raw_page('${relation}', page::int))).lsn >= '${before}'`,
      ),
    );
  }
  return { changedPages, bytes: changedPages * PAGE_BYTES };
}

export type RedisFill = {
  /** Of keys and values, about. */
  readonly sizeBytes: number;
  readonly seed?: number;
};

/** Values are cut from as much text as this: further apart than any compressor looks back, so that they do not repeat. */
const POOL_BYTES = 32 * 1_024 * 1_024;

/** A Redis with values that compress as those of applications do: of ten keys eight are strings, the others are of all types; one in five expires in a day. */
export async function startFilledRedis(fill: RedisFill, args: readonly string[] = []): Promise<RedisServer> {
  const server = await startRedis({ args });
  try {
    await server.pipe(fillCommands(fill));
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** The commands that fill it: the same for the same seed. */
export function* fillCommands({ sizeBytes, seed = 1 }: RedisFill): Generator<readonly (string | Uint8Array)[]> {
  const pool = Buffer.alloc(POOL_BYTES);
  contentWriters()('dump', deriveSeed('redis', seed)).fill(pool);
  const random = seededRandom(seed);
  let sentBytes = 0;
  for (let key = 0; sentBytes < sizeBytes; key += 1) {
    const commands = commandsOf(key, random, pool);
    for (const command of commands) {
      sentBytes += command.reduce((sum, word) => sum + word.length, 0);
      yield command;
    }
  }
}

function commandsOf(key: number, random: Random, pool: Buffer): readonly (readonly (string | Uint8Array)[])[] {
  const cut = (least: number, most: number): Uint8Array => {
    const start = random.below(POOL_BYTES - most);
    return pool.subarray(start, start + Math.floor(random.spread(least, most)));
  };
  const several = <T>(make: (index: number) => readonly T[]): readonly T[] => {
    return Array.from({ length: 4 + random.below(28) }, (_, index) => make(index)).flat();
  };
  const kind = random.below(100);
  const expiry = random.below(5) === 0 ? ['EX', '86400'] : [];
  if (kind < 80) return [['SET', `session:${key}`, cut(200, 4_000), ...expiry]];
  if (kind < 90) return [['HSET', `user:${key}`, ...several((index) => [`field:${index}`, cut(10, 200)])]];
  if (kind < 94) return [['RPUSH', `queue:${key}`, ...several(() => [cut(50, 500)])]];
  if (kind < 97) return [['SADD', `tags:${key}`, ...several((index) => [`${index}:${random.next()}`])]];
  const ranked = (index: number): readonly string[] => [String(random.below(1e6)), `member:${index}`];
  if (kind < 99) return [['ZADD', `board:${key}`, ...several(ranked)]];
  return several((index) => [['XADD', `events:${key}`, `1700000000000-${index + 1}`, 'body', cut(50, 300)]]);
}

export type RedisLoad = {
  readonly requests: number;
  readonly pipeline?: number;
  readonly clients?: number;
  readonly valueBytes?: number;
  readonly keys?: number;
};

/** Requests per second of `redis-benchmark -t set` with random keys. */
export async function runRedisBenchmark(server: RedisServer, load: RedisLoad): Promise<number> {
  const { requests, pipeline = 16, clients = 50, valueBytes = 100, keys = 1_000_000 } = load;
  const numbers = { '-p': server.port, '-n': requests, '-P': pipeline, '-c': clients, '-d': valueBytes, '-r': keys };
  const args = [...Object.entries(numbers).flatMap(([name, value]) => [name, String(value)]), '-t', 'set', '--csv'];
  const child = spawn('redis-benchmark', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const output: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => output.push(piece));
  const [status] = (await once(child, 'close')) as [number | null];
  const rate = /"SET","([\d.]+)"/.exec(Buffer.concat(output).toString())?.[1];
  if (status !== 0 || rate === undefined) throw new Error(`redis-benchmark ended with ${status}`);
  return Number(rate);
}
