import type { ReplicaLink } from '../link/replica-link.ts';
import type { StreamPlace } from '../link/history.ts';
import { arePings, MOST_HELD_BYTES } from '../log.ts';
import { MoveWatch } from './move-watch.ts';
import type { EndedMove } from './move-watch.ts';
import type { MoveWords } from './slot-moves.ts';

/** What a source of a migration gives its target, which passes it on to its replicas. */
const ARRIVAL = Buffer.from('RESTORE-ASKING');
/** What is propagated by its source once a key has moved, and by others that delete. */
const DELETIONS = ['\r\n$3\r\nDEL\r\n', '\r\n$6\r\nUNLINK\r\n'].map((text) => Buffer.from(text));
/** What targets and sources are told where Redis 8.4 moves slots at once. */
const UNKNOWN_MOVES = ['SYNCSLOTS\r\n$4\r\nCONF\r\n$8\r\nASM-TASK\r\n', '$9\r\nTRIMSLOTS\r\n$6\r\nRANGES\r\n'].map(
  (text) => Buffer.from(text),
);
const TAIL_BYTES = 64;
const NOTHING = Buffer.alloc(0);

/** What of a link the stream needs. */
export type StreamLink = AsyncDisposable &
  Pick<ReplicaLink, 'server' | 'offset' | 'hasMore' | 'take' | 'arrivedWithin' | 'acknowledge'>;

/** The stream of one shard as it comes, as far as it is not in the log yet. Disposes the link. */
export class ShardStream implements AsyncDisposable {
  readonly shard: number;
  readonly link: StreamLink;
  readonly #placeAt: (offset: bigint) => StreamPlace;
  readonly #moveWords: MoveWords | undefined;
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  #holdsOnlyPings = true;
  /** The end of what went into the log. */
  #tail: Buffer = NOTHING;
  #hasArrivals = false;
  #hasDeletions = false;
  #hasUnknownMoves = false;
  readonly #watch: MoveWatch;
  /** Up to where it is in the log; and where commits say that it is. */
  #offset: bigint;
  committed: bigint;
  /** Somebody waits for all up to here. */
  wanted = 0n;
  durable: bigint;

  constructor(options: {
    readonly shard: number;
    readonly link: StreamLink;
    readonly from: bigint;
    readonly placeAt: (offset: bigint) => StreamPlace;
    readonly moveWords: MoveWords | undefined;
  }) {
    this.shard = options.shard;
    this.link = options.link;
    this.#placeAt = options.placeAt;
    this.#moveWords = options.moveWords;
    this.#offset = options.from;
    this.committed = options.from;
    this.durable = options.from;
    this.#watch = new MoveWatch(options.from);
  }

  get offset(): bigint {
    return this.#offset;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get place(): StreamPlace {
    return this.#placeAt(this.committed);
  }

  /** A key of a slot that is on its way here is among what is held. */
  get hasArrivals(): boolean {
    return this.#hasArrivals;
  }

  /** A key that was deleted is among what is held: it may be one that has moved. */
  get hasDeletions(): boolean {
    return this.#hasDeletions;
  }

  /** It is taking in slots that move at once. */
  get isTakingSlots(): boolean {
    return this.#watch.isOpen;
  }

  /** Moves at once that end in what is held. */
  get endedMoves(): readonly EndedMove[] {
    return this.#watch.ended;
  }

  /** Slots have moved, or are on their way, as nobody knows it. */
  get hasUnknownMoves(): boolean {
    return this.#hasUnknownMoves;
  }

  /** It can go into the log: somebody waits for it, or it is more than some signs of life. */
  get isRipe(): boolean {
    if (this.#heldBytes >= MOST_HELD_BYTES || !this.#holdsOnlyPings) return true;
    return this.#heldBytes > 0 && this.wanted > this.#offset;
  }

  /** Whether all up to an offset that the master has told is in the log, but for signs of life. */
  covers(offset: bigint): boolean {
    if (this.committed >= offset) return true;
    return this.committed === this.#offset && offset === this.link.offset && this.#holdsOnlyPings;
  }

  /** Takes what has come. Returns whether that is anything. */
  take(): boolean {
    const chunks = this.link.take();
    for (const chunk of chunks) {
      const before = this.#chunks.at(-1) ?? this.#tail;
      this.#hasArrivals ||= comesWith(ARRIVAL, before, chunk);
      this.#hasDeletions ||= DELETIONS.some((word) => comesWith(word, before, chunk));
      if (this.#moveWords === 'valkey') this.#watch.push(chunk);
      else if (this.#moveWords === 'redis') {
        this.#hasUnknownMoves ||= UNKNOWN_MOVES.some((word) => comesWith(word, before, chunk));
      }
      this.#chunks.push(chunk);
      this.#heldBytes += chunk.byteLength;
    }
    if (!arePings(chunks)) this.#holdsOnlyPings = false;
    return chunks.length > 0;
  }

  /** Gives what is held, up to an offset. */
  release(upTo?: bigint): Buffer {
    const all = this.#chunks.length === 1 ? (this.#chunks[0] ?? NOTHING) : Buffer.concat(this.#chunks);
    const count =
      upTo === undefined ? all.byteLength : Math.max(0, Math.min(all.byteLength, Number(upTo - this.#offset)));
    const [given, kept] = [all.subarray(0, count), all.subarray(count)];
    this.#chunks = kept.byteLength === 0 ? [] : [kept];
    this.#heldBytes = kept.byteLength;
    this.#holdsOnlyPings = arePings(this.#chunks);
    this.#offset += BigInt(count);
    this.#tail = Buffer.concat([this.#tail, given.subarray(-TAIL_BYTES)]).subarray(-TAIL_BYTES);
    this.#hasArrivals = comesWith(ARRIVAL, this.#tail, kept);
    this.#hasDeletions = DELETIONS.some((word) => comesWith(word, this.#tail, kept));
    this.#watch.pass(this.#offset);
    return given;
  }

  /** Signs of life that are held need not be durable; a master that stops waits until its replicas have all. */
  tell(): void {
    const { link } = this;
    link.acknowledge(this.durable === this.#offset && this.#holdsOnlyPings ? link.offset : this.durable);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.link[Symbol.asyncDispose]();
  }
}

/** Whether a word ends in a piece; it may begin in what came before that. */
function comesWith(word: Buffer, before: Buffer, piece: Buffer): boolean {
  const most = word.byteLength - 1;
  const seam = Buffer.concat([before.subarray(-most), piece.subarray(0, most)]);
  return seam.includes(word) || piece.includes(word);
}
