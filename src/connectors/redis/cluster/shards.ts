import type { Clock, Run } from '../../../core/run.ts';
import { positionLost } from '../errors.ts';
import { askFirst } from '../link/ask-first.ts';
import { idAt, isInHistory, whyLost } from '../link/history.ts';
import type { StreamPlace } from '../link/history.ts';
import { ReplicaLink } from '../link/replica-link.ts';
import type { ReplicationInfo } from '../link/replication-info.ts';
import { shownAddress } from '../place.ts';
import { slotsOf } from './open-cluster.ts';
import type { ClusterMaster } from './open-cluster.ts';
import type { Vector } from './positions.ts';

/** A part of a cluster's history: the stream of a master and of who takes over from it. Its number is where it stands in vectors. */
export type Shard = {
  readonly master: ClusterMaster;
  /** What the master says of its ids. */
  readonly info: ReplicationInfo;
  /** What is known of the stream: it keeps its id. */
  readonly known: StreamPlace | undefined;
  /** Has been asked for everything, and not been answered. */
  readonly asked: ReplicaLink | undefined;
};

/** Where a shard's stream is at an offset. */
export function shardPlace({ info, known }: Pick<Shard, 'info' | 'known'>, offset: bigint): StreamPlace {
  return { replId: idAt(offset, info, known), offset };
}

/**
 * Which master goes on with which stream. @throws POSITION_LOST when none goes on with one, since nothing says what else it did before it ended; or when a
 * master is new, and has slots
 */
export function matchShards(vector: Vector, masters: readonly ClusterMaster[]): readonly ClusterMaster[] {
  const matched = vector.map((place) => masters.find(({ info }) => isInHistory(place, info)));
  const newcomer = masters.find((master) => !matched.includes(master) && slotsOf(master).length > 0);
  const lost = vector.find((_, shard) => matched[shard] === undefined);
  if (newcomer !== undefined) {
    const told = `the master ${shownAddress(newcomer.client.server)} of the cluster`;
    if (lost === undefined) throw positionLost(`${told} is new, and has slots`);
    throw positionLost(`${told} does not go on with what was recorded: ${whyLost(lost, newcomer.info)}`);
  }
  return matched.map((master) => {
    if (master === undefined) throw positionLost('a master has left the cluster');
    return master;
  });
}

/** Shards of a history that begins. A server that keeps nothing takes a new id for its first replica, which we are. */
export async function beginShards(
  masters: readonly ClusterMaster[],
  { opened, clock }: { readonly opened: AsyncDisposableStack; readonly clock: Clock },
  run: Run,
): Promise<readonly Shard[]> {
  return await Promise.all(masters.map(async (master) => await beginShard(master, { opened, clock }, run)));
}

async function beginShard(
  master: ClusterMaster,
  { opened, clock }: { readonly opened: AsyncDisposableStack; readonly clock: Clock },
  run: Run,
): Promise<Shard> {
  const { client, info } = master;
  if (info.backlog !== undefined) return { master, info, known: undefined, asked: undefined };
  const asked = opened.use(await ReplicaLink.open(client.server, clock, run));
  return { master, info: await askFirst(asked, { client, clock }, run), known: undefined, asked };
}
