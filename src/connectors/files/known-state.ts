import { join } from 'node:path';
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { isTidemarkError } from '../../core/errors.ts';
import type { TidemarkError } from '../../core/errors.ts';
import type { Position } from '../../core/position.ts';
import { removeDatabase } from '../../io/sqlite-files.ts';
import { bytesOf, byteText } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { databaseError, openKnownDatabase } from './known-database.ts';

/** What was read may have been changed since without a trace: see fingerprint.ts. */
export const DOUBTFUL = 1;
/** It had other names as well. */
export const LINKED = 2;

/** What is known of one name. `inode`: as a signed number; of a folder null. */
export type Known = { readonly state: Uint8Array; readonly inode: bigint | null; readonly flags: number };

/** Matches nothing that can be found: the name is told again. */
export const NOTHING_KNOWN: Known = { state: new Uint8Array(0), inode: null, flags: 0 };

export type KnownName = { readonly name: ByteText; readonly state: Uint8Array; readonly flags: number };

/** A name that an observation tells, and what its scan found out about the place. */
export type StagedName = {
  readonly name: ByteText;
  readonly state: Uint8Array;
  readonly mount: bigint;
  readonly remote: boolean;
};

const BATCH = 512;

/** What sorts between a folder and what lies in it, and right behind that. */
function insideOf(folder: ByteText): readonly [from: Buffer, to: Buffer] {
  return folder === ''
    ? [Buffer.from([0]), Buffer.alloc(PAST_ALL, 0xff)]
    : [bytesOf(`${folder}\0`), bytesOf(`${folder}\x01`)];
}

/** Longer than any name, so that nothing sorts behind it. */
const PAST_ALL = 5_000;

// The columns that the statements name are of these types, by the tables' own checks.
type Row = { readonly name: Uint8Array; readonly state: Uint8Array; readonly flags: number };
type StagedRow = {
  readonly name: Uint8Array;
  readonly state: Uint8Array;
  readonly mount: string;
  readonly remote: number;
};

/**
 * What is known of each name of a store: as it was told by the last finished observation. Of those that are not acknowledged it is known what they told, so that
 * it can be told again. Kept in a file that survives the process at any moment; what is not `finish`ed has no effect. Everything throws BUSY, DISK_FULL or FAILED;
 * and POSITION_LOST once the file is found to be damaged: then the file goes with this object, and the next one knows nothing.
 */
export class KnownState implements Disposable {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #slot: string;
  #acknowledged = '';
  #damage: TidemarkError | undefined;

  constructor(folder: string) {
    this.#path = join(folder, 'observed.db');
    this.#database = openKnownDatabase(this.#path);
    try {
      this.#slot = this.#meta('slot') ?? '0';
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get lineage(): string | undefined {
    return this.#meta('lineage');
  }

  /** Which folder it is about. */
  get root(): string | undefined {
    return this.#meta('root');
  }

  /** The newest number that was given out. */
  get order(): string | undefined {
    return this.#meta('order');
  }

  /**
   * What was told after the position is to be told again, or told as removed: somebody may hold it. False when that is not known any more: then nothing has
   * changed.
   */
  goBackTo({ lineage, order, resume }: Position): boolean {
    const found = this.#get('SELECT resume FROM positions WHERE number = ?', order);
    if (lineage !== this.lineage || found === undefined || found['resume'] !== resume) return false;
    this.#durably(() => {
      const { flags } = NOTHING_KNOWN;
      const sql = `INSERT OR REPLACE INTO ${this.#known} SELECT DISTINCT name, x'', NULL, ${flags} FROM told WHERE number > ?`;
      this.#run(sql, order);
      this.#run('DELETE FROM told WHERE number > ?', order);
      this.#run('DELETE FROM positions WHERE number > ?', order);
    });
    return true;
  }

  /** Everything up to `order` needs not be told again: takes effect with the next `finish`. */
  acknowledge(order: string): void {
    if (order > this.#acknowledged) this.#acknowledged = order;
  }

  /** One transaction, not on the disk yet: for what has no effect before it is finished. */
  batch(work: () => void): void {
    this.#exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#exec('ROLLBACK');
      throw error;
    }
  }

  find(name: ByteText): Omit<KnownName, 'name'> | undefined {
    const row = this.#get(`SELECT state, flags FROM ${this.#known} WHERE name = ?`, bytesOf(name));
    // The columns are of these types.
    return row as Omit<Row, 'name'> | undefined;
  }

  /** What lies below a folder, ascending, in batches: those after `after`. */
  below(folder: ByteText, after: ByteText): readonly KnownName[] {
    const [from, to] = insideOf(folder);
    const start = after > byteText(from) ? bytesOf(after) : from;
    const sql = `SELECT name, state, flags FROM ${this.#known} WHERE name > ? AND name < ? ORDER BY name LIMIT ${BATCH}`;
    return this.#all(sql, start, to).map(named);
  }

  /** Names of the file, whether it has others or not. */
  namesOf(inode: bigint): readonly ByteText[] {
    return this.#all(`SELECT name FROM ${this.#known} WHERE inode = ?`, inode).map(({ name }) => byteText(name));
  }

  /** Other names of the files that a name, and what lies below it, stand for. */
  linkedWith(name: ByteText): readonly ByteText[] {
    const [from, to] = insideOf(name);
    const sql = `SELECT DISTINCT other.name AS name FROM ${this.#known} one JOIN ${this.#known} other ON other.inode = one.inode
      WHERE (one.name = ?1 OR (one.name > ?2 AND one.name < ?3)) AND (one.flags & ${LINKED}) <> 0 AND other.name <> one.name`;
    return this.#all(sql, bytesOf(name), from, to).map((row) => byteText(row.name));
  }

  /** Whether something below a folder is known and not staged as gone. */
  holdsAny(folder: ByteText): boolean {
    const [from, to] = insideOf(folder);
    const sql = `SELECT 1 FROM ${this.#known} k WHERE name > ? AND name < ?
      AND NOT EXISTS (SELECT 1 FROM staged s WHERE s.name = k.name AND s.gone = 1) LIMIT 1`;
    return this.#get(sql, from, to) !== undefined;
  }

  /** Nothing has happened to it since it was read. */
  settle(name: ByteText): void {
    this.#run(`UPDATE ${this.#known} SET flags = flags & ~${DOUBTFUL} WHERE name = ?`, bytesOf(name));
  }

  /** A base saw this name: if it is never told, it will have to be told as removed. */
  noteSeen(name: ByteText): void {
    const { state, inode, flags } = NOTHING_KNOWN;
    this.#run(`INSERT OR IGNORE INTO ${this.#known} VALUES (?, ?, ?, ?)`, bytesOf(name), state, inode, flags);
  }

  stage({ name, mount, remote }: Omit<StagedName, 'state'>, { state, inode, flags }: Known): void {
    const sql =
      'INSERT OR REPLACE INTO staged (name, gone, state, inode, flags, mount, remote) VALUES (?, 0, ?, ?, ?, ?, ?)';
    this.#run(sql, bytesOf(name), state, inode, flags, String(mount), remote ? 1 : 0);
  }

  stageGone(name: ByteText): void {
    this.#run('INSERT OR REPLACE INTO staged (name, gone) VALUES (?, 1)', bytesOf(name));
  }

  /** The name, where it is known, and what is known below it. */
  stageTreeGone(name: ByteText): void {
    this.#run(
      `INSERT OR REPLACE INTO staged (name, gone) SELECT name, 1 FROM ${this.#known} WHERE name = ?`,
      bytesOf(name),
    );
    this.stageGoneBelow(name);
  }

  stageGoneBelow(folder: ByteText): void {
    const sql = `INSERT OR REPLACE INTO staged (name, gone) SELECT name, 1 FROM ${this.#known} WHERE name > ? AND name < ?`;
    this.#run(sql, ...insideOf(folder));
  }

  /** What is known of a staged name after all. */
  restage(name: ByteText, { state, inode, flags }: Known): void {
    this.#run(
      'UPDATE staged SET state = ?, inode = ?, flags = ? WHERE name = ? AND gone = 0',
      state,
      inode,
      flags,
      bytesOf(name),
    );
  }

  unstage(name: ByteText): void {
    this.#run('DELETE FROM staged WHERE name = ?', bytesOf(name));
  }

  clearStaged(): void {
    this.#run('DELETE FROM staged');
  }

  isStaged(name: ByteText): boolean {
    return this.#get('SELECT 1 FROM staged WHERE name = ?', bytesOf(name)) !== undefined;
  }

  get hasStaged(): boolean {
    return this.#get('SELECT 1 FROM staged LIMIT 1') !== undefined;
  }

  /** Those that are there, ascending, in batches. */
  stagedAfter(name: ByteText | undefined): readonly StagedName[] {
    const sql = `SELECT name, state, mount, remote FROM staged WHERE gone = 0 AND name ${name === undefined ? '>=' : '>'} ? ORDER BY name LIMIT ${BATCH}`;
    // The columns are set where `gone` is 0.
    return this.#all<StagedRow>(sql, bytesOf(name ?? '')).map((row) => ({
      name: byteText(row.name),
      state: row.state,
      mount: BigInt(row.mount),
      remote: row.remote === 1,
    }));
  }

  /** Ascending. */
  stagedGone(): readonly Uint8Array[] {
    return this.#all('SELECT name FROM staged WHERE gone = 1 ORDER BY name').map(({ name }) => name);
  }

  /** What is staged becomes what is known, at this position. On the disk when it returns. */
  finish({ order, resume }: Position): void {
    this.#durably(() => {
      this.#run('INSERT INTO told SELECT ?, name FROM staged', order);
      this.#run(`DELETE FROM ${this.#known} WHERE name IN (SELECT name FROM staged WHERE gone = 1)`);
      this.#run(`INSERT OR REPLACE INTO ${this.#known} SELECT name, state, inode, flags FROM staged WHERE gone = 0`);
      this.#run('DELETE FROM staged');
      this.#run('INSERT INTO positions VALUES (?, ?)', order, resume);
      this.#setMeta('order', order);
      this.#forgetAcknowledged();
    });
  }

  /** A base ended here; what is known stays as it is. On the disk when it returns. */
  addPosition({ order, resume }: Position): void {
    this.#durably(() => {
      this.#run('INSERT INTO positions VALUES (?, ?)', order, resume);
      this.#setMeta('order', order);
    });
  }

  /** Begins to note a base, in place of an earlier one that was not finished. */
  beginNotes(): void {
    this.#run(`DELETE FROM ${this.#noted}`);
  }

  note(name: ByteText, { state, inode, flags }: Known): void {
    this.#run(`INSERT OR REPLACE INTO ${this.#noted} VALUES (?, ?, ?, ?)`, bytesOf(name), state, inode, flags);
  }

  /** Leaves the notes of a base: what it saw counts as seen. */
  leaveNotes(): void {
    const { flags } = NOTHING_KNOWN;
    this.#run(`INSERT OR IGNORE INTO ${this.#known} SELECT name, x'', NULL, ${flags} FROM ${this.#noted}`);
  }

  /** What the base noted is what is known, at its cut. On the disk when it returns. */
  finishNotes({ lineage, order, resume }: Position, root: string): void {
    const [old, slot] = [this.#known, this.#slot === '0' ? '1' : '0'];
    this.#durably(() => {
      this.#setMeta('slot', slot);
      this.#setMeta('lineage', lineage);
      this.#setMeta('root', root);
      this.#setMeta('order', order);
      this.#run(`DELETE FROM ${old}`);
      this.#run('DELETE FROM told');
      this.#run('DELETE FROM positions');
      this.#run('INSERT INTO positions VALUES (?, ?)', order, resume);
    });
    this.#slot = slot;
    // It was of positions that are gone, maybe of another lineage.
    this.#acknowledged = '';
  }

  [Symbol.dispose](): void {
    if (!this.#database.isOpen) return;
    try {
      if (this.#acknowledged !== '') this.batch(() => this.#forgetAcknowledged());
    } catch {
      // What is not forgotten now only takes space.
    } finally {
      this.#statements.clear();
      this.#database.close();
      if (this.#damage !== undefined) removeDatabase(this.#path);
    }
  }

  get #known(): string {
    return `known${this.#slot}`;
  }

  get #noted(): string {
    return this.#slot === '0' ? 'known1' : 'known0';
  }

  #forgetAcknowledged(): void {
    if (this.#acknowledged === '') return;
    this.#run('DELETE FROM told WHERE number <= ?', this.#acknowledged);
    this.#run('DELETE FROM positions WHERE number < ?', this.#acknowledged);
  }

  /** One transaction that is on the disk when this returns, with all that was written before. */
  #durably(work: () => void): void {
    this.#exec('PRAGMA synchronous = FULL');
    try {
      this.batch(work);
    } finally {
      this.#exec('PRAGMA synchronous = NORMAL');
    }
  }

  #meta(name: string): string | undefined {
    const row = this.#get('SELECT value FROM meta WHERE name = ?', name);
    return row === undefined ? undefined : String(row['value']);
  }

  #setMeta(name: string, value: string): void {
    this.#run('INSERT OR REPLACE INTO meta VALUES (?, ?)', name, value);
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#guard(() => this.#statement(sql).run(...values));
  }

  #get(sql: string, ...values: SQLInputValue[]): Record<string, SQLOutputValue> | undefined {
    return this.#guard(() => this.#statement(sql).get(...values));
  }

  #all<Found = Row>(sql: string, ...values: SQLInputValue[]): readonly Found[] {
    // The callers read only columns that they select, which are of these types.
    return this.#guard(() => this.#statement(sql).all(...values)) as Found[];
  }

  #exec(sql: string): void {
    this.#guard(() => this.#database.exec(sql));
  }

  /** Nothing is asked any more of a file in which there is damage: what it says can't be trusted. */
  #guard<Result>(work: () => Result): Result {
    if (this.#damage !== undefined) throw this.#damage;
    try {
      return work();
    } catch (error) {
      const told = databaseError(this.#path, error);
      if (isTidemarkError(told, 'POSITION_LOST')) this.#damage = told;
      throw told;
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function named({ name, state, flags }: Row): KnownName {
  return { name: byteText(name), state, flags };
}
