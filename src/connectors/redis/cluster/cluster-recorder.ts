import { rm } from 'node:fs/promises';
import { toHex } from '../../../core/bytes.ts';
import type { RecorderContext } from '../../../core/connector.ts';
import { must } from '../../../core/must.ts';
import type { Lineage, Position } from '../../../core/position.ts';
import type { Base, Log, Recorder } from '../../../core/recorder.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { originOf, RdbBase, shardEntry } from '../base.ts';
import type { BaseBounds } from '../base.ts';
import { positionLost, unreachable } from '../errors.ts';
import { isInBacklog, whyLost } from '../link/history.ts';
import type { StreamPlace } from '../link/history.ts';
import { askReplication } from '../link/find-master.ts';
import { ReplicaLink } from '../link/replica-link.ts';
import { shownAddress } from '../place.ts';
import type { RedisPlace } from '../place.ts';
import { ScratchFiles } from '../scratch-files.ts';
import { ClusterLog } from './cluster-log.ts';
import type { ClusterState } from './cluster-log.ts';
import { KnownNodes } from './known-nodes.ts';
import { holdingsOf } from './nodes.ts';
import { askMasters, moving, myself, openCluster, slotsOf } from './open-cluster.ts';
import type { Cluster } from './open-cluster.ts';
import { clusterPosition, parseClusterResume, vectorOf } from './positions.ts';
import type { Vector } from './positions.ts';
import { beginShards, matchShards, shardPlace } from './shards.ts';
import type { Shard } from './shards.ts';
import { ShardStream } from './shard-stream.ts';
import { ownersOf, showSlotRanges } from './slots.ts';

const ID_BYTES = 8;

/**
 * Records a cluster as a replica of each of its masters: one history, whose positions say how far the stream of each is. Undefined when the server is none of a
 * cluster. The lineage of `previous` goes on where each stream does, and no other master has slots.
 * @throws STORE_UNREACHABLE, UNSUPPORTED
 */
export async function openClusterRecorder(
  place: RedisPlace,
  context: RecorderContext,
  run: Run,
): Promise<Recorder | undefined> {
  const { runtime, stateFolder, previous } = context;
  const { clock, random } = runtime;
  const nodes = new KnownNodes(stateFolder, random);
  await using opened = new AsyncDisposableStack();
  const cluster = await openCluster(place, { clock, others: await nodes.read() }, run);
  if (cluster === undefined) return undefined;
  opened.use(cluster);
  const files = opened.use(await ScratchFiles.open(context));
  await nodes.write(cluster.masters, run);
  const place0 = previous === undefined ? undefined : parseClusterResume(previous.resume);
  const asked = new AsyncDisposableStack();
  opened.use(asked);
  const shards = await goOnOrBegin(cluster, place0?.vector, { opened: asked, clock }, run);
  const lineage = shards.isKnown && previous !== undefined ? previous.lineage : `cluster-${toHex(random(ID_BYTES))}`;
  const order = shards.isKnown ? (place0?.order ?? 0n) : 0n;
  const held = opened.move();
  return new ClusterRecorder({ place, clock, files, nodes, cluster, shards: shards.shards, lineage, order, held });
}

async function goOnOrBegin(
  { masters }: Cluster,
  vector: Vector | undefined,
  options: { readonly opened: AsyncDisposableStack; readonly clock: Clock },
  run: Run,
): Promise<{ readonly shards: readonly Shard[]; readonly isKnown: boolean }> {
  try {
    const matched = vector && matchShards(vector, masters);
    // A master that keeps nothing takes a new id as soon as it has a replica.
    if (vector !== undefined && matched?.every((master) => master === undefined || master.info.backlog !== undefined)) {
      return { shards: matched.map((master, shard) => shardOf(master, vector[shard])), isKnown: true };
    }
  } catch {
    run.signal.throwIfAborted();
  }
  return { shards: await beginShards(masters, options, run), isKnown: false };
}

function shardOf(master: Shard['master'], known: StreamPlace | undefined): Shard {
  return { master, info: master?.info, known, asked: undefined };
}

type Setup = {
  readonly place: RedisPlace;
  readonly clock: Clock;
  readonly files: ScratchFiles;
  readonly nodes: KnownNodes;
  readonly cluster: Cluster;
  readonly shards: readonly Shard[];
  readonly lineage: string;
  readonly order: bigint;
  readonly held: AsyncDisposable;
};

/** An RDB of a shard that has been received, and the link on which what follows it comes. */
type SyncedShard = {
  readonly shard: number;
  readonly link: ReplicaLink;
  readonly place: StreamPlace;
  readonly path: string;
};

class ClusterRecorder implements Recorder {
  readonly exact = 'position';
  readonly lineage: Lineage;
  readonly #place: RedisPlace;
  readonly #clock: Clock;
  readonly #files: ScratchFiles;
  readonly #nodes: KnownNodes;
  readonly #held: AsyncDisposable;
  #cluster: Cluster;
  #shards: readonly Shard[];
  /** Where positions are counted from while there is no log. */
  readonly #from: { readonly order: bigint; readonly offsets: readonly bigint[] };
  #log: ClusterLog | undefined;
  /** Began the history: its RDBs are for the first base, its links for the log. */
  #begun:
    | { readonly synced: readonly SyncedShard[]; hasFiles: boolean; hasLinks: boolean; readonly position: Position }
    | undefined;

  constructor(setup: Setup) {
    this.#place = setup.place;
    this.#clock = setup.clock;
    this.#files = setup.files;
    this.#nodes = setup.nodes;
    this.#cluster = setup.cluster;
    this.#shards = setup.shards;
    this.#held = setup.held;
    this.lineage = { id: setup.lineage };
    this.#from = {
      order: setup.order,
      offsets: setup.shards.map(({ info, known }) => known?.offset ?? info?.offset ?? 0n),
    };
  }

  async head(run: Run): Promise<Position> {
    const before = await this.#ask(run);
    this.#assertStill(before);
    if (this.#log === undefined) return this.#lone(before.offsets);
    const position = await this.#log.reached(before.offsets, {}, run);
    const after = await this.#ask(run);
    this.#assertStill(after, before.holdings);
    return position;
  }

  async begin(run: Run): Promise<Position> {
    await this.#dropBegun();
    const synced = await this.#syncFully(run);
    const position = this.#lone(offsetsOf(synced));
    this.#begun = { synced, hasFiles: true, hasLinks: true, position };
    return position;
  }

  async openBase(run: Run): Promise<Base> {
    run.signal.throwIfAborted();
    const begun = this.#begun;
    if (begun?.hasFiles === true) {
      begun.hasFiles = false;
      return this.#base(begun.synced, { logFrom: begun.position, cut: begun.position });
    }
    const log = this.#log;
    const { offsets } = await this.#ask(run);
    const logFrom = await log?.reached(offsets, { evenly: true }, run);
    const synced = await this.#syncFully(run);
    for (const { link } of synced) await link[Symbol.asyncDispose]();
    const reached = offsetsOf(synced);
    if (log === undefined || logFrom === undefined) {
      const position = this.#lone(reached);
      return this.#base(synced, { logFrom: position, cut: position });
    }
    return this.#base(synced, async (inner) => ({
      logFrom,
      cut: await log.reached(reached, { strictly: true }, inner),
    }));
  }

  async openLog(after: Position, run: Run): Promise<Log> {
    run.signal.throwIfAborted();
    const begun = this.#begun;
    const isBegun = begun?.hasLinks === true && begun.position.resume === after.resume;
    const vector = vectorOf(after);
    const links = isBegun
      ? new Map(begun.synced.map(({ shard, link }) => [shard, link]))
      : await this.#goOn(vector, run);
    if (isBegun) begun.hasLinks = false;
    const streams = this.#shards.map((shard, index) => {
      const from = must(vector[index], 'a place').offset;
      const placeAt = (offset: bigint): StreamPlace => shardPlace(shard, offset);
      return new ShardStream({ shard: index, link: links.get(index), from, placeAt });
    });
    const ask = async (inner: Run): Promise<ClusterState> => await this.#ask(inner);
    this.#log = new ClusterLog({ streams, server: this.#place, clock: this.#clock, after, ask }, run);
    return this.#log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dropBegun();
    await this.#cluster[Symbol.asyncDispose]();
    await this.#held[Symbol.asyncDispose]();
  }

  /** A position where there is no log: it counts what one would have, but for frames. */
  #lone(offsets: readonly (bigint | undefined)[]): Position {
    const { order, offsets: from } = this.#from;
    const vector = this.#shards.map((shard, index) => shardPlace(shard, offsets[index] ?? shard.known?.offset ?? 0n));
    const more = vector.reduce((sum, { offset }, index) => sum + offset - (from[index] ?? 0n), 0n);
    return clusterPosition(this.lineage.id, order + more, vector);
  }

  #base(synced: readonly SyncedShard[], bounds: BaseBounds | ((run: Run) => Promise<BaseBounds>)): Base {
    const rdbs = synced.map(({ shard, path, place }) => {
      const master = must(this.#shards[shard]?.master, 'a master that has sent its RDB');
      const origin = { ...originOf(master.server, place), slots: showSlotRanges(slotsOf(master)) };
      return { name: shardEntry(shard), path, origin };
    });
    return new RdbBase(rdbs, bounds);
  }

  async #dropBegun(): Promise<void> {
    const begun = this.#begun;
    this.#begun = undefined;
    for (const { link, path } of begun?.synced ?? []) {
      if (begun?.hasLinks === true) await link[Symbol.asyncDispose]();
      if (begun?.hasFiles === true) await rm(path, { force: true });
    }
  }

  /** @throws STORE_UNREACHABLE when a master is none any more, or another one has slots */
  async #ask(run: Run): Promise<ClusterState> {
    const live = this.#shards.flatMap(({ master, info }, shard) => (master && info ? [{ master, info, shard }] : []));
    const states = await askMasters(
      live.map(({ master }) => master.client),
      run,
    );
    const ids = new Set(live.map(({ master }) => master.id));
    const offsets: (bigint | undefined)[] = this.#shards.map(() => undefined);
    const importing = this.#shards.map(() => false);
    let isMoving = false;
    for (const [index, { info, nodes }] of states.entries()) {
      const { master, info: known, shard } = must(live[index], 'a master that was asked');
      const { server } = master.client;
      if (!info.isMaster) throw unreachable(server, 'it is a replica now');
      if (info.replId !== known.replId) throw unreachable(server, 'it has another replication id than was recorded');
      const other = nodes.find(({ id, slots }) => slots.length > 0 && !ids.has(id));
      if (other !== undefined) throw unreachable(server, `slots are now at ${other.host ?? ''}:${other.port}`);
      const self = myself(nodes);
      offsets[shard] = info.offset;
      importing[shard] = self?.isImporting === true;
      isMoving ||= self?.isImporting === true || self?.isMigrating === true;
    }
    const selves = states.flatMap(({ nodes }) => myself(nodes) ?? []);
    const unserved = ownersOf(selves.map(({ slots }) => slots)).indexOf(-1);
    return {
      offsets,
      importing,
      isMoving,
      holdings: holdingsOf(selves),
      unserved: unserved < 0 ? undefined : unserved,
    };
  }

  #assertStill({ isMoving, holdings, unserved }: ClusterState, before = holdings): void {
    if (isMoving || holdings !== before) throw moving(this.#place);
    if (unserved !== undefined) throw unreachable(this.#place, `the slot ${unserved} of the cluster is nobody’s`);
  }

  /** A new state of each shard, in files. While slots move none is to be had. @throws POSITION_LOST where that is of another history */
  async #syncFully(run: Run): Promise<readonly SyncedShard[]> {
    const before = await this.#ask(run);
    this.#assertStill(before);
    const { arrivals } = this.#log ?? {};
    await using opened = new AsyncDisposableStack();
    const asked = await Promise.all(this.#shards.map(async (shard) => await this.#askFully(shard, opened, run)));
    this.#shards = this.#shards.map((shard) => ({ ...shard, asked: undefined }));
    const receiving = asked.flatMap((link, shard) => (link ? [this.#receive({ link, shard }, opened, run)] : []));
    const synced = await Promise.all(receiving);
    this.#assertStill(await this.#ask(run), before.holdings);
    if (this.#log?.arrivals !== arrivals) throw moving(this.#place);
    opened.move();
    return synced;
  }

  /** Nothing is to be had of a shard that is gone. */
  async #askFully({ master, asked }: Shard, opened: AsyncDisposableStack, run: Run): Promise<ReplicaLink | undefined> {
    if (asked !== undefined) return opened.use(asked);
    if (master === undefined) return undefined;
    const link = opened.use(await ReplicaLink.open(master.client.server, this.#clock, run));
    await link.ask(undefined, run);
    return link;
  }

  async #receive(
    { link, shard }: Pick<SyncedShard, 'link' | 'shard'>,
    opened: AsyncDisposableStack,
    run: Run,
  ): Promise<SyncedShard> {
    const start = await link.answer(run);
    if (start.kind !== 'full') throw positionLost('a master sends what follows, without what was there');
    if (start.place.replId !== this.#shards[shard]?.info?.replId)
      throw positionLost('a master began a new history meanwhile');
    const path = this.#files.next();
    opened.defer(() => rm(path, { force: true }));
    await link.receiveRdb(path, run);
    return { shard, link, place: start.place, path };
  }

  /** Links on which what follows a place of each shard comes. @throws POSITION_LOST */
  async #goOn(vector: Vector, run: Run): Promise<ReadonlyMap<number, ReplicaLink>> {
    await using opened = new AsyncDisposableStack();
    const options = { clock: this.#clock, others: await this.#nodes.read() };
    const cluster = await openCluster(this.#place, options, run);
    if (cluster === undefined) throw positionLost('the server is none of a cluster any more');
    opened.use(cluster);
    await this.#nodes.write(cluster.masters, run);
    const masters = matchShards(vector, cluster.masters);
    const links = await Promise.all(
      masters.map(async (master, shard) => {
        const place = must(vector[shard], 'a place');
        return master && (await this.#goOnAt(master, place, opened, run));
      }),
    );
    await this.#cluster[Symbol.asyncDispose]();
    this.#cluster = cluster;
    this.#shards = masters.map((master, shard) => {
      const { info } = links[shard] ?? {};
      return { master, info, known: vector[shard], asked: undefined };
    });
    opened.move();
    return new Map(links.flatMap((found, shard) => (found ? [[shard, found.link]] : [])));
  }

  async #goOnAt(
    { client, info: before }: NonNullable<Shard['master']>,
    place: StreamPlace,
    opened: AsyncDisposableStack,
    run: Run,
  ): Promise<{ readonly link: ReplicaLink; readonly info: NonNullable<Shard['info']> }> {
    const at = `the master ${shownAddress(client.server)}`;
    // Being asked for what it can't send, a server would make an RDB that nobody wants.
    if (!isInBacklog(place, before)) throw positionLost(`${at}: ${whyLost(place, before)}`);
    const link = opened.use(await ReplicaLink.open(client.server, this.#clock, run));
    await link.ask(place, run);
    const start = await link.answer(run);
    const info = await askReplication(client, run);
    if (start.kind === 'full') throw positionLost(`${at}: ${whyLost(place, info)}`);
    if (info.replId !== start.replId) throw unreachable(client.server, 'it has just become master, or another one has');
    return { link, info };
  }
}

function offsetsOf(synced: readonly SyncedShard[]): readonly (bigint | undefined)[] {
  const offsets: (bigint | undefined)[] = [];
  for (const { shard, place } of synced) offsets[shard] = place.offset;
  return offsets;
}
