import { rm } from 'node:fs/promises';
import type { RecorderContext } from '../../core/connector.ts';
import { must } from '../../core/must.ts';
import type { Lineage, Position } from '../../core/position.ts';
import type { Base, Log, Recorder } from '../../core/recorder.ts';
import type { Clock, Run } from '../../core/run.ts';
import { originOf, RDB_ENTRY, RdbBase } from './base.ts';
import { openClusterRecorder } from './cluster/cluster-recorder.ts';
import { positionLost, unreachable } from './errors.ts';
import { askFirst } from './link/ask-first.ts';
import { askReplication, findMaster, openMaster } from './link/find-master.ts';
import type { Master } from './link/find-master.ts';
import {
  isInBacklog,
  isInHistory,
  parseResume,
  partedAt,
  placeOf,
  positionOf,
  positionAt,
  whyLost,
} from './link/history.ts';
import type { StreamPlace } from './link/history.ts';
import { findOtherMaster } from './link/other-master.ts';
import { ReplicaLink } from './link/replica-link.ts';
import type { InfoFields, ReplicationInfo } from './link/replication-info.ts';
import { shownAddress } from './place.ts';
import type { RedisPlace, RedisServer } from './place.ts';
import { RedisLog } from './log.ts';
import type { RedisClient } from './resp-client.ts';
import { recorderByScan } from './scan-recorder.ts';
import { ScratchFiles } from './scratch-files.ts';

const OTHER_ID = 'it has another replication id than the one that is recorded';

/**
 * Records a Redis server as a replica of its own, or by scans where `source` says so: a base is the RDB that a replica gets, the log what a replica is sent. The lineage of `previous` goes on
 * where the server's replication ids prove that what follows there follows on it.
 * @throws STORE_UNREACHABLE, also where a replica is not permitted; UNSUPPORTED
 */
export async function openRedisRecorder(place: RedisPlace, context: RecorderContext, run: Run): Promise<Recorder> {
  run.signal.throwIfAborted();
  if (place.source === 'scan') return await recorderByScan(place, context, run);
  const { clock } = context.runtime;
  const cluster = await openClusterRecorder(place, context, run);
  if (cluster !== undefined) return cluster;
  await using opened = new AsyncDisposableStack();
  const files = opened.use(await ScratchFiles.open(context));
  const { client, info, server } = await openMaster(place, clock, run);
  opened.use(client);
  // A scan's positions are none of a replica.
  const known = context.previous === undefined ? undefined : parseResume(context.previous.resume);
  const isSame = known !== undefined && isInHistory(known, info);
  // A server that keeps nothing takes a new id for its first replica, which we are.
  const sync = info.backlog === undefined ? opened.use(await ReplicaLink.open(client.server, clock, run)) : undefined;
  const lasting = sync === undefined ? info : await askFirst(sync, { client, clock }, run);
  const goesOn = isSame && lasting.replId === info.replId;
  const previous = goesOn ? context.previous : undefined;
  const recorder = new RedisRecorder({
    place,
    clock,
    files,
    master: { client, info: lasting, server },
    lineage: {
      id: previous?.lineage ?? `${lasting.replId}@${lasting.offset}`,
      ...(goesOn || context.previous === undefined ? {} : breakOf(context.previous, lasting)),
    },
    known: goesOn ? known : undefined,
    sync,
  });
  opened.move();
  return recorder;
}

/** Why what follows at a server does not follow on a position, and since when. */
function breakOf(previous: Position, info: ReplicationInfo): Pick<Lineage, 'brokenBy' | 'partedAt'> {
  const known = parseResume(previous.resume);
  if (known === undefined) return {};
  const parted = partedAt(known, info);
  return { brokenBy: whyLost(known, info), partedAt: parted && positionOf(previous.lineage, parted) };
}

type Setup = {
  readonly place: RedisPlace;
  readonly clock: Clock;
  readonly files: ScratchFiles;
  readonly master: Master;
  readonly lineage: Lineage;
  readonly known: StreamPlace | undefined;
  readonly sync: ReplicaLink | undefined;
};

/** An RDB that has been received, and the link on which what follows it comes. */
type Synced = { readonly link: ReplicaLink; readonly position: Position; readonly path: string };

class RedisRecorder implements Recorder {
  readonly exact = 'position';
  readonly lineage: Lineage;
  readonly #place: RedisPlace;
  readonly #clock: Clock;
  readonly #files: ScratchFiles;
  readonly #server: InfoFields;
  #client: Promise<RedisClient> | undefined;
  #isDisposed = false;
  /** What the server said of its ids when they were last found to be those of this history. */
  #info: ReplicationInfo;
  /** Keeps the id that it has. */
  #known: StreamPlace | undefined;
  /** Has been asked for everything, and not been answered. */
  #asked: ReplicaLink | undefined;
  #log: RedisLog | undefined;
  /** Began the history: its RDB is for the first base, its link for the log. */
  #begun: { path: string | undefined; link: ReplicaLink | undefined; readonly position: Position } | undefined;

  constructor({ place, clock, files, master, lineage, known, sync }: Setup) {
    this.#place = place;
    this.#clock = clock;
    this.#files = files;
    this.#client = Promise.resolve(master.client);
    this.#info = master.info;
    this.#server = master.server;
    this.lineage = lineage;
    this.#known = known;
    this.#asked = sync;
  }

  async head(run: Run): Promise<Position> {
    const { info, server } = await this.#ask(run);
    // What a client could see at another master before this is not covered by this one.
    await this.#assertOnly(server, run);
    return this.#at(this.#log?.standing(info.offset) ?? info.offset);
  }

  async begin(run: Run): Promise<Position> {
    await this.#dropBegun();
    const { link, position, path } = await this.#syncFully(run);
    this.#begun = { link, position, path };
    return position;
  }

  async openBase(run: Run): Promise<Base> {
    run.signal.throwIfAborted();
    const begun = this.#begun;
    if (begun?.path !== undefined) {
      const { path, position } = begun;
      begun.path = undefined;
      return this.#base(path, position);
    }
    const { link, position, path } = await this.#syncFully(run);
    await link[Symbol.asyncDispose]();
    // A mark can stand on the base only when the log has come to it.
    this.#log?.want(BigInt(position.order));
    return this.#base(path, position);
  }

  async openLog(after: Position, run: Run): Promise<Log> {
    run.signal.throwIfAborted();
    const begun = this.#begun;
    const isBegun = begun?.link !== undefined && begun.position.resume === after.resume;
    const link = isBegun ? must(begun.link, 'the link') : await this.#goOn(placeOf(after), run);
    if (isBegun) begun.link = undefined;
    const options = {
      link,
      clock: this.#clock,
      positionAt: (offset: bigint) => this.#at(offset),
      headOffset: async (inner: Run) => (await this.#ask(inner)).info.offset,
      assertMaster: (inner: Run) => this.#assertOnly(link.server, inner),
    };
    this.#log = new RedisLog(options, run);
    return this.#log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await this.#asked?.[Symbol.asyncDispose]();
    await this.#dropBegun();
    await this.#setClient(undefined);
    await this.#files[Symbol.asyncDispose]();
  }

  #at(offset: bigint): Position {
    return positionAt(offset, { lineage: this.lineage.id, info: this.#info, known: this.#known });
  }

  #base(path: string, position: Position): Base {
    const origin = originOf(this.#server, placeOf(position));
    return new RdbBase([{ name: RDB_ENTRY, path, origin }], { logFrom: position, cut: position });
  }

  async #dropBegun(): Promise<void> {
    const begun = this.#begun;
    this.#begun = undefined;
    await begun?.link?.[Symbol.asyncDispose]();
    if (begun?.path !== undefined) await rm(begun.path, { force: true });
  }

  /** What the master of this history says of itself now, over a connection that is made again when it failed. @throws STORE_UNREACHABLE */
  async #ask(run: Run): Promise<{ readonly info: ReplicationInfo; readonly server: RedisServer }> {
    // A mark may ask while nothing is recorded any more: what is opened for it then nobody would close.
    if (this.#isDisposed) throw unreachable(this.#place, 'it is not recorded any more');
    const asking = (this.#client ??= openMaster(this.#place, this.#clock, run).then(({ client }) => client));
    try {
      const client = await asking;
      const info = await askReplication(client, run);
      if (info.replId === this.#info.replId) return { info, server: client.server };
      throw unreachable(client.server, OTHER_ID);
    } catch (error) {
      if (this.#client === asking) await this.#setClient(undefined);
      throw error;
    }
  }

  async #setClient(client: RedisClient | undefined): Promise<void> {
    const before = this.#client;
    this.#client = client && Promise.resolve(client);
    const left = await before?.catch(() => undefined);
    await left?.[Symbol.asyncDispose]();
  }

  /** A new state of it all, in a file. @throws POSITION_LOST where that is of another history */
  async #syncFully(run: Run): Promise<Synced> {
    await using opened = new AsyncDisposableStack();
    const asked = this.#asked;
    this.#asked = undefined;
    const link = opened.use(asked ?? (await this.#openLink(run)));
    if (asked === undefined) await link.ask(undefined, run);
    const start = await link.answer(run);
    if (start.kind !== 'full') throw positionLost('the server sends what follows, without what was there');
    const { replId, offset } = start.place;
    if (replId !== this.#info.replId) throw positionLost('the server began a new history meanwhile');
    const path = this.#files.next();
    opened.defer(() => rm(path, { force: true }));
    await link.receiveRdb(path, run);
    opened.move();
    return { link, position: this.#at(offset), path };
  }

  async #openLink(run: Run): Promise<ReplicaLink> {
    return await ReplicaLink.open(await findMaster(this.#place, run), this.#clock, run);
  }

  /** A link on which what follows a place comes. @throws POSITION_LOST */
  async #goOn(place: StreamPlace, run: Run): Promise<ReplicaLink> {
    await using opened = new AsyncDisposableStack();
    const { client, info } = await openMaster(this.#place, this.#clock, run);
    await this.#setClient(client);
    // Where that one parted its own recorder tells.
    const isSuccessor = info.replId !== this.#info.replId && partedAt(place, info) !== undefined;
    if (isSuccessor) throw unreachable(client.server, OTHER_ID, { disposition: 'retry' });
    // Being asked for what it can't send, a server would make an RDB that nobody wants.
    if (!isInHistory(place, info) || !isInBacklog(place, info)) throw positionLost(whyLost(place, info));
    const link = opened.use(await this.#openLink(run));
    await link.ask(place, run);
    const start = await link.answer(run);
    if (start.kind === 'full') throw positionLost(whyLost(place, await askReplication(client, run)));
    const now = await askReplication(client, run);
    if (now.replId !== start.replId) throw unreachable(client.server, 'it has just become master, or another one has');
    this.#info = now;
    this.#known = place;
    opened.move();
    return link;
  }

  /** @throws STORE_UNREACHABLE where Sentinel names another master */
  async #assertOnly(server: RedisServer, run: Run): Promise<void> {
    const recorded = { server, replId: this.#info.replId };
    const other = await findOtherMaster(this.#place, { recorded, clock: this.#clock }, run);
    if (other !== undefined) throw unreachable(server, `Sentinel names another master, ${shownAddress(other)}`);
  }
}
