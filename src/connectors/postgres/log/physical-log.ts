import { must } from '../../../core/must.ts';
import type { Position } from '../../../core/position.ts';
import type { Log, LogPiece, LogRetention } from '../../../core/recorder.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { positionLost, serverError, sqlState, SqlState, unreachable } from '../errors.ts';
import { formatLsn, parseLsn, placeOf } from '../lsn.ts';
import { CommitTimes, serverMs, serverTime } from '../wal/commit-times.ts';
import { MessageType, readRow } from '../replication-socket.ts';
import type { Message, ReplicationSocket } from '../replication-socket.ts';
import { agrees, RunningTail, tailEnd } from './kept-tail.ts';
import type { KeptTail, Tail } from './kept-tail.ts';
import { PieceCutter } from './pieces.ts';
import type { Received } from './pieces.ts';
import { parseTimelines, timelineAfter } from './timelines.ts';
import { segmentStart } from './wal-history.ts';
import type { WalHistory } from './wal-history.ts';

const BEAT_MS = 1_000;
/** A server that is asked each second and says nothing for so long is away. */
const SILENCE_MS = 30_000;
/** Nobody has pulled for so long: a server that is to stop would wait for it. */
const UNPULLED_MS = 30_000;
/** A server that stops waits until all that it sent is confirmed. It waits no longer for a repository that is away. */
const STOPPING_MS = 3_000;
const BATCH_BYTES = 1024 * 1024;
/** Commits come one by one; those of so long are taken together, but where more comes than is in such a batch. */
const GATHER_MS = 50;
const SMALL_BATCH_BYTES = 256 * 1024;
const TAIL_EVERY_MS = 1_000;
const WAL_HEADER_BYTES = 25;
const KIND = { wal: 0x77, keepAlive: 0x6b, status: 0x72 } as const; // w k r

export type PhysicalLogOptions = {
  readonly socket: ReplicationSocket;
  readonly server: string;
  readonly slot: string;
  readonly history: WalHistory;
  readonly clock: Clock;
  readonly after: bigint;
  /** Where the slot stands. */
  readonly restart: bigint;
  /** What must come before `after`, if it is known. */
  readonly tail: KeptTail | undefined;
  /** Bytes of log that the server is to keep for the slot at most, as far as it is known now. */
  readonly capBytes: () => bigint;
  /** Remembers the end of what has been received and kept. */
  keepTail?(tail: Tail): Promise<void>;
};

/** Begins to stream. @throws POSITION_LOST when the log is not there any more, STORE_UNREACHABLE */
export async function openPhysicalLog(options: PhysicalLogOptions, run: Run): Promise<Log> {
  const log = new PhysicalLog(options, run);
  try {
    await log.start();
    return log;
  } catch (error) {
    await log[Symbol.asyncDispose]();
    throw error;
  }
}

class PhysicalLog implements Log {
  readonly #options: PhysicalLogOptions;
  readonly #stop = new AbortController();
  readonly #run: Run;
  readonly #runningTail = new RunningTail();
  readonly #times: CommitTimes;
  readonly #pieces: PieceCutter;
  /** All of the log before it has come. */
  #received: bigint;
  /** Of what has come, up to where it is on this host's disk. */
  #onDisk: bigint;
  #durable: bigint;
  /** Up to where the server was told that it may forget. */
  #released: bigint;
  /** Where the tail begins that is compared next time; undefined when there is none. */
  #keptTailStart: bigint | undefined;
  #serverEnd = 0n;
  #lastAtMs: number;
  #lastHeardMs: number;
  #tailMs: number;
  #isWaiting = false;
  /** The last batch was a small one. */
  #isCalm = true;
  /** Since when the server asks for a confirmation of all whatever it is told, which it does only when it stops. */
  #stoppingMs: number | undefined;
  /** Whether it has asked since it was told last. */
  #isAsked = false;
  #beating: Promise<void> | undefined;
  /** Is remembered once all of it is kept. */
  #nextTail: Tail | undefined;
  #keeping: Promise<void> | undefined;

  constructor(options: PhysicalLogOptions, run: Run) {
    this.#options = options;
    this.#run = { signal: AbortSignal.any([run.signal, this.#stop.signal]) };
    this.#received =
      options.tail === undefined || options.tail.start > options.after ? options.after : options.tail.start;
    this.#onDisk = options.after;
    this.#durable = options.after;
    this.#released = options.restart;
    this.#keptTailStart = options.keepTail && (options.tail?.start ?? options.restart);
    this.#lastAtMs = options.clock.nowMs();
    this.#lastHeardMs = options.clock.monotonicMs();
    this.#tailMs = this.#lastHeardMs;
    options.history.delivered = options.after;
    const { segmentBytes, pageBytes } = options.history.shape;
    this.#times = new CommitTimes({ segmentBytes: Number(segmentBytes), pageBytes: Number(pageBytes) });
    this.#pieces = new PieceCutter(options.history, options.after, options.tail?.atMs ?? this.#lastAtMs);
  }

  async start(): Promise<void> {
    await this.#asking(() => this.#startReplication());
    this.#beating = this.#beat();
  }

  acknowledge(durable: Position): void {
    const lsn = placeOf(durable)?.lsn;
    if (lsn === undefined || lsn <= this.#durable) return;
    this.#durable = lsn;
    if (this.#stoppingMs !== undefined) this.#tell(false);
  }

  get retention(): LogRetention {
    return {
      isShort: this.#isPressed,
      onDisk: (upTo) => {
        const lsn = placeOf(upTo)?.lsn;
        if (lsn !== undefined && lsn > this.#onDisk) this.#onDisk = lsn;
      },
    };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly LogPiece[]> {
    for (;;) {
      const batch = await this.#asking(() => this.#nextBatch());
      if (batch.length === 0) continue;
      yield batch;
      this.#rememberTail();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#stop.signal.aborted) this.#stop.abort(new Error('the log was left'));
    await this.#options.socket[Symbol.asyncDispose]();
    await this.#beating;
    await this.#keeping;
    const tail = [this.#runningTail.take(), this.#nextTail].find((one) => one !== undefined && this.#isKept(one));
    // Without it the one before holds, which says a little less.
    if (tail !== undefined) await this.#options.keepTail?.(tail).catch(() => undefined);
  }

  async #startReplication(): Promise<void> {
    const { socket, slot, history } = this.#options;
    const timeline = timelineAfter(history.timelines, this.#received);
    socket.command(`START_REPLICATION SLOT "${slot}" PHYSICAL ${formatLsn(this.#received)} TIMELINE ${timeline}`);
    const { type } = await socket.next(this.#run);
    if (type !== MessageType.copyBoth) throw this.#unexpected(type);
  }

  /** What has come, at least one message; empty when that says nothing. */
  async #nextBatch(): Promise<readonly LogPiece[]> {
    const received: Received[] = [];
    let receivedBytes = 0;
    let isIdle = false;
    const { socket, clock } = this.#options;
    if (this.#isCalm && !socket.isReady) await clock.sleep(GATHER_MS, this.#run);
    do {
      const { type, body } = await this.#message();
      if (type === MessageType.copyDone) await this.#nextTimeline();
      else if (type !== MessageType.copyData) throw this.#unexpected(type);
      else if (body[0] === KIND.keepAlive) isIdle = this.#keepAlive(body);
      else if (body[0] === KIND.wal) {
        received.push(this.#wal(body));
        receivedBytes += body.byteLength;
      }
    } while (socket.isReady && receivedBytes < BATCH_BYTES);
    this.#isCalm = receivedBytes < SMALL_BATCH_BYTES;
    const batch = this.#pieces.cut(received);
    for (const { commit } of batch.slice(-1)) this.#lastAtMs = must(commit, 'a commit').atMs;
    if (batch.length > 0 || !isIdle || this.#received < this.#options.after) return batch;
    return [
      { changes: [], commit: { position: this.#options.history.position(this.#received), atMs: this.#lastAtMs } },
    ];
  }

  async #message(): Promise<Message> {
    this.#isWaiting = true;
    if (!this.#options.socket.isReady) {
      this.#lastHeardMs = Math.max(this.#lastHeardMs, this.#options.clock.monotonicMs() - BEAT_MS);
    }
    const message = await this.#options.socket.next(this.#run);
    this.#isWaiting = false;
    this.#lastHeardMs = this.#options.clock.monotonicMs();
    return message;
  }

  #wal(body: Buffer): Received {
    const start = body.readBigUInt64BE(1);
    this.#serverEnd = body.readBigUInt64BE(9);
    const bytes = body.subarray(WAL_HEADER_BYTES);
    if (start !== this.#received) {
      throw this.#lost(`the log goes on at ${formatLsn(start)} instead of ${formatLsn(this.#received)}`);
    }
    const { tail } = this.#options;
    if (tail !== undefined && start < tailEnd(tail) && !agrees(tail, start, bytes)) {
      throw this.#lost(
        `what it has before ${formatLsn(tailEnd(tail))} is not what was recorded: it is a copy that went its own way`,
      );
    }
    this.#received += BigInt(bytes.byteLength);
    this.#runningTail.push(start, bytes);
    return {
      start,
      bytes,
      commits: this.#times.add({ start, bytes }),
      allAtMs: this.#serverEnd === this.#received ? serverMs(body.readBigInt64BE(17)) : undefined,
    };
  }

  /** Whether it says that nothing has happened. */
  #keepAlive(body: Buffer): boolean {
    this.#serverEnd = body.readBigUInt64BE(1);
    this.#lastAtMs = Math.max(this.#lastAtMs, serverMs(body.readBigInt64BE(9)));
    if (body[17] === 1) this.#answer();
    return this.#serverEnd <= this.#received;
  }

  /** One that stops asks again at each answer, so only the first comes at once, and the others with the beat. */
  #answer(): void {
    this.#isAsked = true;
    if (this.#stoppingMs !== undefined) return;
    this.#stoppingMs = this.#options.clock.monotonicMs();
    this.#tell(false);
  }

  /** The server that is followed was promoted, or the timeline had been left already: the next one goes on from there. */
  async #nextTimeline(): Promise<void> {
    const { socket, history } = this.#options;
    socket.copyDone();
    const [row] = await this.#rows();
    const next = Number(row?.[0]);
    const switchLsn = parseLsn(row?.[1] ?? '');
    if (switchLsn !== this.#received) {
      throw this.#lost(`timeline ${next} goes on from ${row?.[1]}, and ${formatLsn(this.#received)} was recorded`);
    }
    // What is known may go on beyond it already, and heads are asked of there.
    if (next > history.timelines.current) {
      socket.command(`TIMELINE_HISTORY ${next}`);
      const [file] = await this.#rows();
      history.timelines = must(parseTimelines(next, file?.[1] ?? ''), 'a history that can be read');
    }
    if (timelineAfter(history.timelines, this.#received) !== next) {
      throw this.#lost('its history does not hold together');
    }
    await this.#startReplication();
  }

  async #rows(): Promise<readonly (readonly (string | null)[])[]> {
    const rows: (readonly (string | null)[])[] = [];
    for (;;) {
      const { type, body } = await this.#options.socket.next(this.#run);
      if (type === MessageType.dataRow) rows.push(readRow(body));
      if (type === MessageType.readyForQuery) return rows;
    }
  }

  /** Tells the server each second how far it is, also while nobody pulls: it would take a silent one for dead. */
  async #beat(): Promise<void> {
    const { clock } = this.#options;
    try {
      while (!this.#stop.signal.aborted) {
        await clock.sleep(BEAT_MS, this.#run);
        if (!this.#isAsked) this.#stoppingMs = undefined;
        this.#tell(this.#isWaiting);
        const reason = this.#whyLeave(clock.monotonicMs());
        if (reason === undefined) continue;
        this.#stop.abort(unreachable(`${this.#options.server}: ${reason}`));
        // The server must not have to wait for whoever disposes of this.
        await this.#options.socket[Symbol.asyncDispose]();
      }
    } catch {
      // It ends with the run.
    }
  }

  #whyLeave(nowMs: number): string | undefined {
    const quietMs = nowMs - this.#lastHeardMs;
    if (this.#stoppingMs !== undefined && nowMs - this.#stoppingMs > STOPPING_MS) return 'it stops';
    if (this.#isWaiting && quietMs > SILENCE_MS) return `it has said nothing for ${Math.round(quietMs / 1_000)} s`;
    if (!this.#isWaiting && quietMs > UNPULLED_MS) {
      return `nobody has taken its log for ${Math.round(quietMs / 1_000)} s`;
    }
    return undefined;
  }

  #tell(wantsReply: boolean): void {
    const status = Buffer.alloc(34);
    const released = this.#release();
    this.#isAsked = false;
    status[0] = KIND.status;
    status.writeBigUInt64BE(this.#received, 1);
    status.writeBigUInt64BE(released, 9);
    status.writeBigUInt64BE(released, 17);
    status.writeBigInt64BE(serverTime(this.#options.clock.nowMs()), 25);
    status[33] = wantsReply ? 1 : 0;
    this.#options.socket.copyData(status);
  }

  /**
   * What the server may forget: what is durable in the repository; once half of what it keeps at most is used, what is on this host's disk is
   * enough. The segment stays in which the tail begins that is compared next time: that is the one on the disk now, which may be older.
   */
  #release(): bigint {
    const { history } = this.#options;
    const free = this.#isPressed && this.#onDisk > this.#durable ? this.#onDisk : this.#durable;
    const needed = this.#keptTailStart ?? free;
    const released = segmentStart(free, history.shape) > needed ? needed : free;
    if (released > this.#released) this.#released = released;
    return this.#released;
  }

  #rememberTail(): void {
    const { keepTail, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    if (keepTail === undefined || this.#keeping !== undefined || nowMs - this.#tailMs < TAIL_EVERY_MS) return;
    this.#nextTail ??= this.#runningTail.take();
    const tail = this.#nextTail;
    // What nobody has kept may come to be another after a crash, at a server that took over.
    if (tail === undefined || !this.#isKept(tail)) return;
    this.#nextTail = undefined;
    this.#tailMs = nowMs;
    // While none can be written the one before holds, and the server keeps the log from there.
    this.#keeping = keepTail(tail)
      .then(
        () => {
          this.#keptTailStart = tail.start;
        },
        () => undefined,
      )
      .finally(() => {
        this.#keeping = undefined;
      });
  }

  #isKept(tail: Tail): boolean {
    const end = tailEnd(tail);
    return end <= this.#durable || end <= this.#onDisk;
  }

  /** Half of what the server keeps at most is used. */
  get #isPressed(): boolean {
    return this.#serverEnd - this.#durable > this.#options.capBytes() / 2n;
  }

  #lost(reason: string): Error {
    return positionLost(`${this.#options.server}: ${reason}`);
  }

  #unexpected(type: number): Error {
    // A server that is stopped in good order sends all it has, and then says that this was all.
    if (type === MessageType.commandComplete) return unreachable(`${this.#options.server}: it stops`);
    return unreachable(
      `${this.#options.server} sent ${JSON.stringify(String.fromCharCode(type))} in the middle of its log`,
    );
  }

  async #asking<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      const state = sqlState(error);
      const told = error instanceof Error ? error.message : String(error);
      if (state === SqlState.fileGone || state === SqlState.notPrepared || state === SqlState.noSuchObject) {
        throw positionLost(`${this.#options.server} does not have the log any more: ${told}`, {
          cause: error,
          hint: `Raise max_slot_wal_keep_size, and see what kept the slot ${this.#options.slot} from being used.`,
        });
      }
      throw state === undefined ? error : serverError(this.#options.server, error);
    }
  }
}
