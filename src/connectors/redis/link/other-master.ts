import { isTidemarkError } from '../../../core/errors.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { shownAddress } from '../place.ts';
import type { Address, RedisPlace, RedisServer } from '../place.ts';
import { openClient } from '../resp-client.ts';
import { askSentinel } from './find-master.ts';
import { parseReplicationInfo } from './replication-info.ts';

/** A mark waits no longer for a Sentinel, or for a master that one names. */
const ANSWER_MS = 1_000;

/** The master that is recorded. */
export type RecordedMaster = { readonly server: RedisServer; readonly replId: string };

type Options = { readonly recorded: RecordedMaster; readonly clock: Clock };

/**
 * Another master of a store that Sentinel watches, where any Sentinel that answers within a second names one: a client may have asked that one and written there. One that is
 * the recorded server by another name is none; one that does not answer counts when most name it. Undefined without Sentinel.
 */
export async function findOtherMaster(place: RedisPlace, options: Options, run: Run): Promise<Address | undefined> {
  const { sentinel, ...server } = place;
  if (sentinel === undefined) return undefined;
  const { recorded, clock } = options;
  const { masterName, addresses } = sentinel;
  const named = await Promise.all(
    addresses.map((address) => soon(clock, (inner) => askSentinel({ ...server, ...address }, masterName, inner), run)),
  );
  const own = shownAddress(recorded.server);
  const known = named.filter((address) => address !== undefined);
  const byName = Map.groupBy(known, shownAddress);
  const others = [...byName].filter(([name]) => name !== own).map(([, addressesNamed]) => addressesNamed);
  for (const [other, ...more] of others) {
    if (other === undefined) continue;
    const replId = await soon(clock, (inner) => masterIdAt({ ...server, ...other }, inner), run);
    const isTrusted = replId === undefined && (1 + more.length) * 2 > known.length;
    if (isTrusted || (typeof replId === 'string' && replId !== recorded.replId)) return other;
  }
  return undefined;
}

/** Null of a server that is no master. */
async function masterIdAt(server: RedisServer, run: Run): Promise<string | null> {
  await using client = await openClient(server, run);
  const info = parseReplicationInfo(server, await client.call(['INFO', 'replication'], run));
  return info.isMaster ? info.replId : null;
}

/** Undefined where there is no answer in time. */
async function soon<T>(clock: Clock, ask: (run: Run) => Promise<T>, run: Run): Promise<T | undefined> {
  const ended = new AbortController();
  const inner = { signal: AbortSignal.any([run.signal, ended.signal]) };
  const late = clock.sleep(ANSWER_MS, inner).then(() => ended.abort(new Error('too late')));
  late.catch(() => undefined);
  try {
    return await ask(inner);
  } catch (error) {
    run.signal.throwIfAborted();
    if (!ended.signal.aborted && !isTidemarkError(error)) throw error;
    return undefined;
  } finally {
    ended.abort();
  }
}
