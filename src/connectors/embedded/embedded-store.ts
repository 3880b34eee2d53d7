import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Batch } from '../../core/change.ts';
import { BugError } from '../../core/must.ts';
import type { Clock, Run } from '../../core/run.ts';
import type { Scope } from '../../core/source.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { HEAD_SQL, lineageOf, numberOf, openDatabase } from './database.ts';
import { withStoreErrors } from './errors.ts';
import { readBatches } from './feed.ts';
import { keyBytes, textBytes } from './keys.ts';
import { EmbeddedReader } from './reading.ts';
import type { EmbeddedEntry, RangeOptions } from './reading.ts';
import { EmbeddedTransaction } from './transaction.ts';
import type { PutOptions } from './transaction.ts';

const DEFAULT_BUSY_TIMEOUT_MS = 10_000;
const DEFAULT_CHANGES_KEPT = 100_000;
/** Compacting is done for so many changes at once. */
const COMPACT_EVERY = 1_024;
const EXPIRED_AT_ONCE = 1_000;

export type OpenEmbeddedOptions = {
  /** The file has to be there; otherwise a new store is made. */
  readonly mustExist?: boolean | undefined;
  /** `full` (the default): a commit is on the disk when it returns. `normal`: a power cut may take the last commits, never their order. */
  readonly durability?: 'full' | 'normal' | undefined;
  /** How long a write waits for another process. Default: 10 s. */
  readonly busyTimeoutMs?: number | undefined;
  /** How many of the newest changes are kept for who watches; older ones may be compacted. Default: 100,000. */
  readonly changesKept?: number | undefined;
  /** For expiry and the times of changes. Default: the machine's. */
  readonly clock?: Clock | undefined;
};

/** Where a watch begins, and what it sees. */
export type WatchOptions = {
  /** A revision; what came after it is seen. Default: only what is to come. */
  readonly after?: number | undefined;
  readonly prefix?: string | Uint8Array | undefined;
};

/**
 * Opens the ordered key-value store in the file at `path`, or makes one. Several processes may have it open at once.
 * @throws STORE_UNREACHABLE, BUSY, DISK_FULL
 */
export function openEmbedded(path: string, options: OpenEmbeddedOptions = {}): EmbeddedStore {
  return new EmbeddedStore(path, options);
}

/**
 * Keys in the order of their bytes, with a value, a revision, and perhaps a time after which they are gone. Every change has a revision of its own, one
 * more than the last; a transaction's are consecutive and become visible together. Calls are synchronous. Keys and values given as text are UTF-8.
 */
export class EmbeddedStore implements Disposable {
  readonly path: string;
  readonly #database: DatabaseSync;
  readonly #reader: EmbeddedReader;
  readonly #transaction: EmbeddedTransaction;
  readonly #clock: Clock;
  readonly #changesKept: number;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  #isOpen = true;
  #sinceCompaction = 0;

  constructor(path: string, options: OpenEmbeddedOptions) {
    this.path = path;
    this.#clock = options.clock ?? createSystemClock();
    this.#changesKept = options.changesKept ?? DEFAULT_CHANGES_KEPT;
    const { mustExist = false, durability = 'full', busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS } = options;
    this.#database = openDatabase({ path, mustExist, durable: durability === 'full', busyTimeoutMs });
    this.#reader = new EmbeddedReader(this.#database, this.#clock);
    this.#transaction = new EmbeddedTransaction(this.#database, this.#reader, this.#clock);
    this.#begin = this.#database.prepare('BEGIN IMMEDIATE');
    this.#commit = this.#database.prepare('COMMIT');
  }

  /** What revisions belong to. Another one after a restore. */
  get lineage(): string {
    return this.#with(() => lineageOf(this.#database));
  }

  /** The newest revision, 0 in a new store. */
  get revision(): number {
    return this.#with(() => numberOf(this.#database, HEAD_SQL));
  }

  get(key: string | Uint8Array): Uint8Array | undefined {
    return this.entry(key)?.value;
  }

  /** The value as text. @throws TypeError when it is not UTF-8 */
  getText(key: string | Uint8Array): string | undefined {
    return this.#with(() => this.#reader.text(key));
  }

  entry(key: string | Uint8Array): EmbeddedEntry | undefined {
    return this.#with(() => this.#reader.entry(keyBytes(key)));
  }

  /** Entries in the order of their keys. Read as it is pulled: only within `read` or a transaction from one moment. */
  range(options: RangeOptions = {}): Generator<EmbeddedEntry> {
    return this.#with(() => this.#reader.range(options));
  }

  /** Everything that `work` reads is from one moment. `work` is synchronous. */
  read<Result>(work: (reader: EmbeddedReader) => Result): Result {
    return this.#with(() => {
      if (this.#database.isTransaction) return work(this.#reader);
      this.#database.exec('BEGIN');
      try {
        return refusePromise(work(this.#reader));
      } finally {
        this.#database.exec('COMMIT');
      }
    });
  }

  /**
   * Puts one entry; its revision. With `ifRevision` undefined when the entry's is another one (0: when there is one).
   * @throws BUSY, DISK_FULL; nothing has changed then
   */
  put(key: string | Uint8Array, value: string | Uint8Array, options?: PutOptions): number | undefined {
    return this.transaction((transaction) => transaction.put(key, value, options));
  }

  /** Deletes one entry; the revision of that. Undefined where there is none, or with `ifRevision` another one. */
  delete(key: string | Uint8Array, options?: { readonly ifRevision?: number | undefined }): number | undefined {
    return this.transaction((transaction) => transaction.delete(key, options));
  }

  /**
   * All that `work` changes becomes visible together, or, when it throws, nothing. `work` is synchronous, and the only writer meanwhile.
   * @throws BUSY, DISK_FULL, and what `work` throws
   */
  transaction<Result>(work: (transaction: EmbeddedTransaction) => Result): Result {
    return this.#with(() => {
      if (this.#database.isTransaction) throw new TypeError('a transaction within a transaction, or within a read');
      this.#begin.run();
      try {
        this.#transaction.begin();
        const result = refusePromise(work(this.#transaction));
        this.#compactNowAndThen(this.#transaction.changeCount);
        this.#commit.run();
        return result;
      } catch (error) {
        // A full disk may have ended it already.
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
        throw error;
      }
    });
  }

  /** Forgets changes up to the newest transaction that ends at `revision` or before; watches that are not there yet get POSITION_LOST. */
  compact(revision: number): void {
    this.transaction((transaction) => transaction.compact(revision));
  }

  /** Deletes what has expired by now, a change each; how many. Every transaction does so for some. */
  removeExpired(): number {
    let count = 0;
    while (this.#with(() => this.#reader.anyExpired())) {
      count += this.transaction((transaction) => {
        transaction.removeExpired(EXPIRED_AT_ONCE);
        return transaction.changeCount;
      });
    }
    return count;
  }

  /**
   * Changes without end, a batch for each transaction, whichever process made it; about once a second, while nothing changes, one without changes.
   * @throws POSITION_LOST when they were compacted, or the store was replaced: start over with `read`; the signal's reason
   */
  async *watch(options: WatchOptions, run: Run): AsyncGenerator<Batch> {
    const scope: Scope = { prefixes: [textBytes(options.prefix ?? '')] };
    const from = { lineage: this.lineage, revision: options.after ?? this.revision };
    for await (const batches of readBatches({ path: this.path, clock: this.#clock, from, scope }, run)) {
      yield* batches;
      // Who watches is told of what has expired, also where nobody writes.
      if (this.#with(() => this.#reader.anyExpired())) this.removeExpired();
    }
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#database.close();
  }

  #compactNowAndThen(changes: number): void {
    this.#sinceCompaction += changes;
    if (this.#sinceCompaction < COMPACT_EVERY) return;
    this.#sinceCompaction = 0;
    this.#transaction.compact(this.#transaction.head - this.#changesKept);
  }

  #with<Result>(work: () => Result): Result {
    if (!this.#isOpen) throw new BugError(`${this.path} is used after it was closed`);
    return withStoreErrors(this.path, work);
  }
}

function refusePromise<Result>(result: Result): Result {
  if (result instanceof Promise) throw new TypeError('what a transaction does can’t wait: it is synchronous');
  return result;
}
