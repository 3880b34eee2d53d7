import type { DatabaseSync } from 'node:sqlite';
import { equalBytes } from '../../core/bytes.ts';
import type { Batch, Change, Put } from '../../core/change.ts';
import { TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import { comparePositions } from '../../core/position.ts';
import type { Position } from '../../core/position.ts';
import type { Run, Runtime } from '../../core/run.ts';
import type { Resync, Sink } from '../../core/sink.ts';
import { disjointPrefixes } from '../../core/source.ts';
import type { Scope } from '../../core/source.ts';
import { openDatabase } from './database.ts';
import { withStoreErrors } from './errors.ts';
import type { EmbeddedPlace } from './place.ts';
import { EmbeddedReader } from './reading.ts';
import { EmbeddedTransaction } from './transaction.ts';

const BUSY_TIMEOUT_MS = 10_000;

/** Applies changes to an embedded store; a missing file is made. Other writers wait while a transaction comes in parts, and during a resync. */
export function openEmbeddedSink({ file }: EmbeddedPlace, { clock }: Pick<Runtime, 'clock'>): Sink {
  const database = openDatabase({ path: file, mustExist: false, durable: true, busyTimeoutMs: BUSY_TIMEOUT_MS });
  const transaction = new EmbeddedTransaction(database, new EmbeddedReader(database, clock), clock);
  return new EmbeddedSink({ file, database, transaction });
}

type Opened = {
  readonly file: string;
  readonly database: DatabaseSync;
  readonly transaction: EmbeddedTransaction;
};

class EmbeddedSink implements Sink {
  readonly #opened: Opened;

  constructor(opened: Opened) {
    this.#opened = opened;
  }

  async checkpoint(mirror: string, { signal }: Run): Promise<Position | undefined> {
    signal.throwIfAborted();
    return withStoreErrors(this.#opened.file, () => readCheckpoint(this.#opened.database, mirror));
  }

  async apply(mirror: string, batch: Batch, { signal }: Run): Promise<void> {
    signal.throwIfAborted();
    const { file, database, transaction } = this.#opened;
    withStoreErrors(file, () => {
      begin(this.#opened);
      try {
        if (isApplied(file, readCheckpoint(database, mirror), batch)) {
          database.exec('ROLLBACK');
          return;
        }
        for (const change of batch.changes) applyChange(transaction, change);
        if (batch.commit === undefined) return;
        writeCheckpoint(database, mirror, batch.commit.position);
        database.exec('COMMIT');
      } catch (error) {
        rollBack(database);
        throw error;
      }
    });
  }

  async beginResync(mirror: string, scope: Scope, cut: Position, { signal }: Run): Promise<Resync> {
    signal.throwIfAborted();
    const { file, database } = this.#opened;
    withStoreErrors(file, () => {
      rollBack(database);
      begin(this.#opened);
      database.exec('DROP TABLE IF EXISTS temp.seen; CREATE TEMP TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID');
    });
    return new EmbeddedResync(this.#opened, { mirror, scope, cut });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { database } = this.#opened;
    if (database.isOpen) database.close();
  }
}

type ResyncOptions = { readonly mirror: string; readonly scope: Scope; readonly cut: Position };

class EmbeddedResync implements Resync {
  readonly #opened: Opened;
  readonly #options: ResyncOptions;
  #isOpen = true;

  constructor(opened: Opened, options: ResyncOptions) {
    this.#opened = opened;
    this.#options = options;
  }

  async put(puts: readonly Put[], { signal }: Run): Promise<void> {
    signal.throwIfAborted();
    assume(this.#isOpen, 'a resync that goes on');
    const { file, database, transaction } = this.#opened;
    withStoreErrors(file, () => {
      const see = database.prepare('INSERT OR IGNORE INTO temp.seen (key) VALUES (?)');
      for (const put of puts) {
        applyChange(transaction, put);
        see.run(put.key.bytes);
      }
    });
  }

  async finish({ signal }: Run): Promise<void> {
    signal.throwIfAborted();
    assume(this.#isOpen, 'a resync that goes on');
    const { file, database, transaction } = this.#opened;
    const { mirror, scope, cut } = this.#options;
    withStoreErrors(file, () => {
      const isSeen = database.prepare('SELECT 1 FROM temp.seen WHERE key = ?');
      for (const prefix of disjointPrefixes(scope)) {
        for (const { key } of transaction.range({ prefix })) {
          if (isSeen.get(key) === undefined) transaction.delete(key);
        }
      }
      writeCheckpoint(database, mirror, cut);
      database.exec('DROP TABLE temp.seen; COMMIT');
      this.#isOpen = false;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    rollBack(this.#opened.database);
  }
}

/** Goes on with what is open: a transaction that comes in parts. */
function begin({ database, transaction }: Opened): void {
  if (database.isTransaction) return;
  database.exec('BEGIN IMMEDIATE');
  transaction.begin();
}

function rollBack(database: DatabaseSync): void {
  if (database.isOpen && database.isTransaction) database.exec('ROLLBACK');
}

/** @throws POSITION_LOST */
function isApplied(file: string, checkpoint: Position | undefined, { commit }: Batch): boolean {
  if (checkpoint === undefined) throw lost(file, 'no snapshot was applied yet');
  if (commit === undefined) return false;
  const order = comparePositions(commit.position, checkpoint);
  if (order === undefined) throw lost(file, 'the changes are of another lineage');
  return order <= 0;
}

function lost(file: string, why: string): TidemarkError {
  return new TidemarkError('POSITION_LOST', `changes can’t be applied to ${file}: ${why}`, { disposition: 'resync' });
}

/** What is there already is no change. */
function applyChange(transaction: EmbeddedTransaction, change: Change): void {
  assume(change.key.space === '', 'a store with one space');
  const { bytes } = change.key;
  if (change.op === 'delete') {
    transaction.delete(bytes);
    return;
  }
  const { value, expiresAtMs } = change;
  const known = transaction.entry(bytes);
  if (known !== undefined && equalBytes(known.value, value) && known.expiresAtMs === expiresAtMs) return;
  transaction.put(bytes, value, { expiresAtMs });
}

function checkpointName(mirror: string): string {
  return `mirror/${mirror}`;
}

function readCheckpoint(database: DatabaseSync, mirror: string): Position | undefined {
  const value = database.prepare('SELECT value FROM meta WHERE name = ?').get(checkpointName(mirror))?.['value'];
  if (typeof value !== 'string') return undefined;
  const [lineage = '', order = '', resume = ''] = value.split('\n');
  return { lineage, order, resume };
}

function writeCheckpoint(database: DatabaseSync, mirror: string, { lineage, order, resume }: Position): void {
  database
    .prepare('INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value')
    .run(checkpointName(mirror), [lineage, order, resume].join('\n'));
}
