import { statSync, watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Batch, Change, Commit } from '../../core/change.ts';
import { systemCode, TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import { orderOf } from '../../core/position.ts';
import type { Position } from '../../core/position.ts';
import type { Clock, Run } from '../../core/run.ts';
import { isInScope } from '../../core/source.ts';
import type { Scope } from '../../core/source.ts';
import { HEAD_SQL, lineageOf, numberOf, openDatabase } from './database.ts';
import { withStoreErrors } from './errors.ts';
import { bytesOf } from './reading.ts';

const BUSY_TIMEOUT_MS = 10_000;
const PAGE = 1_024;
const PAGE_BYTES = 1024 * 1024;
const HEARTBEAT_MS = 1_000;
/** After a hint it is looked again and again for a while, ever more seldom. */
const LOOK_FIRST_MS = 1;
const LOOK_MOST_MS = 256;

export type FeedOptions = {
  readonly path: string;
  readonly clock: Clock;
  /** What comes after it is read. */
  readonly from: { readonly lineage: string; readonly revision: number };
  /** A transaction without any of it is a batch without changes. */
  readonly scope: Scope;
};

/** The `order` of a revision as an operator types it; undefined for what is none. */
export function parseRevision(text: string): string | undefined {
  return /^[0-9]{1,15}$/.test(text) ? orderOf(Number(text)) : undefined;
}

export function positionOf(lineage: string, revision: number): Position {
  return { lineage, order: orderOf(revision), resume: String(revision) };
}

/**
 * The changes after a revision, transaction by transaction, some at a time; a transaction of many comes in several batches, the last of which has the
 * commit. While nothing changes, a heartbeat about once a second.
 * @throws POSITION_LOST, BUSY, STORE_UNREACHABLE; the signal's reason
 */
export async function* readBatches(options: FeedOptions, run: Run): AsyncGenerator<readonly Batch[]> {
  const { path, clock } = options;
  run.signal.throwIfAborted();
  // Before it is opened: one that takes its place in between is noticed.
  const inode = inodeOf(path);
  const database = openDatabase({ path, mustExist: true, durable: true, busyTimeoutMs: BUSY_TIMEOUT_MS });
  using _closed = { [Symbol.dispose]: () => database.close() };
  const pages = withStoreErrors(path, () => new ChangePages(database, options));
  using store = new StoreWatch(path);
  let lookMs = 0;
  let isQuiet = false;
  let toldMs = clock.monotonicMs();
  for (;;) {
    run.signal.throwIfAborted();
    const batches = withStoreErrors(path, () => pages.next());
    if (batches.length > 0) {
      lookMs = 0;
      isQuiet = false;
      yield batches;
      toldMs = clock.monotonicMs();
    }
    if (pages.isBehind()) continue;
    assertInPlace(path, inode);
    // Hints that lead to nothing are no reason to be silent.
    if (isQuiet || clock.monotonicMs() - toldMs >= HEARTBEAT_MS) {
      isQuiet = false;
      yield [pages.heartbeat()];
      toldMs = clock.monotonicMs();
    }
    if (lookMs > 0 && lookMs <= LOOK_MOST_MS) {
      await clock.sleep(lookMs, run);
      lookMs *= 2;
      continue;
    }
    isQuiet = !(await store.hint(clock, run));
    // What the kernel tells of is written before it is committed, and of the commit itself it does not tell.
    lookMs = isQuiet ? 0 : LOOK_FIRST_MS;
  }
}

function lost(path: string, why: string): TidemarkError {
  return new TidemarkError('POSITION_LOST', `changes of ${path} can’t be followed on: ${why}`, {
    disposition: 'resync',
  });
}

/** Of the file that is there now. */
export function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/**
 * Who has the file open would not notice that another one took its place. `inode`: from before it was opened. @throws POSITION_LOST, STORE_UNREACHABLE
 */
export function assertInPlace(path: string, inode: number | undefined): void {
  const now = inodeOf(path);
  if (now === undefined) throw new TidemarkError('STORE_UNREACHABLE', `${path} is not there any more`);
  if (now !== inode) throw lost(path, 'the file was replaced by another one');
}

/** @throws POSITION_LOST when not all changes after the revision are there */
export function assertReachable(database: DatabaseSync, path: string, from: FeedOptions['from']): void {
  if (lineageOf(database) !== from.lineage) throw lost(path, 'the store was restored or replaced meanwhile');
  const floor = numberOf(database, "SELECT value FROM meta WHERE name = 'floor'");
  if (from.revision < floor) {
    throw lost(path, `changes up to revision ${floor} are compacted, wanted is ${from.revision + 1}`);
  }
  const head = numberOf(database, HEAD_SQL);
  if (from.revision > head) throw lost(path, `its newest revision is ${head}, and ${from.revision} was seen before`);
}

/** Reads changes a page at a time and splits them into transactions. */
class ChangePages {
  readonly #database: DatabaseSync;
  readonly #options: FeedOptions;
  readonly #page: StatementSync;
  readonly #head: StatementSync;
  #after: number;

  constructor(database: DatabaseSync, options: FeedOptions) {
    this.#database = database;
    this.#options = options;
    this.#after = options.from.revision;
    this.#head = database.prepare(HEAD_SQL);
    this.#page = database.prepare(
      `SELECT revision, begin, at_ms AS atMs, key, value, previous, expires_at AS expiresAt
        FROM changes WHERE revision > ? ORDER BY revision LIMIT ${PAGE + 1}`,
    );
  }

  isBehind(): boolean {
    return Number(must(this.#head.get(), 'a head')['head']) > this.#after;
  }

  heartbeat(): Batch {
    const { clock, from } = this.#options;
    return { changes: [], commit: { position: positionOf(from.lineage, this.#after), atMs: clock.nowMs() } };
  }

  /** @throws POSITION_LOST */
  next(): readonly Batch[] {
    // Floor and changes are of one moment, so that nothing is compacted in between.
    this.#database.exec('BEGIN');
    try {
      const { path, from } = this.#options;
      assertReachable(this.#database, path, { lineage: from.lineage, revision: this.#after });
      return this.#read();
    } finally {
      this.#database.exec('COMMIT');
    }
  }

  #read(): readonly Batch[] {
    const { scope, from } = this.#options;
    const batches: Batch[] = [];
    let changes: Change[] = [];
    let bytes = 0;
    let count = 0;
    let last: Commit | undefined;
    const endTransaction = (): void => {
      if (last !== undefined) batches.push({ changes, commit: last });
      [changes, last] = [[], undefined];
    };
    for (const row of this.#page.iterate(this.#after)) {
      // The next one's first row shows that a transaction is whole; so does the end, since transactions become visible whole.
      if (row['begin'] === null) endTransaction();
      if (count === PAGE || bytes >= PAGE_BYTES) {
        if (changes.length > 0) batches.push({ changes });
        return batches;
      }
      const change = changeOf(row);
      if (isInScope(scope, change.key.bytes)) changes.push(change);
      this.#after = Number(row['revision']);
      last = { position: positionOf(from.lineage, this.#after), atMs: Number(row['atMs']) };
      bytes += sizeOf(change);
      count++;
    }
    endTransaction();
    return batches;
  }
}

function changeOf(row: Readonly<Record<string, unknown>>): Change {
  const key = { space: '', bytes: bytesOf(row['key']) };
  const previous = row['previous'] === null ? undefined : bytesOf(row['previous']);
  if (row['value'] === null) return { op: 'delete', key, ...(previous && { previous }) };
  const { expiresAt } = row;
  return {
    op: 'put',
    key,
    value: bytesOf(row['value']),
    created: previous === undefined,
    ...(previous && { previous }),
    ...(typeof expiresAt === 'number' ? { expiresAtMs: expiresAt } : {}),
  };
}

function sizeOf(change: Change): number {
  const value = change.op === 'put' ? change.value.byteLength : 0;
  return change.key.bytes.byteLength + value + (change.previous?.byteLength ?? 0);
}

/** Tells of writes to the files of a store: a hint, which some file systems don't give. */
class StoreWatch implements Disposable {
  readonly #watcher: FSWatcher | undefined;
  #wake: () => void = () => undefined;
  #isHinted = false;

  constructor(path: string) {
    const name = basename(path);
    this.#watcher = watchFolder(dirname(path), (file) => {
      if (file !== null && !file.startsWith(name)) return;
      this.#isHinted = true;
      this.#wake();
    });
  }

  /** Resolves with true when there was a hint since the last call, else with false after a second. */
  async hint(clock: Clock, run: Run): Promise<boolean> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    try {
      if (!this.#isHinted) await clock.sleep(HEARTBEAT_MS, { signal: AbortSignal.any([run.signal, woken.signal]) });
    } catch (error) {
      run.signal.throwIfAborted();
      if (!woken.signal.aborted) throw error;
    } finally {
      this.#wake = () => undefined;
    }
    const isHinted = this.#isHinted;
    this.#isHinted = false;
    return isHinted;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}

/** Undefined where the kernel has no more watches to give, or none for this file system: then the second has to pass. */
function watchFolder(folder: string, onChange: (file: string | null) => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, (_event, file) => onChange(file));
    watcher.on('error', () => onChange(null));
    return watcher;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
