import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import type { Shop } from '../e2e/shop.ts';
import { serverOwner, startPostgres } from '../servers/postgres.ts';
import type { PostgresServer } from '../servers/postgres.ts';
import { startRedis } from '../servers/redis.ts';
import type { RedisServer } from '../servers/redis.ts';
import { ENGINE_STORES, SESSION_SECONDS, SESSIONS } from './engine-model.ts';
import type { EngineModel, EngineStore } from './engine-model.ts';
import { keepResult } from './engine-world.ts';
import type { EngineWorld, Recorded, TakenMark } from './engine-world.ts';
import { ENGINES_LONGER, isFull } from './world.ts';

/** How many of the marks that a scenario does not name are restored, the newest one among them. */
const RESTORED = process.env['TIDEMARK_ORACLE_LONGER'] === undefined ? 1 : 3 * ENGINES_LONGER;
/** Of those that it names, the last ones. */
const NAMED = isFull ? Number.POSITIVE_INFINITY : 2;

export type Counters = Readonly<Record<EngineStore, number>>;

/** Restores a mark into fresh servers and folders, starts them, and tells what counter each store stands at. */
export async function restoredCounters({ shop, seed }: EngineWorld, mark: string): Promise<Counters> {
  const startedMs = Date.now();
  await using redis = await startRedis();
  const into = shop.at(`restored-${mark}`);
  mkdirSync(into, { mode: 0o755 });
  if (serverOwner() !== undefined) openTo(shop.folder.path);
  try {
    await ended(shop, ['restore', '--to', mark, '--into', into, '--into', `cache=${redis.url}`, '--yes']);
    await using postgres = await startPostgres({ folder: join(into, 'orders') });
    using catalog = openEmbedded(join(into, 'catalog'), { mustExist: true });
    const counters = {
      uploads: Number(readFileSync(join(into, 'uploads', 'counter'), 'utf8')),
      cache: await redisCounter(redis),
      orders: await postgresCounter(postgres),
      catalog: Number(Buffer.from(catalog.get('counter') ?? []).toString()),
    };
    keepResult({ seed, mark, restoredMs: Date.now() - startedMs });
    return counters;
  } finally {
    rmSync(into, { recursive: true, force: true });
    await ended(shop, ['restore', '--discard', '--yes']);
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

/** Restores marks, and checks that all stores stand where they may, that what a row names is there, and that a sealed one is of one moment. */
export async function checkMarks(world: EngineWorld, model: EngineModel, marks: readonly TakenMark[]): Promise<void> {
  for (const { id, class: kind, span } of marks) {
    const counters = await restoredCounters(world, id);
    for (const store of ENGINE_STORES) {
      const told = `seed ${world.seed}, mark ${id}: ${model.told(store, counters[store], span)}`;
      assert.ok(model.isPossible(store, counters[store], span), told);
    }
    assert.ok(counters.uploads >= counters.orders, `seed ${world.seed}, mark ${id}: ${JSON.stringify(counters)}`);
    if (kind === 'sealed') assert.equal(new Set(Object.values(counters)).size, 1, `${id}: ${JSON.stringify(counters)}`);
  }
}

/** The marks of these ids, the newest complete one, and some more that are complete. */
export function chosenMarks(
  { random }: EngineWorld,
  { marks, complete }: Recorded,
  ids: readonly string[] = [],
): readonly TakenMark[] {
  const named = marks.filter(({ id }) => ids.includes(id));
  assert.deepEqual(
    ids.filter((id) => !named.some((mark) => mark.id === id)),
    [],
    'marks that were promised',
  );
  const others = complete.filter(({ id }) => !ids.includes(id));
  const some = random.shuffle(others.slice(0, -1)).slice(0, RESTORED - 1);
  return [...named.slice(-NAMED), ...some, ...(isFull ? others.slice(-1) : [])];
}
