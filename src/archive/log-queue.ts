import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Position } from '../core/position.ts';
import type { Run } from '../core/run.ts';
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

/** `pieces` is absent where they lie in the spool alone. */
type Waiting = Omit<LogBlock, 'pieces'> & {
  readonly sizeBytes: number;
  readonly sequence: number;
  pieces: Uint8Array | undefined;
};

export type LogQueueOptions = {
  /** What is kept in memory at most. Without a spool whoever puts waits when it is full. */
  readonly memoryBytes: number;
  /** Where the history stands. */
  readonly received: Position;
  /** Hears of every block, also of what is found in the spool when it is opened. */
  readonly onPut: (block: Omit<LogBlock, 'pieces'>) => void;
  readonly spool?: Spool | undefined;
  /** Hears of what can’t be read of the spool when it is opened. */
  readonly onDamaged?: ((error: TidemarkError) => void) | undefined;
};

/**
 * What was received of a history and is not in the repository yet, in order. With a spool a block counts as received once it is on this host's disk, and
 * is there again after a crash; when that has no room left, whoever puts waits.
 */
export class LogQueue {
  readonly #options: LogQueueOptions;
  readonly #blocks: Waiting[] = [];
  #bytes = 0;
  #heldBytes = 0;
  #received: Position;
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

  /** Resolves once it is received. @throws the signal's reason; DISK_FULL */
  async put(block: LogBlock, run: Run): Promise<void> {
    const { spool, memoryBytes, onPut } = this.#options;
    const sizeBytes = block.pieces.byteLength;
    let sequence = 0;
    if (spool === undefined) {
      while (this.#bytes > 0 && this.#bytes + sizeBytes > memoryBytes) await this.#room(run.signal);
      run.signal.throwIfAborted();
    } else sequence = await this.#append(spool, block, run); // what is in the spool is received, also when the run aborted meanwhile
    this.#push({ ...block, sizeBytes, sequence });
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

  /** The first `count` blocks are in the repository. */
  async drop(count: number, run: Run): Promise<void> {
    const dropped = this.#blocks.splice(0, count);
    for (const { sizeBytes, pieces } of dropped) {
      this.#bytes -= sizeBytes;
      if (pieces !== undefined) this.#heldBytes -= sizeBytes;
    }
    const last = dropped.at(-1);
    if (last !== undefined) await this.#options.spool?.release(last.sequence, run);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #push(block: Waiting): void {
    const { spool, memoryBytes } = this.#options;
    const isHeld = spool === undefined || this.#heldBytes + block.sizeBytes <= memoryBytes;
    if (isHeld) this.#heldBytes += block.sizeBytes;
    this.#blocks.push(isHeld ? block : { ...block, pieces: undefined });
    this.#bytes += block.sizeBytes;
    this.#received = block.upTo;
  }

  async #append(spool: Spool, block: LogBlock, run: Run): Promise<number> {
    for (;;) {
      try {
        return await spool.append([writeBlock(block)], run);
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
      blocks.filter(({ pieces }) => pieces === undefined).map((block) => [block.sequence, block]),
    );
    for (const block of missing.values()) {
      if (block.pieces === undefined) await this.#fetchStretch({ spool, missing, from: block.sequence }, run);
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
    this.#push({ ...block, sizeBytes: block.pieces.byteLength, sequence: record.sequence });
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
