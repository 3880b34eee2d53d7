import { release } from '../core/bytes.ts';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Position } from '../core/position.ts';
import type { LogRetention } from '../core/recorder.ts';
import type { Clock, Run } from '../core/run.ts';
import type { Spool } from '../io/spool.ts';
import type { SpoolRecord } from '../io/spool-record.ts';
import { readBlock, writeBlock } from './block-record.ts';

/** A run of a history's log, encoded: what happened after `after` up to `upTo`. */
export type LogBlock = {
  readonly pieces: Uint8Array;
  readonly after: Position;
  readonly upTo: Position;
  readonly fromMs: number;
  readonly toMs: number;
  readonly changes: number;
  /** Ids of packs with contents of its entries, as hex. */
  readonly packs: readonly string[];
};

/** `pieces` is absent where they lie in the spool alone, `sequence` where they do not lie there. */
type Waiting = Omit<LogBlock, 'pieces'> & {
  readonly sizeBytes: number;
  readonly putMs: number;
  sequence: number | undefined;
  pieces: Uint8Array | undefined;
};

/** What a store keeps for us waits in memory for so long; then it goes to the disk as well, since the repository may be away for long. */
const MEMORY_MS = 5_000;
/** And may take so much more of the memory for a moment: a burst is over before it would have been written. */
const BURST_FACTOR = 2;
/** It comes to wait in memory alone again once so much less waits, or for so much less time. */
const CALM_PART = 1 / 2;

export type LogQueueOptions = {
  /** What is kept in memory at most. Without a spool whoever puts waits when it is full. */
  readonly memoryBytes: number;
  /** Where the history stands. */
  readonly received: Position;
  /** Hears of every block, also of what is found in the spool when it is opened. */
  readonly onPut: (block: Omit<LogBlock, 'pieces'>) => void;
  readonly spool?: Spool | undefined;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Hears of what can’t be read of the spool when it is opened. */
  readonly onDamaged?: ((error: TidemarkError) => void) | undefined;
};

/**
 * What was received of a history and is not in the repository yet, in order. With a spool a block counts as received once it is on this host's disk, and
 * is there again after a crash; when that has no room left, whoever puts waits. What the store itself keeps goes there only where it has to (`tend`).
 */
export class LogQueue {
  readonly #options: LogQueueOptions;
  readonly #blocks: Waiting[] = [];
  #bytes = 0;
  #heldBytes = 0;
  #received: Position;
  /** All that waits is in the spool, and so is what comes. Otherwise what came last is in memory alone. */
  #isSpooling = true;
  /** Blocks in memory are being written. */
  #isKeeping = false;
  readonly #waiting: (() => void)[] = [];

  private constructor(options: LogQueueOptions) {
    this.#options = options;
    this.#received = options.received;
  }

  /**
   * With what waits in the spool, as far as it goes on from `received`; what is in the repository already, or does not follow, is dropped, as is what
   * can't be read and all behind it. @throws FAILED when the spool's disk fails
   */
  static async open(options: LogQueueOptions, run: Run): Promise<LogQueue> {
    const queue = new LogQueue(options);
    await queue.#recover(run);
    return queue;
  }

  /** Up to where everything has come. */
  get received(): Position {
    return this.#received;
  }

  get sizeBytes(): number {
    return this.#bytes;
  }

  /** By the store's clock, when the first thing happened that waits. */
  get waitingSinceMs(): number | undefined {
    return this.#blocks[0]?.fromMs;
  }

  /** Whether all that was received is in the spool or in the repository. */
  get isSpooling(): boolean {
    return this.#isSpooling && this.#options.spool !== undefined;
  }

  /**
   * To be called between puts. Of a log that its store keeps for us what comes waits in memory alone, until the store has little room left, or memory has, or it has waited
   * for too long: then all of it goes into the spool, and what comes too, until that is over. @throws the signal's reason; DISK_FULL
   */
  async tend(retention: LogRetention | undefined, run: Run): Promise<void> {
    const { clock, memoryBytes } = this.#options;
    const [part, factor] = this.#isSpooling ? [CALM_PART, CALM_PART] : [1, BURST_FACTOR];
    const waitMs = clock.monotonicMs() - (this.#blocks[0]?.putMs ?? Number.POSITIVE_INFINITY);
    const isMuch = this.#bytes >= memoryBytes * factor || waitMs >= MEMORY_MS * part;
    if (retention === undefined || retention.isShort || isMuch) await this.#untilRoom(() => this.keep(run), run);
    else this.#isSpooling = false;
  }

  /** Puts what waits in memory alone into the spool. @throws the signal's reason; DISK_FULL; SPOOL_FULL, at once */
  async keep(run: Run): Promise<void> {
    const { spool } = this.#options;
    if (this.#isSpooling) return;
    this.#isSpooling = true;
    const waiting = this.#blocks.filter(({ sequence }) => sequence === undefined);
    const [first] = waiting;
    if (spool === undefined || first === undefined) return;
    const entries = waiting.map((block) => writeBlock({ ...block, pieces: must(block.pieces, 'a block in memory') }));
    this.#isKeeping = true;
    try {
      const last = await spool.append(entries, run);
      for (const [index, block] of waiting.entries()) block.sequence = last - waiting.length + 1 + index;
    } catch (error) {
      this.#isSpooling = false;
      throw error;
    } finally {
      this.#isKeeping = false;
    }
    // Some of it may have got into the repository meanwhile.
    const gone = waiting.findLast((block) => !this.#blocks.includes(block));
    if (gone?.sequence !== undefined) await spool.release(gone.sequence, run);
  }

  /** Resolves once it is received. @throws the signal's reason; DISK_FULL */
  async put(block: LogBlock, run: Run): Promise<void> {
    const { spool, memoryBytes, onPut } = this.#options;
    const sizeBytes = block.pieces.byteLength;
    let sequence: number | undefined;
    if (spool === undefined) {
      while (this.#bytes > 0 && this.#bytes + sizeBytes > memoryBytes) await this.#room(run.signal);
      run.signal.throwIfAborted();
    } else if (this.#isSpooling) {
      // What is in the spool is received, also when the run aborted meanwhile.
      sequence = await this.#untilRoom(() => spool.append([writeBlock(block)], run), run);
    }
    this.#push({ ...block, sizeBytes, sequence, putMs: this.#options.clock.monotonicMs() });
    onPut(block);
  }

  /** The first blocks, at least one where there are any, up to so many bytes. They stay until they are dropped. @throws POSITION_LOST when the spool is damaged; FAILED */
  async first(mostBytes: number, run: Run): Promise<readonly LogBlock[]> {
    const chosen: Waiting[] = [];
    let bytes = 0;
    for (const block of this.#blocks) {
      bytes += block.sizeBytes;
      if (chosen.length > 0 && bytes > mostBytes) break;
      chosen.push(block);
    }
    await this.#fetch(chosen, run);
    return chosen.map(({ pieces, ...block }) => ({ ...block, pieces: must(pieces, 'a block that was fetched') }));
  }

  /** The first `count` blocks are in the repository. What `first` gave of them is empty from then on. */
  async drop(count: number, run: Run): Promise<void> {
    const dropped = this.#blocks.splice(0, count);
    for (const { sizeBytes, pieces } of dropped) {
      this.#bytes -= sizeBytes;
      if (pieces !== undefined) this.#heldBytes -= sizeBytes;
      if (pieces !== undefined && !this.#isKeeping) releaseWhole(pieces);
    }
    const last = dropped.at(-1)?.sequence;
    if (last !== undefined) await this.#options.spool?.release(last, run);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #push(block: Waiting): void {
    const { memoryBytes } = this.#options;
    const isHeld = block.sequence === undefined || this.#heldBytes + block.sizeBytes <= memoryBytes;
    if (isHeld) this.#heldBytes += block.sizeBytes;
    this.#blocks.push(isHeld ? block : { ...block, pieces: undefined });
    this.#bytes += block.sizeBytes;
    this.#received = block.upTo;
  }

  /** Does it again once something of what waits is in the repository, as long as the spool is full. */
  async #untilRoom<T>(work: () => Promise<T>, run: Run): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        const isFull = error instanceof TidemarkError && error.code === 'SPOOL_FULL';
        // A block that is larger than the whole spool would wait for ever.
        if (!isFull || this.#blocks.length === 0) throw error;
        await this.#room(run.signal);
      }
    }
  }

  async #fetch(blocks: readonly Waiting[], run: Run): Promise<void> {
    const { spool } = this.#options;
    if (spool === undefined) return;
    const missing = new Map(
      blocks.flatMap((block) =>
        block.pieces === undefined && block.sequence !== undefined ? [[block.sequence, block] as const] : [],
      ),
    );
    for (const [sequence, block] of missing) {
      if (block.pieces === undefined) await this.#fetchStretch({ spool, missing, from: sequence }, run);
      if (block.pieces === undefined) {
        throw new TidemarkError('POSITION_LOST', 'the spool has lost what waits in it', { disposition: 'resync' });
      }
    }
  }

  /** Up to where something else lies, which may be damaged: what follows on it is read from there on. */
  async #fetchStretch(
    options: { readonly spool: Spool; readonly missing: ReadonlyMap<number, Waiting>; readonly from: number },
    run: Run,
  ): Promise<void> {
    const { spool, missing, from } = options;
    for await (const records of spool.read(from - 1, run)) {
      for (const record of records) {
        const block = missing.get(record.sequence);
        if (block === undefined) return;
        block.pieces = readBlock(record).pieces;
        this.#heldBytes += block.sizeBytes;
      }
      if (!missing.has((records.at(-1)?.sequence ?? 0) + 1)) return;
    }
  }

  async #recover(run: Run): Promise<void> {
    const { spool, onDamaged } = this.#options;
    if (spool === undefined) return;
    try {
      for await (const records of spool.read(undefined, run)) for (const record of records) this.#recoverBlock(record);
    } catch (error) {
      // The store still has what is not in the repository, or says that it has not: it is asked for what comes after the last that was read.
      if (!isTidemarkError(error, 'POSITION_LOST')) throw error;
      onDamaged?.(error);
    }
    if (this.#blocks.length === 0) await spool.release(spool.lastSequence, run);
    for (const block of this.#blocks) this.#options.onPut(block);
  }

  #recoverBlock(record: SpoolRecord): void {
    const block = readBlock(record);
    const { lineage, order } = this.#received;
    const follows = block.after.lineage === lineage && block.after.order <= order;
    if (!follows || block.upTo.order <= order) return;
    const putMs = this.#options.clock.monotonicMs();
    this.#push({ ...block, sizeBytes: block.pieces.byteLength, sequence: record.sequence, putMs });
  }

  async #room(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.push(resolve);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}

/** What was read of the spool shares its memory with others. */
function releaseWhole(pieces: Uint8Array): void {
  const { buffer, byteLength } = pieces;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) release(Buffer.from(buffer));
}
