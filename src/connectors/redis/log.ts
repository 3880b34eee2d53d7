import { logBytes } from '../../core/log-bytes.ts';
import type { Position } from '../../core/position.ts';
import type { Log, LogPiece } from '../../core/recorder.ts';
import type { Clock, Run } from '../../core/run.ts';
import { unreachable } from './errors.ts';
import { placeOf } from './link/history.ts';
import type { ReplicaLink } from './link/replica-link.ts';

const PIECE_BYTES = 1024 * 1024;
const HEARTBEAT_MS = 1_000;
/** How long the master may have more to send, and send nothing. */
const STUCK_MS = 15_000;
const CHECK_MASTER_MS = 5_000;

export type RedisLogOptions = {
  readonly link: ReplicaLink;
  readonly clock: Clock;
  readonly positionAt: (offset: bigint) => Position;
  /** How far the master is. @throws STORE_UNREACHABLE */
  readonly headOffset: (run: Run) => Promise<bigint>;
  /** Whether the link leads to the master still, where somebody knows. */
  readonly isMaster: ((run: Run) => Promise<boolean>) | undefined;
};

/** The stream of a master as it comes, uncut: the bytes of its commands. Each piece can be stopped at. Disposes the link. */
export class RedisLog implements Log {
  readonly #options: RedisLogOptions;
  readonly #closed = new AbortController();
  readonly #run: Run;

  constructor(options: RedisLogOptions, run: Run) {
    this.#options = options;
    this.#run = { signal: AbortSignal.any([run.signal, this.#closed.signal]) };
  }

  acknowledge(durable: Position): void {
    this.#options.link.acknowledge(placeOf(durable).offset);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly LogPiece[]> {
    const { link, clock } = this.#options;
    const run = this.#run;
    const idle = new Idle(this.#options);
    for (;;) {
      const start = link.offset;
      const chunks = link.take();
      const atMs = clock.nowMs();
      await idle.check(chunks.length > 0, run);
      if (chunks.length > 0) {
        yield [...this.#pieces(chunks, start, atMs)];
        continue;
      }
      await link.arrivedWithin(HEARTBEAT_MS, run);
      if (link.hasMore) continue;
      const heartbeat = await idle.heartbeat(run);
      if (heartbeat !== undefined) yield [heartbeat];
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(unreachable(this.#options.link.server, 'its log was closed'));
    await this.#options.link[Symbol.asyncDispose]();
  }

  *#pieces(chunks: readonly Buffer[], start: bigint, atMs: number): Generator<LogPiece> {
    const all = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    if (all === undefined) return;
    for (let at = 0; at < all.byteLength; at += PIECE_BYTES) {
      const bytes = all.subarray(at, at + PIECE_BYTES);
      const from = start + BigInt(at);
      const position = this.#options.positionAt(from + BigInt(bytes.byteLength));
      yield { changes: [logBytes(from, bytes)], commit: { position, atMs } };
    }
  }
}

/** What has to be asked while nothing comes. */
class Idle {
  readonly #options: RedisLogOptions;
  #behindSinceMs: number | undefined;
  #checkedMs: number;

  constructor(options: RedisLogOptions) {
    this.#options = options;
    this.#checkedMs = options.clock.monotonicMs();
  }

  /** @throws STORE_UNREACHABLE when another server is master now */
  async check(isBusy: boolean, run: Run): Promise<void> {
    const { isMaster, clock, link } = this.#options;
    if (isBusy) this.#behindSinceMs = undefined;
    const nowMs = clock.monotonicMs();
    if (isMaster === undefined || nowMs - this.#checkedMs < CHECK_MASTER_MS) return;
    this.#checkedMs = nowMs;
    if (!(await isMaster(run))) throw unreachable(link.server, 'Sentinel names another master');
  }

  /** A commit where the log is at its end, as the master says it; undefined where it does not answer or has more. @throws STORE_UNREACHABLE */
  async heartbeat(run: Run): Promise<LogPiece | undefined> {
    const { link, clock, headOffset, positionAt } = this.#options;
    const atMs = clock.nowMs();
    let head: bigint;
    try {
      head = await headOffset(run);
    } catch {
      // The link itself says when the master is away.
      run.signal.throwIfAborted();
      return undefined;
    }
    if (head === link.offset) {
      this.#behindSinceMs = undefined;
      return { changes: [], commit: { position: positionAt(head), atMs } };
    }
    const nowMs = clock.monotonicMs();
    this.#behindSinceMs ??= nowMs;
    if (nowMs - this.#behindSinceMs > STUCK_MS) {
      throw unreachable(link.server, `it sends nothing, though it is at ${head} and not at ${link.offset}`);
    }
    return undefined;
  }
}
