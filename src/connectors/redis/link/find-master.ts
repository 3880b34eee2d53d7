import { isTidemarkError, TidemarkError } from '../../../core/errors.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { ErrorReply, isNotReady, unreachable } from '../errors.ts';
import { shownAddress } from '../place.ts';
import type { Address, RedisPlace, RedisServer } from '../place.ts';
import { openClient } from '../resp-client.ts';
import type { RedisClient } from '../resp-client.ts';
import { itemsOf, textOf } from '../resp.ts';
import { parseInfo, parseReplicationInfo } from './replication-info.ts';
import type { InfoFields, ReplicationInfo } from './replication-info.ts';

/** How long to wait for a server that says it will be ready. */
const READY_MS = 30_000;
const READY_STEP_MS = 250;
/** A busy server is asked less hastily than a person would: a script may hold it. */
const SENTINEL_SILENCE_MS = 3_000;

/** A connection to a master, and what it said of itself then. */
export type Master = { readonly client: RedisClient; readonly info: ReplicationInfo; readonly server: InfoFields };

/**
 * Connects to the master of a store: the server itself, or the one that Sentinel names. Waits half a minute for one that is loading.
 * @throws STORE_UNREACHABLE, also for a replica; UNSUPPORTED for what can't be recorded
 */
export async function openMaster(place: RedisPlace, clock: Clock, run: Run): Promise<Master> {
  const untilMs = clock.monotonicMs() + READY_MS;
  for (;;) {
    try {
      return await openMasterNow(place, run);
    } catch (error) {
      if (!isNotReady(error) || clock.monotonicMs() > untilMs) throw error;
      await clock.sleep(READY_STEP_MS, run);
    }
  }
}

async function openMasterNow(place: RedisPlace, run: Run): Promise<Master> {
  const server = await findMaster(place, run);
  await using opened = new AsyncDisposableStack();
  const client = opened.use(await openClient(server, run));
  const fields = parseInfo(await client.call(['INFO', 'server'], run));
  assertVersion(server, fields);
  assertWhole(server, fields);
  const info = await askReplication(client, run);
  opened.move();
  return { client, info, server: fields };
}

/** What a master says of its replication now. @throws STORE_UNREACHABLE when it is none any more */
export async function askReplication(client: RedisClient, run: Run): Promise<ReplicationInfo> {
  const info = parseReplicationInfo(client.server, await client.call(['INFO', 'replication'], run));
  if (info.isMaster) return info;
  const master = info.master === undefined ? 'another server' : shownAddress(info.master);
  throw unreachable(client.server, `it is a replica of ${master}`, {
    hint: 'Name the master in the URL; or the Sentinels, which know where it is, with sentinels.',
  });
}

/** Where the master is now, by the first Sentinel that knows. The store's own address without Sentinel. @throws STORE_UNREACHABLE */
export async function findMaster(place: RedisPlace, run: Run): Promise<RedisServer> {
  const { sentinel, ...server } = place;
  if (sentinel === undefined) return server;
  const { addresses, masterName } = sentinel;
  const failures: unknown[] = [];
  for (const address of addresses) {
    try {
      const found = await askSentinel({ ...server, ...address }, masterName, run);
      if (found !== undefined) return { ...server, ...found };
      failures.push(unreachable(address, `it watches no master ${masterName}`));
    } catch (error) {
      if (!isTidemarkError(error, 'STORE_UNREACHABLE')) throw error;
      failures.push(error);
    }
  }
  const told = failures.map((failure) => (failure instanceof Error ? failure.message : String(failure))).join('; ');
  throw new TidemarkError('STORE_UNREACHABLE', `no Sentinel knows where the master ${masterName} is: ${told}`, {
    hint: 'Check sentinels and masterName of this store.',
    cause: failures[0],
  });
}

/** Whom one Sentinel calls the master; undefined where it watches none of that name. @throws STORE_UNREACHABLE */
export async function askSentinel(sentinel: RedisServer, masterName: string, run: Run): Promise<Address | undefined> {
  try {
    return await askOne({ ...sentinel, user: undefined, password: async () => undefined }, masterName, run);
  } catch (error) {
    const cause = error instanceof TidemarkError ? error.cause : undefined;
    if (!(cause instanceof ErrorReply && cause.kind === 'NOAUTH')) throw error;
    return await askOne(sentinel, masterName, run);
  }
}

async function askOne(sentinel: RedisServer, masterName: string, run: Run): Promise<Address | undefined> {
  await using client = await openClient(sentinel, run, { silenceMs: SENTINEL_SILENCE_MS });
  const reply = await client.call(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName], run);
  const [host, port] = itemsOf(reply).map(textOf);
  return host === undefined || host === '' || port === undefined ? undefined : { host, port: Number(port) };
}

/** @throws UNSUPPORTED for what is older than Redis 7 */
export function assertVersion(server: RedisServer, fields: InfoFields): void {
  const version = fields.get('redis_version') ?? '0';
  const [major = 0] = version.split('.').map(Number);
  if (major < 7) {
    throw new TidemarkError('UNSUPPORTED', `the Redis server ${shownAddress(server)} is of version ${version}`, {
      hint: 'Redis 7 and Valkey are supported, and what is newer.',
    });
  }
}

/** By `INFO server`; Valkey calls it by another name. */
export function isOfCluster(fields: InfoFields): boolean {
  return (fields.get('redis_mode') ?? fields.get('server_mode')) === 'cluster';
}

function assertWhole(server: RedisServer, fields: InfoFields): void {
  if (!isOfCluster(fields)) return;
  throw new TidemarkError('UNSUPPORTED', `the Redis server ${shownAddress(server)} is a node of a cluster`, {
    hint: 'Clusters are recorded by source: psync alone, without Sentinel.',
  });
}
