import { logBytes } from '../../../core/log-bytes.ts';
import { must } from '../../../core/must.ts';
import type { Position } from '../../../core/position.ts';
import type { Log, LoggedChange, LogPiece } from '../../../core/recorder.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { positionLost, unreachable } from '../errors.ts';
import type { RedisServer } from '../place.ts';
import { encodeFrame, FRAME_HEADER_BYTES } from './frames.ts';
import { clusterPosition, vectorOf } from './positions.ts';
import type { ShardStream } from './shard-stream.ts';

const PART_BYTES = 1024 * 1024;
const HEARTBEAT_MS = 1_000;
/** While slots are on their way each commit asks all masters three times. */
const MOVING_STEP_MS = 50;
const STEP_MS = 5;
/** And once where keys are deleted. */
const DELETIONS_STEP_MS = 20;
const NOTHING = new Uint8Array(0);
/** How long a master may have more to send, and send nothing. */
const STUCK_MS = 15_000;

/** What the masters say, by shard. */
export type ClusterState = {
  readonly offsets: readonly bigint[];
  readonly importing: readonly boolean[];
  /** Slots are on their way from one to another. */
  readonly isMoving: boolean;
  /** Who has which slots, as text. */
  readonly holdings: string;
  /** A slot that is nobody's. */
  readonly unserved: number | undefined;
};

export type ClusterLogOptions = {
  readonly streams: readonly ShardStream[];
  readonly server: RedisServer;
  readonly clock: Clock;
  readonly after: Position;
  /** The id of the node that is the master of a shard. */
  readonly nodeOf: (shard: number) => string | undefined;
  /** @throws STORE_UNREACHABLE also when the masters are not those of the log any more */
  readonly ask: (run: Run) => Promise<ClusterState>;
};

/**
 * The streams of all masters of a cluster, in frames, as they come; of shards that `after` does not know the first frame says where they begin. A commit stands behind each round, and says how far each stream is. Signs of life are held
 * back until something follows on them. Disposes the links.
 *
 * A key whose slot moves is first in the stream of the target, and then deleted in that of the source. While that goes on, or a key has arrived, the log
 * has what the source did before what the target did, and commits say of no stream that it is where its key is gone before it has arrived. Where slots move
 * at once that holds for the end of the move.
 */
export class ClusterLog implements Log {
  readonly #options: ClusterLogOptions;
  readonly #closed = new AbortController();
  readonly #run: Run;
  /** How long the log is. */
  #order: bigint;
  #last: Position;
  #arrivals = 0;
  #state: ClusterState | undefined;
  #askedMs = Number.NEGATIVE_INFINITY;
  #behindSinceMs: number | undefined;

  constructor(options: ClusterLogOptions, run: Run) {
    this.#options = options;
    this.#order = BigInt(options.after.order);
    this.#last = options.after;
    this.#run = { signal: AbortSignal.any([run.signal, this.#closed.signal]) };
  }

  /** Counts how often keys have arrived whose slots moved. */
  get arrivals(): number {
    return this.#arrivals;
  }

  acknowledge(durable: Position): void {
    const vector = vectorOf(durable);
    for (const stream of this.#options.streams) {
      stream.durable = vector[stream.shard]?.offset ?? stream.durable;
      stream.tell();
    }
  }

  /** A shard is taking in slots that move at once. */
  get isTakingSlots(): boolean {
    return this.#options.streams.some((stream) => stream.isTakingSlots);
  }

  /**
   * Resolves with the position of a commit at which each stream is as far as its offset. `strictly`: with the signs of life that lie before it. `evenly`: and
   * nothing is in the log that the commit does not count. @throws STORE_UNREACHABLE when that does not come
   */
  async reached(
    offsets: readonly bigint[],
    { strictly = false, evenly = false }: { readonly strictly?: boolean; readonly evenly?: boolean },
    run: Run,
  ): Promise<Position> {
    const { streams, clock, server } = this.#options;
    const untilMs = clock.monotonicMs() + STUCK_MS;
    for (;;) {
      const isThere = streams.every((stream) => {
        const offset = offsets[stream.shard] ?? 0n;
        if (strictly ? stream.committed >= offset : stream.covers(offset)) return true;
        if (strictly || offset !== stream.link.offset) stream.wanted = offset > stream.wanted ? offset : stream.wanted;
        return false;
      });
      if (isThere && (!evenly || this.#isEven)) return this.#last;
      this.#run.signal.throwIfAborted();
      if (clock.monotonicMs() > untilMs) throw unreachable(server, 'the streams of the cluster do not come any more');
      await clock.sleep(STEP_MS, run);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly LogPiece[]> {
    const { clock, streams, after } = this.#options;
    const run = this.#run;
    const joined = streams.slice(vectorOf(after).length);
    if (joined.length > 0) {
      const changes = joined.map(({ shard, offset }) => this.#frame(shard, offset, NOTHING));
      yield [{ changes, commit: this.#commit(clock.nowMs()) }];
    }
    for (;;) {
      const atMs = clock.nowMs();
      const hasCome = this.#take(streams);
      if (hasCome) this.#behindSinceMs = undefined;
      if (clock.monotonicMs() - this.#askedMs >= HEARTBEAT_MS) await this.#ask(run);
      let isMoving = this.#isMoving;
      const isRipe = streams.some((stream) => stream.isRipe) || !this.#isEven;
      let upTo: ReadonlyMap<number, bigint> | undefined;
      if (isRipe && !isMoving && streams.some(({ hasDeletions }) => hasDeletions)) {
        // Where a key was deleted because it has moved, it has arrived before.
        try {
          upTo = await this.#askAndTake(streams, run);
        } catch (error) {
          yield* this.#rest(atMs, run);
          throw error;
        }
        isMoving = this.#isMoving;
      }
      if (isRipe && isMoving) {
        yield await this.#movingRound(atMs, run);
        await clock.sleep(MOVING_STEP_MS, run);
        continue;
      }
      if (isRipe) {
        yield* this.#round(atMs, (stream) => stream.isRipe, upTo);
        if (upTo !== undefined) await clock.sleep(DELETIONS_STEP_MS, run);
        continue;
      }
      if (hasCome) for (const stream of streams) stream.tell();
      try {
        await this.#arrived(run);
      } catch (error) {
        if (!isMoving) yield* this.#rest(atMs, run);
        throw error;
      }
      if (streams.some(({ link }) => link.hasMore)) continue;
      const heartbeat = await this.#heartbeat(run);
      if (heartbeat !== undefined) yield [heartbeat];
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(unreachable(this.#options.server, 'its log was closed'));
    for (const stream of this.#options.streams) await stream[Symbol.asyncDispose]();
  }

  get #isMoving(): boolean {
    if (this.#state?.isMoving === true) return true;
    return this.#options.streams.some(({ hasArrivals, endedMoves }) => hasArrivals || endedMoves.length > 0);
  }

  get #isEven(): boolean {
    return this.#options.streams.every(({ offset, committed }) => offset === committed);
  }

  #take(streams: readonly ShardStream[]): boolean {
    let hasCome = false;
    for (const stream of streams) {
      if (stream.take()) hasCome = true;
      if (stream.hasUnknownMoves) throw positionLost('slots were moved by a command of Redis 8.4 that is not known');
    }
    return hasCome;
  }

  async #ask(run: Run): Promise<ClusterState> {
    const state = await this.#options.ask(run);
    this.#state = state;
    this.#askedMs = this.#options.clock.monotonicMs();
    return state;
  }

  /** From a master that was stopped in good order and comes back it goes on after its last byte only. */
  *#rest(atMs: number, run: Run): Generator<readonly LogPiece[]> {
    run.signal.throwIfAborted();
    yield* this.#round(atMs, ({ heldBytes }) => heldBytes > 0);
  }

  /** What is held of some streams, with a commit behind each large part. */
  *#round(
    atMs: number,
    isMeant: (stream: ShardStream) => boolean,
    upTo?: ReadonlyMap<number, bigint>,
  ): Generator<readonly LogPiece[]> {
    const { streams } = this.#options;
    for (const stream of streams) stream.committed = stream.offset;
    let changes: LoggedChange[] = [];
    let sizeBytes = 0;
    for (const stream of streams) {
      if (!isMeant(stream)) continue;
      const from = stream.offset;
      const all = stream.release(upTo?.get(stream.shard));
      for (let at = 0; at < all.byteLength; at += PART_BYTES) {
        const bytes = all.subarray(at, at + PART_BYTES);
        changes.push(this.#frame(stream.shard, from + BigInt(at), bytes));
        stream.committed = from + BigInt(at + bytes.byteLength);
        sizeBytes += bytes.byteLength;
        if (sizeBytes < PART_BYTES) continue;
        yield [{ changes, commit: this.#commit(atMs) }];
        [changes, sizeBytes] = [[], 0];
      }
    }
    // What a commit did not count may be all that is left of a migration.
    const [first] = streams;
    if (changes.length === 0 && this.#hasUntold() && first !== undefined) {
      changes.push(this.#frame(first.shard, first.offset, NOTHING));
    }
    if (changes.length > 0) yield [{ changes, commit: this.#commit(atMs) }];
  }

  /** What the sources of keys on their way have done up to now, then what the targets have. */
  async #movingRound(atMs: number, run: Run): Promise<readonly LogPiece[]> {
    const { streams } = this.#options;
    const state = await this.#ask(run);
    const isTarget = ({ hasArrivals, endedMoves, shard }: ShardStream): boolean =>
      hasArrivals || endedMoves.length > 0 || state.importing[shard] === true;
    let targets: readonly ShardStream[] = [];
    let sources = streams;
    let before: ReadonlyMap<number, bigint>;
    let arrived: ReadonlyMap<number, bigint>;
    do {
      targets = streams.filter((stream) => targets.includes(stream) || isTarget(stream));
      sources = streams.filter((stream) => !targets.includes(stream));
      before = await this.#askAndTake(sources, run);
      arrived = await this.#askAndTake(targets, run);
      // A source deletes a key in the same step in which the target got it.
      await this.#askAndTake(sources, run);
      // Between two slots a target is none for a moment.
    } while (sources.some(({ hasArrivals, endedMoves }) => hasArrivals || endedMoves.length > 0));
    this.#assertOrdered(targets);
    this.#arrivals += targets.length;
    const changes: LoggedChange[] = [];
    const put = (stream: ShardStream, upTo?: bigint): void => {
      const from = stream.offset;
      const bytes = stream.release(upTo);
      for (let at = 0; at < bytes.byteLength; at += PART_BYTES) {
        changes.push(this.#frame(stream.shard, from + BigInt(at), bytes.subarray(at, at + PART_BYTES)));
      }
    };
    for (const stream of sources) {
      put(stream);
      stream.committed = must(before.get(stream.shard), 'an offset');
    }
    for (const stream of targets) {
      put(stream, arrived.get(stream.shard));
      stream.committed = stream.offset;
    }
    const [first] = streams;
    if (changes.length === 0 && first !== undefined) {
      if (!this.#hasUntold()) return [];
      changes.push(this.#frame(first.shard, first.offset, NOTHING));
    }
    return [{ changes, commit: this.#commit(atMs) }];
  }

  /** What came before the end of a move has to stand before it in the log. @throws POSITION_LOST where its source is a target, too, so that nothing tells */
  #assertOrdered(targets: readonly ShardStream[]): void {
    const { nodeOf } = this.#options;
    for (const { endedMoves, shard } of targets) {
      const others = targets.filter((other) => other.shard !== shard).map((other) => nodeOf(other.shard));
      const isUnsure = endedMoves.some(({ source }) => source === undefined || others.includes(source));
      if (others.length > 0 && isUnsure) throw positionLost('slots were moved to and fro too fast to be told apart');
    }
  }

  /** The offsets of masters now, when all up to there has come. */
  async #askAndTake(streams: readonly ShardStream[], run: Run): Promise<ReadonlyMap<number, bigint>> {
    const { clock, server } = this.#options;
    const { offsets } = await this.#ask(run);
    const untilMs = clock.monotonicMs() + STUCK_MS;
    const found = new Map<number, bigint>();
    for (const stream of streams) {
      const offset = offsets[stream.shard] ?? stream.offset;
      stream.take();
      while (stream.link.offset < offset) {
        if (clock.monotonicMs() > untilMs) throw unreachable(server, 'the streams of the cluster do not come any more');
        await stream.link.arrivedWithin(HEARTBEAT_MS, run);
        stream.take();
      }
      found.set(stream.shard, offset);
    }
    return found;
  }

  #frame(shard: number, offset: bigint, bytes: Uint8Array): LoggedChange {
    const change = logBytes(this.#order, encodeFrame({ shard, offset, bytes }));
    this.#order += BigInt(FRAME_HEADER_BYTES + bytes.byteLength);
    return change;
  }

  /** The vector differs from that of the last commit. */
  #hasUntold(): boolean {
    return this.#position().resume !== this.#last.resume;
  }

  #position(): Position {
    const places = this.#options.streams.map(({ place }) => place);
    return clusterPosition(this.#last.lineage, this.#order, places);
  }

  #commit(atMs: number): NonNullable<LogPiece['commit']> {
    this.#last = this.#position();
    return { position: this.#last, atMs };
  }

  async #arrived(run: Run): Promise<void> {
    const enough = new AbortController();
    const signal = AbortSignal.any([run.signal, enough.signal]);
    const waits = this.#options.streams.map(async ({ link }) => await link.arrivedWithin(HEARTBEAT_MS, { signal }));
    try {
      await Promise.race(waits);
    } finally {
      enough.abort(new Error('enough'));
      await Promise.allSettled(waits);
    }
  }

  /** A commit where the log is at its end, as all masters say it; undefined where one has more. @throws STORE_UNREACHABLE */
  async #heartbeat(run: Run): Promise<LogPiece | undefined> {
    const { streams, clock } = this.#options;
    const atMs = clock.nowMs();
    const { offsets, isMoving } = await this.#ask(run);
    const behind = streams.find(({ link, shard }) => link.offset !== offsets[shard]);
    if (behind === undefined) {
      this.#behindSinceMs = undefined;
      return isMoving ? undefined : { changes: [], commit: { position: this.#last, atMs } };
    }
    const nowMs = clock.monotonicMs();
    this.#behindSinceMs ??= nowMs;
    if (nowMs - this.#behindSinceMs > STUCK_MS) {
      throw unreachable(behind.link.server, `it sends nothing, though it is at ${offsets[behind.shard]}`);
    }
    return undefined;
  }
}
