import { rm } from 'node:fs/promises';
import { toHex } from '../../../core/bytes.ts';
import type { RecorderContext } from '../../../core/connector.ts';
import { isTidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import type { Lineage, Position } from '../../../core/position.ts';
import type { Base, Log, Recorder } from '../../../core/recorder.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { originOf, RdbBase, shardEntry } from '../base.ts';
import type { BaseBounds } from '../base.ts';
import { positionLost, unreachable } from '../errors.ts';
import { askFirst } from '../link/ask-first.ts';
import { isInBacklog, whyLost } from '../link/history.ts';
import type { StreamPlace } from '../link/history.ts';
import { askReplication } from '../link/find-master.ts';
import { ReplicaLink } from '../link/replica-link.ts';
import type { ReplicationInfo } from '../link/replication-info.ts';
import { shownAddress } from '../place.ts';
import type { RedisPlace, RedisServer } from '../place.ts';
import { readRdb } from '../rdb/rdb-reader.ts';
import { filePieces } from '../restore/work-files.ts';
import { ScratchFiles } from '../scratch-files.ts';
import { ClusterLog } from './cluster-log.ts';
import type { ClusterState } from './cluster-log.ts';
import { KnownNodes } from './known-nodes.ts';
import { holdingsOf } from './nodes.ts';
import type { ClusterNode } from './nodes.ts';
import { askMasters, moving, myself, openCluster, slotsOf } from './open-cluster.ts';
import type { Cluster, ClusterMaster } from './open-cluster.ts';
import { clusterPosition, parseClusterResume, vectorOf } from './positions.ts';
import type { Vector } from './positions.ts';
import { beginShards, matchShards, shardPlace } from './shards.ts';
import type { Shard } from './shards.ts';
import { ShardStream } from './shard-stream.ts';
import { moveWordsOf } from './slot-moves.ts';
import { isClaimedTwice, ownersOf, showSlotRanges } from './slots.ts';

const ID_BYTES = 8;
/** How long a node is seen as a master without slots before it counts as one: a replica that has just been added looks so, too. */
const JOINED_MS = 2_000;

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
  const lineage = {
    id: shards.isKnown && previous !== undefined ? previous.lineage : `cluster-${toHex(random(ID_BYTES))}`,
    brokenBy: shards.brokenBy,
  };
  const order = shards.isKnown ? (place0?.order ?? 0n) : 0n;
  const held = opened.move();
  return new ClusterRecorder({ place, clock, files, nodes, cluster, shards: shards.shards, lineage, order, held });
}

async function goOnOrBegin(
  { masters }: Cluster,
  vector: Vector | undefined,
  options: { readonly opened: AsyncDisposableStack; readonly clock: Clock },
  run: Run,
): Promise<{ readonly shards: readonly Shard[]; readonly isKnown: boolean; readonly brokenBy?: string | undefined }> {
  let brokenBy: string | undefined;
  try {
    const matched = vector && matchShards(vector, masters);
    // A master that keeps nothing takes a new id as soon as it has a replica.
    if (vector !== undefined && matched?.every(({ info }) => info.backlog !== undefined)) {
      const shards = matched.map((master, shard) => ({
        master,
        info: master.info,
        known: vector[shard],
        asked: undefined,
      }));
      return { shards, isKnown: true };
    }
  } catch (error) {
    run.signal.throwIfAborted();
    brokenBy = isTidemarkError(error, 'POSITION_LOST') ? error.message : undefined;
  }
  return { shards: await beginShards(masters, options, run), isKnown: false, brokenBy };
}

type Setup = {
  readonly place: RedisPlace;
  readonly clock: Clock;
  readonly files: ScratchFiles;
  readonly nodes: KnownNodes;
  readonly cluster: Cluster;
  readonly shards: readonly Shard[];
  readonly lineage: Lineage;
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
  /** Masters without slots that are no shards: since when they have been seen; infinite where they can't be shards. */
  readonly #newcomers: Map<string, number> = new Map();
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
    this.lineage = setup.lineage;
    this.#from = {
      order: setup.order,
      // A master that was asked for its first RDB may have begun it before it said `info`: what it said before that is no later.
      offsets: setup.shards.map(({ master, known }) => known?.offset ?? master.info.offset),
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
    const links = isBegun ? begun.synced.map(({ link }) => link) : await this.#goOn(vector, run);
    if (isBegun) begun.hasLinks = false;
    const streams = this.#shards.map((shard, index) => {
      const from = must(vector[index] ?? shard.known, 'a place').offset;
      const placeAt = (offset: bigint): StreamPlace => shardPlace(shard, offset);
      const link = must(links[index], 'a link');
      const moveWords = moveWordsOf(shard.master.server);
      return new ShardStream({ shard: index, link, from, placeAt, moveWords });
    });
    const ask = async (inner: Run): Promise<ClusterState> => await this.#ask(inner);
    const nodes = this.#shards.map(({ master }) => master.id);
    const nodeOf = (shard: number): string | undefined => nodes[shard];
    this.#log = new ClusterLog({ streams, server: this.#place, clock: this.#clock, after, nodeOf, ask }, run);
    return this.#log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dropBegun();
    await this.#cluster[Symbol.asyncDispose]();
    await this.#held[Symbol.asyncDispose]();
  }

  /** A position where there is no log: it counts what one would have, but for frames. */
  #lone(offsets: readonly bigint[]): Position {
    const { order, offsets: from } = this.#from;
    const vector = this.#shards.map((shard, index) => shardPlace(shard, must(offsets[index], 'an offset')));
    const more = vector.reduce((sum, { offset }, index) => sum + offset - (from[index] ?? 0n), 0n);
    return clusterPosition(this.lineage.id, order + more, vector);
  }

  #base(synced: readonly SyncedShard[], bounds: BaseBounds | ((run: Run) => Promise<BaseBounds>)): Base {
    const rdbs = synced.map(({ shard, path, place }) => {
      const { master } = must(this.#shards[shard], 'a shard');
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
    const shards = this.#shards;
    const states = await askMasters(
      shards.map(({ master }) => master.client),
      run,
    );
    const ids = new Set(shards.map(({ master }) => master.id));
    let isMoving = false;
    for (const [shard, { info, nodes }] of states.entries()) {
      const { master, info: known } = must(shards[shard], 'a master that was asked');
      const { server } = master.client;
      if (!info.isMaster) throw unreachable(server, 'it is a replica now');
      if (info.replId !== known.replId) throw unreachable(server, 'it has another replication id than was recorded');
      const other = nodes.find(({ id, slots }) => slots.length > 0 && !ids.has(id));
      if (other !== undefined) throw unreachable(server, `slots are now at ${other.host ?? ''}:${other.port}`);
      this.#noteNewcomers(nodes, ids, server);
      const self = myself(nodes);
      isMoving ||= self?.isImporting === true || self?.isMigrating === true;
    }
    const selves = states.flatMap(({ nodes }) => myself(nodes) ?? []);
    // Of slots that have just moved at once the source hears a moment later.
    isMoving ||= isClaimedTwice(selves.map(({ slots }) => slots));
    const unserved = ownersOf(selves.map(({ slots }) => slots)).indexOf(-1);
    const offsets = states.map(({ info }) => info.offset);
    const importing = states.map(({ nodes }) => myself(nodes)?.isImporting === true);
    return {
      offsets,
      importing,
      isMoving,
      holdings: holdingsOf(selves),
      unserved: unserved < 0 ? undefined : unserved,
    };
  }

  /** @throws STORE_UNREACHABLE when a master has joined: whoever goes on from where the log is takes it in */
  #noteNewcomers(nodes: readonly ClusterNode[], ids: ReadonlySet<string>, server: RedisServer): void {
    if (this.#log === undefined) return;
    const nowMs = this.#clock.monotonicMs();
    for (const { id, isMaster, isAway, slots, host, port } of nodes) {
      if (!isMaster || isAway || slots.length > 0 || ids.has(id)) continue;
      const sinceMs = this.#newcomers.get(id);
      if (sinceMs === undefined) this.#newcomers.set(id, nowMs);
      else if (nowMs - sinceMs > JOINED_MS) {
        throw unreachable(server, `the master ${host ?? ''}:${port} has joined its cluster`, { disposition: 'retry' });
      }
    }
  }

  #assertStill({ isMoving, holdings, unserved }: ClusterState, before = holdings): void {
    if (isMoving || holdings !== before || this.#log?.isTakingSlots === true) throw moving(this.#place);
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
    const receiving = asked.map(async (link, shard) => await this.#receive({ link, shard }, opened, run));
    const synced = await Promise.all(receiving);
    this.#assertStill(await this.#ask(run), before.holdings);
    if (this.#log?.arrivals !== arrivals) throw moving(this.#place);
    for (const { path } of synced) if (await hasSlotImport(path, run)) throw moving(this.#place);
    opened.move();
    return synced;
  }

  async #askFully({ master, asked }: Shard, opened: AsyncDisposableStack, run: Run): Promise<ReplicaLink> {
    if (asked !== undefined) return opened.use(asked);
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
    if (start.place.replId !== this.#shards[shard]?.info.replId) {
      throw positionLost('a master began a new history meanwhile');
    }
    const path = this.#files.next();
    opened.defer(() => rm(path, { force: true }));
    await link.receiveRdb(path, run);
    return { shard, link, place: start.place, path };
  }

  /** Links on which what follows a place of each shard comes. @throws POSITION_LOST */
  async #goOn(vector: Vector, run: Run): Promise<readonly ReplicaLink[]> {
    await using opened = new AsyncDisposableStack();
    const options = { clock: this.#clock, others: await this.#nodes.read() };
    const cluster = await openCluster(this.#place, options, run);
    if (cluster === undefined) throw positionLost('the server is none of a cluster any more');
    opened.use(cluster);
    await this.#nodes.write(cluster.masters, run);
    const masters = matchShards(vector, cluster.masters);
    const shards = await Promise.all(
      masters.map(async (master, shard) => {
        const known = must(vector[shard], 'a place');
        return { master, known, ...(await this.#goOnAt(master, known, opened, run)) };
      }),
    );
    for (const master of cluster.masters) {
      if (masters.includes(master)) continue;
      const joined = await this.#takeIn(master, opened, run);
      if (joined === undefined) this.#newcomers.set(master.id, Number.POSITIVE_INFINITY);
      else shards.push({ master, ...joined });
    }
    this.#passOver(cluster, shards);
    await this.#cluster[Symbol.asyncDispose]();
    this.#cluster = cluster;
    this.#shards = shards.map(({ master, info, known }) => ({ master, info, known, asked: undefined }));
    opened.move();
    return shards.map(({ link }) => link);
  }

  /** Who looks like a master without slots to others, and is none. */
  #passOver({ masters }: Cluster, shards: readonly Pick<Shard, 'master'>[]): void {
    const ids = new Set(shards.map(({ master }) => master.id));
    for (const { nodes } of masters) {
      for (const { id, slots } of nodes) {
        if (slots.length === 0 && !ids.has(id)) this.#newcomers.set(id, Number.POSITIVE_INFINITY);
      }
    }
  }

  /** A master that has joined becomes a shard if it holds no keys yet: then all that it gets comes with its stream. Undefined where it does. */
  async #takeIn(
    master: ClusterMaster,
    opened: AsyncDisposableStack,
    run: Run,
  ): Promise<{ link: ReplicaLink; info: ReplicationInfo; known: StreamPlace } | undefined> {
    await using taken = new AsyncDisposableStack();
    const link = taken.use(await ReplicaLink.open(master.client.server, this.#clock, run));
    const info = await askFirst(link, { client: master.client, clock: this.#clock }, run);
    const start = await link.answer(run);
    if (start.kind !== 'full' || start.place.replId !== info.replId) return undefined;
    const path = this.#files.next();
    try {
      await link.receiveRdb(path, run);
      for await (const { items } of readRdb(filePieces(path, run))) {
        if (items.some(({ kind }) => kind === 'key')) return undefined;
      }
    } finally {
      await rm(path, { force: true });
    }
    taken.move();
    opened.use(link);
    return { link, info, known: start.place };
  }

  async #goOnAt(
    { client, info: before }: ClusterMaster,
    place: StreamPlace,
    opened: AsyncDisposableStack,
    run: Run,
  ): Promise<{ readonly link: ReplicaLink; readonly info: ReplicationInfo }> {
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

/** Keys of slots that are moving at once are in the RDB of their target, too. It says so before them: Valkey by a word of its own, Redis 8.4 by a field. */
async function hasSlotImport(path: string, run: Run): Promise<boolean> {
  for await (const { items } of readRdb(filePieces(path, run))) {
    if (items.some((item) => item.kind === 'slotImport' || (item.kind === 'aux' && item.name === 'cluster-asm-task'))) {
      return true;
    }
    if (items.some(({ kind }) => kind === 'database')) return false;
  }
  return false;
}

function offsetsOf(synced: readonly SyncedShard[]): readonly bigint[] {
  return synced.map(({ place }) => place.offset);
}
