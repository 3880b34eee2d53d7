import { logBytes } from '../../core/log-bytes.ts';
import type { Position } from '../../core/position.ts';
import type { Log, LogPiece } from '../../core/recorder.ts';
import type { Clock, Run } from '../../core/run.ts';
import { unreachable } from './errors.ts';
import { placeOf } from './link/history.ts';
import type { ReplicaLink } from './link/replica-link.ts';

const PIECE_BYTES = 1024 * 1024;
/** Chunks that are smaller on average are joined: each costs a position in the log. */
const MEAN_CHUNK_BYTES = 8 * 1024;
const HEARTBEAT_MS = 1_000;
/** How long the master may have more to send, and send nothing. */
const STUCK_MS = 15_000;
const CHECK_MASTER_MS = 5_000;
/** What a master sends every ten seconds while nobody writes. */
const PINGS = /^(?:\*1\r\n\$4\r\nping\r\n)+$/i;
const PING_BYTES = 14;
const MOST_PINGS_BYTES = 100 * PING_BYTES;
/** More than half a day's PINGs: so much is not held back. */
export const MOST_HELD_BYTES = 64 * 1024;

type LogLink = AsyncDisposable &
  Pick<ReplicaLink, 'server' | 'offset' | 'hasMore' | 'take' | 'arrivedWithin' | 'acknowledge'>;

export type RedisLogOptions = {
  readonly link: LogLink;
  readonly clock: Clock;
  readonly positionAt: (offset: bigint) => Position;
  /** How far the master is. @throws STORE_UNREACHABLE */
  readonly headOffset: (run: Run) => Promise<bigint>;
  /** Where somebody knows which server is the master. @throws STORE_UNREACHABLE when that is another one now */
  readonly assertMaster: (run: Run) => Promise<void>;
};

/**
 * The stream of a master as it comes, uncut: the bytes of its commands. Each piece can be stopped at. Its PINGs change nothing, and are held back until
 * something follows on them: so a store to which nobody writes stands still. Disposes the link.
 */
export class RedisLog implements Log {
  readonly #options: RedisLogOptions;
  readonly #closed = new AbortController();
  readonly #run: Run;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Something else than PINGs, or as many of them as are held. */
  #isDue = false;
  /** Somebody waits for all up to here. */
  #wanted = 0n;
  #durable = 0n;
  #heardMs: number;

  constructor(options: RedisLogOptions, run: Run) {
    this.#options = options;
    this.#heardMs = options.clock.nowMs();
    this.#run = { signal: AbortSignal.any([run.signal, this.#closed.signal]) };
  }

  get heardMs(): number {
    return this.#heardMs;
  }

  acknowledge(durable: Position): void {
    this.#durable = placeOf(durable).offset;
    this.#tell();
  }

  /** The same state as at an offset that the master has told: before the PINGs that lie before it, where nobody wants them. */
  standing(offset: bigint): bigint {
    if (offset !== this.#options.link.offset) {
      this.want(offset);
      return offset;
    }
    return this.#wanted > this.#start && this.#wanted <= offset ? this.#wanted : this.#start;
  }

  /** Nothing up to an offset is held back any more. */
  want(offset: bigint): void {
    if (offset > this.#wanted) this.#wanted = offset;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly LogPiece[]> {
    const { link, clock } = this.#options;
    const run = this.#run;
    const idle = new Idle(this.#options);
    await using _checks = { [Symbol.asyncDispose]: () => idle.ended() };
    for (;;) {
      const chunks = link.take();
      const atMs = clock.nowMs();
      idle.check(chunks.length > 0, run);
      if (chunks.length > 0) this.#heardMs = atMs;
      this.#hold(chunks);
      if (this.#isDue) {
        yield [...this.#pieces(atMs)];
        continue;
      }
      if (this.#heldBytes > 0 && this.#wanted > this.#start) {
        yield [...this.#piecesWanted(atMs)];
        continue;
      }
      if (chunks.length > 0) this.#tell();
      try {
        await link.arrivedWithin(HEARTBEAT_MS, run);
      } catch (error) {
        run.signal.throwIfAborted();
        // From a master that was stopped in good order and comes back it goes on after its last byte only. It may have been silent for long.
        if (this.#heldBytes > 0) yield [...this.#pieces(this.#heardMs)];
        throw error;
      }
      if (link.hasMore) continue;
      const endedMs = await idle.endedMs(run);
      if (endedMs === undefined) continue;
      this.#heardMs = endedMs;
      yield [{ changes: [], commit: { position: this.#options.positionAt(this.#start), atMs: endedMs } }];
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(unreachable(this.#options.link.server, 'its log was closed'));
    await this.#options.link[Symbol.asyncDispose]();
  }

  /** PINGs that are held back need not be durable; a master that stops waits until its replicas have all. */
  #tell(): void {
    const { link } = this.#options;
    link.acknowledge(this.#durable === this.#start ? link.offset : this.#durable);
  }

  /** Where what is held back begins. */
  get #start(): bigint {
    return this.#options.link.offset - BigInt(this.#heldBytes);
  }

  #hold(chunks: readonly Buffer[]): void {
    for (const chunk of chunks) {
      this.#held.push(chunk);
      this.#heldBytes += chunk.byteLength;
    }
    if (!arePings(chunks) || this.#heldBytes >= MOST_HELD_BYTES) this.#isDue = true;
  }

  /** Of PINGs no more than is wanted: what follows on them is still the same state. */
  *#piecesWanted(atMs: number): Generator<LogPiece> {
    const held = Buffer.concat(this.#held);
    const later = held.subarray(Number(this.#wanted - this.#start));
    [this.#held, this.#heldBytes] = [[held.subarray(0, held.byteLength - later.byteLength)], held.byteLength];
    yield* this.#pieces(atMs);
    this.#hold(later.byteLength > 0 ? [later] : []);
  }

  *#pieces(atMs: number): Generator<LogPiece> {
    const start = this.#start;
    const held = this.#heldBytes < this.#held.length * MEAN_CHUNK_BYTES ? [Buffer.concat(this.#held)] : this.#held;
    [this.#held, this.#heldBytes, this.#isDue] = [[], 0, false];
    let from = start;
    for (const chunk of held) {
      for (let at = 0; at < chunk.byteLength; at += PIECE_BYTES) {
        const bytes = chunk.subarray(at, at + PIECE_BYTES);
        const position = this.#options.positionAt(from + BigInt(bytes.byteLength));
        yield { changes: [logBytes(from, bytes)], commit: { position, atMs } };
        from += BigInt(bytes.byteLength);
      }
    }
  }
}

/** Whether these are only signs of life; also of nothing. */
export function arePings(chunks: readonly Buffer[]): boolean {
  return chunks.every(
    (chunk) =>
      chunk.byteLength % PING_BYTES === 0 &&
      chunk.byteLength <= MOST_PINGS_BYTES &&
      PINGS.test(chunk.toString('latin1')),
  );
}

/** What has to be asked while nothing comes. */
class Idle {
  readonly #options: RedisLogOptions;
  #behindSinceMs: number | undefined;
  #checkedMs: number;
  #checking: Promise<void> = Promise.resolve();
  /** What the last check found. */
  #lost: { readonly error: unknown } | undefined;

  constructor(options: RedisLogOptions) {
    this.#options = options;
    this.#checkedMs = options.clock.monotonicMs();
  }

  /** Asks beside the log, which waits for no Sentinel. @throws STORE_UNREACHABLE when another server was found to be master */
  check(isBusy: boolean, run: Run): void {
    if (this.#lost !== undefined) throw this.#lost.error;
    const { assertMaster, clock } = this.#options;
    if (isBusy) this.#behindSinceMs = undefined;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#checkedMs < CHECK_MASTER_MS) return;
    this.#checkedMs = nowMs;
    this.#checking = this.#checking
      .then(() => assertMaster(run))
      .catch((error: unknown) => {
        this.#lost ??= { error };
      });
  }

  /** Resolves once nothing is asked any more. */
  async ended(): Promise<void> {
    await this.#checking;
  }

  /** When the log was at its end, as the master says it; undefined where it does not answer or has more. @throws STORE_UNREACHABLE */
  async endedMs(run: Run): Promise<number | undefined> {
    const { link, clock, headOffset } = this.#options;
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
      return atMs;
    }
    const nowMs = clock.monotonicMs();
    this.#behindSinceMs ??= nowMs;
    if (nowMs - this.#behindSinceMs > STUCK_MS) {
      throw unreachable(link.server, `it sends nothing, though it is at ${head} and not at ${link.offset}`);
    }
    return undefined;
  }
}
