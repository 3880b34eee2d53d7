import { TidemarkError } from '../../../core/errors.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { assertStill, openCluster, slotsOf } from '../cluster/open-cluster.ts';
import { ownersOf, slotOf } from '../cluster/slots.ts';
import { ErrorReply, refusal } from '../errors.ts';
import { globsFor } from '../key-patterns.ts';
import { findMaster } from '../link/find-master.ts';
import { parseInfo } from '../link/replication-info.ts';
import type { InfoFields } from '../link/replication-info.ts';
import type { RedisPlace, RedisServer } from '../place.ts';
import { shownAddress } from '../place.ts';
import { openClient } from '../resp-client.ts';
import type { RedisClient } from '../resp-client.ts';
import type { Reply } from '../resp.ts';
import { encodeCommand, itemsOf } from '../resp.ts';
import { REMOVAL } from './kept-content.ts';

/** To remove all that a server holds, and to take in a large value, may take it long. */
const SILENCE_MS = 15 * 60_000;
const SCAN_COUNT = '1000';
const FREED_STEP_MS = 50;
const GIVING_MS = 30_000;
const GIVING_STEP_MS = 20;

/** A server that is restored into. */
export type ServerTarget = AsyncDisposable & {
  readonly client: RedisClient;
  readonly server: RedisServer;
  readonly shown: string;
};

/** A server, or all masters of a cluster. */
export type Targets = AsyncDisposable & {
  readonly all: readonly ServerTarget[];
  readonly isCluster: boolean;
  readonly shown: string;
  /** Which one has a key, by its index. */
  readonly routeOf: (key: Uint8Array) => number;
};

/** @throws STORE_UNREACHABLE, also for a cluster that is not whole or of which slots are being moved; UNSUPPORTED for one that can't be restored into */
export async function openTargets(place: RedisPlace, clock: Clock, run: Run): Promise<Targets> {
  await using opened = new AsyncDisposableStack();
  const cluster = await openCluster(place, { clock, silenceMs: SILENCE_MS }, run);
  if (cluster === undefined) {
    const target = opened.use(await openTarget(place, run));
    const stack = opened.move();
    return {
      all: [target],
      isCluster: false,
      shown: target.shown,
      routeOf: () => 0,
      [Symbol.asyncDispose]: async () => await stack.disposeAsync(),
    };
  }
  opened.use(cluster);
  const masters = cluster.masters.filter((master) => slotsOf(master).length > 0);
  assertStill(masters);
  const all = masters.map(({ client }): ServerTarget => {
    const { server } = client;
    return { client, server, shown: `the Redis server ${shownAddress(server)}`, [Symbol.asyncDispose]: async () => {} };
  });
  const owners = ownersOf(masters.map((master) => slotsOf(master)));
  const stack = opened.move();
  return {
    all,
    isCluster: true,
    shown: `the Redis cluster at ${shownAddress(place)}`,
    routeOf: (key) => owners[slotOf(key)] ?? 0,
    [Symbol.asyncDispose]: async () => await stack.disposeAsync(),
  };
}

/** @throws STORE_UNREACHABLE; UNSUPPORTED for one that can't be restored into */
async function openTarget(place: RedisPlace, run: Run): Promise<ServerTarget> {
  const server = await findMaster(place, run);
  await using opened = new AsyncDisposableStack();
  const client = opened.use(await openClient(server, run, { silenceMs: SILENCE_MS }));
  const shown = `the Redis server ${shownAddress(server)}`;
  const info = await infoOf(client, 'everything', run);
  if (info.get('role') !== 'master') {
    throw new TidemarkError('UNSUPPORTED', `${shown} is a replica, which takes in only what its master has`, {
      hint: 'Name its master.',
    });
  }
  const stack = opened.move();
  return { client, server, shown, [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
}

export async function infoOf(client: RedisClient, section: string, run: Run): Promise<InfoFields> {
  return parseInfo(await client.call(['INFO', section], run));
}

/** The version of RDB that it writes, which is the newest that it takes. */
export async function rdbVersionOf(client: RedisClient, run: Run): Promise<number> {
  const dump = await client.call(['FUNCTION', 'DUMP'], run);
  return dump instanceof Uint8Array ? Buffer.from(dump).readUInt16LE(dump.byteLength - 10) : 0;
}

/** Milliseconds since 1970 by its clock, which is the one by which keys expire. */
export async function timeOf(client: RedisClient, run: Run): Promise<number> {
  const [seconds, micros] = (await textList(client.call(['TIME'], run))).map(Number);
  return (seconds ?? 0) * 1000 + Math.floor((micros ?? 0) / 1000);
}

/** Databases that hold keys; `expiring`: those of which some expire. */
export async function databasesOf(
  client: RedisClient,
  run: Run,
): Promise<readonly { readonly index: number; readonly expiring: number }[]> {
  const found: { index: number; expiring: number }[] = [];
  for (const [name, value] of await infoOf(client, 'keyspace', run)) {
    const [, index] = /^db([0-9]+)$/.exec(name) ?? [];
    if (index !== undefined) {
      found.push({ index: Number(index), expiring: Number(/expires=([0-9]+)/.exec(value)?.[1] ?? 0) });
    }
  }
  return found;
}

/** How much is there of what a restore would replace, as a clause; undefined for nothing. */
export async function contentOf(
  client: RedisClient,
  only: readonly string[] | undefined,
  run: Run,
): Promise<string | undefined> {
  if (only !== undefined) {
    for await (const { keys } of matchingKeys(client, only, run)) {
      if (keys.length > 0) return 'keys that --only means';
    }
    return undefined;
  }
  const databases = await databasesOf(client, run);
  if (databases.length > 0) return `keys in ${databases.length === 1 ? 'a database' : `${databases.length} databases`}`;
  const libraries = await client.call(['FUNCTION', 'LIST'], run);
  return Array.isArray(libraries) && libraries.length > 0 ? 'functions' : undefined;
}

export type FoundKeys = { readonly database: number; readonly keys: readonly Uint8Array[] };

/** The keys that patterns mean, by SCAN: some may come twice. The connection is left in the database of the last. */
export async function* matchingKeys(
  client: RedisClient,
  patterns: readonly string[],
  run: Run,
): AsyncGenerator<FoundKeys> {
  for (const { index } of await databasesOf(client, run)) {
    for (const glob of globsFor(patterns, index)) yield* scanKeys(client, { database: index, glob }, run);
  }
}

export async function* scanKeys(
  client: RedisClient,
  {
    database,
    glob,
    type,
  }: { readonly database: number; readonly glob?: Uint8Array | undefined; readonly type?: 'hash' },
  run: Run,
): AsyncGenerator<FoundKeys> {
  await client.call(['SELECT', String(database)], run);
  let cursor: string | Uint8Array = '0';
  do {
    const words: (string | Uint8Array)[] = ['SCAN', cursor, 'COUNT', SCAN_COUNT];
    if (glob !== undefined) words.push('MATCH', glob);
    if (type !== undefined) words.push('TYPE', type);
    const reply = await client.call(words, run);
    const [next, keys] = Array.isArray(reply) ? (reply as readonly Reply[]) : [];
    cursor = next instanceof Uint8Array ? next : '0';
    yield {
      database,
      keys: Array.isArray(keys) ? keys.filter((key): key is Uint8Array => key instanceof Uint8Array) : [],
    };
  } while (Buffer.from(cursor).toString() !== '0');
}

/**
 * Resolves when the server gives its RDB to no replica: removing all kills the process that does, and cuts off who gets it, also one who has all of it when the
 * server has not seen that yet. What takes longer than half a minute is not waited for.
 */
export async function untilGiven(client: RedisClient, clock: Clock, run: Run): Promise<void> {
  const untilMs = clock.monotonicMs() + GIVING_MS;
  while (clock.monotonicMs() < untilMs) {
    const replicas = [...(await infoOf(client, 'replication', run))].filter(([name]) => /^slave\d+$/.test(name));
    if (!replicas.some(([, state]) => state.includes('state=wait_bgsave'))) return;
    await clock.sleep(GIVING_STEP_MS, run);
  }
}

/**
 * Removes all that is there, and resolves when its memory is free. Behind it the key `mark` is set, where the memory suffices.
 * @throws STORE_UNREACHABLE when it was refused, and nothing removed
 */
export async function removeAll(
  client: RedisClient,
  { mark, clock }: { readonly mark: string; readonly clock: Clock },
  run: Run,
): Promise<void> {
  const marking = encodeCommand(['SET', mark, '']);
  const bytes = Buffer.concat([REMOVAL.bytes, marking]);
  const replies = (await client.send({ bytes, count: REMOVAL.count + 1 }, run)).slice(0, REMOVAL.count);
  const refused = [...replies, ...itemsOf(replies.at(-1) ?? null)].find((reply) => reply instanceof ErrorReply);
  if (refused !== undefined) throw refusal(client.server, refused);
  const untilMs = clock.monotonicMs() + SILENCE_MS;
  while (Number((await infoOf(client, 'memory', run)).get('lazyfree_pending_objects') ?? 0) > 0) {
    // Who writes meanwhile may go on to remove what is large.
    if (clock.monotonicMs() > untilMs) return;
    await clock.sleep(FREED_STEP_MS, run);
  }
}

/** Removes the keys that patterns mean, but for these. */
export async function removeMatching(
  client: RedisClient,
  { only, except }: { readonly only: readonly string[]; readonly except: readonly string[] },
  run: Run,
): Promise<void> {
  const excepted = new Set(except);
  for await (const { keys } of matchingKeys(client, only, run)) {
    // Keys of several slots of a cluster can't be in one command.
    const commands = keys
      .filter((key) => !excepted.has(Buffer.from(key).toString('latin1')))
      .map((key) => ['UNLINK', key]);
    await callEach(client, commands, run);
  }
}

/** Removes the keys that are meant. */
export async function removeKeys(client: RedisClient, isMeant: (key: Uint8Array) => boolean, run: Run): Promise<void> {
  for await (const { keys } of scanKeys(client, { database: 0 }, run)) {
    const commands = keys.filter(isMeant).map((key) => ['UNLINK', key]);
    if (commands.length > 0) await callEach(client, commands, run);
  }
}

/** Their replies. @throws RESTORE_FAILED when one is refused */
export async function callEach(
  client: RedisClient,
  commands: readonly (readonly (string | Uint8Array)[])[],
  run: Run,
): Promise<readonly Reply[]> {
  if (commands.length === 0) return [];
  const bytes = Buffer.concat(commands.map((words) => encodeCommand(words)));
  const replies = await client.send({ bytes, count: commands.length }, run);
  const failure = replies.find((reply) => reply instanceof Error);
  if (failure === undefined) return replies;
  throw new TidemarkError('RESTORE_FAILED', `the server refuses what ends the restore: ${failure.message}`, {
    cause: failure,
  });
}

async function textList(reply: Promise<Reply>): Promise<readonly string[]> {
  const list = await reply;
  return Array.isArray(list)
    ? list.map((part: Reply) => (part instanceof Uint8Array ? Buffer.from(part).toString() : String(part)))
    : [];
}
