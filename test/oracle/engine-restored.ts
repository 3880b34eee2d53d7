import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import type { Ended, Shop } from '../e2e/shop.ts';
import { serverOwner, startPostgres } from '../servers/postgres.ts';
import type { PostgresServer } from '../servers/postgres.ts';
import { startRedis } from '../servers/redis.ts';
import type { RedisServer } from '../servers/redis.ts';
import { SESSION_SECONDS, SESSIONS } from './engine-model.ts';
import type { EngineStore } from './engine-model.ts';
import { keepResult } from './engine-world.ts';
import type { EngineWorld } from './engine-world.ts';

export type Counters = Readonly<Record<EngineStore, number>>;

export type Restored = { readonly counters: Counters; readonly result: Ended['json'] };

/** Restores a mark into fresh servers and folders, starts them, and tells what counter each store stands at. */
export async function restoredCounters(world: EngineWorld, mark: string): Promise<Counters> {
  const { counters } = await restoredTo(world, ['--to', mark]);
  return counters;
}

/** The same for what `to` says. @throws RestoreRefused when there is no such place */
export async function restoredTo({ shop, seed }: EngineWorld, to: readonly string[]): Promise<Restored> {
  const startedMs = Date.now();
  await using redis = await startRedis();
  const into = shop.at(`restored-${to.join('').replaceAll(/\W/g, '')}`);
  mkdirSync(into, { mode: 0o755 });
  if (serverOwner() !== undefined) openTo(shop.folder.path);
  const restore = ['restore', ...to, '--into', into, '--into', `cache=${redis.url}`, '--yes'];
  try {
    const { status, err, json: result } = await shop.start(restore).ended;
    if (status !== 0) throw new RestoreRefused(String(result['code']), `tidemark ${restore.join(' ')}: ${err}`);
    await using postgres = await startPostgres({ folder: join(into, 'orders') });
    using catalog = openEmbedded(join(into, 'catalog'), { mustExist: true });
    const counters = {
      uploads: Number(readFileSync(join(into, 'uploads', 'counter'), 'utf8')),
      cache: await redisCounter(redis),
      orders: await postgresCounter(postgres),
      catalog: Number(Buffer.from(catalog.get('counter') ?? []).toString()),
    };
    keepResult({ seed, to: to.slice(1), restoredMs: Date.now() - startedMs });
    await ended(shop, ['restore', '--discard', '--yes']);
    return { counters, result };
  } finally {
    rmSync(into, { recursive: true, force: true });
  }
}

/** A restore that ended with an error. `code`: as it says. */
export class RestoreRefused extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'RestoreRefused';
    this.code = code;
  }
}

/** Networks that this process makes go on meanwhile. */
async function ended(shop: Shop, args: readonly string[]): Promise<void> {
  const { status, err } = await shop.start(args).ended;
  assert.equal(status, 0, `tidemark ${args.join(' ')}: ${err}`);
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
