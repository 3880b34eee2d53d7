import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import { notOurs, withStoreErrors } from './errors.ts';

/** "TMKV", in the header of the file: https://sqlite.org/pragma.html#pragma_application_id */
const APPLICATION_ID = 0x54_4d_4b_56;
const FORMAT = 1;

/**
 * `entries`: what is there. `changes`: what happened, a row each; its revision numbers it, `begin` is the first revision of its transaction where that is
 * another one. All changes after the `floor` in `meta` are there; the revisions before it were compacted, or belong to the store this one was restored
 * from. `lineage`: what revisions belong to.
 */
const TABLES = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL, expires_at INTEGER)
    STRICT, WITHOUT ROWID;
  CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
  CREATE TABLE changes (revision INTEGER PRIMARY KEY, begin INTEGER, at_ms INTEGER NOT NULL, key BLOB NOT NULL, value BLOB, previous BLOB,
    expires_at INTEGER) STRICT;
  INSERT INTO meta (name, value) VALUES ('format', ${FORMAT}), ('lineage', lower(hex(randomblob(16)))), ('floor', 0);
`;

export type DatabaseOptions = {
  readonly path: string;
  /** Otherwise a missing file is created. */
  readonly mustExist: boolean;
  /** Every commit is on the disk when it returns; otherwise a power cut may take the last ones, and never the order. */
  readonly durable: boolean;
  /** How long to wait for another process. */
  readonly busyTimeoutMs: number;
};

/** Opens the file of an embedded store. @throws STORE_UNREACHABLE, BUSY, DISK_FULL */
export function openDatabase(options: DatabaseOptions): DatabaseSync {
  const { path, mustExist, durable, busyTimeoutMs } = options;
  const status = statSync(path, { throwIfNoEntry: false });
  if (status?.isDirectory() === true) throw new TidemarkError('STORE_UNREACHABLE', `${path} is a folder`);
  if (mustExist && status === undefined) {
    throw new TidemarkError('STORE_UNREACHABLE', `${path} is not there`, {
      hint: 'It is made by the application that opens it; check the path in the manifest.',
    });
  }
  return withStoreErrors(path, () => {
    const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
    try {
      prepare(database, path);
      database.exec(`PRAGMA synchronous = ${durable ? 'FULL' : 'NORMAL'}`);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  });
}

/** Makes the tables of a new store; several processes may do so at once. */
function prepare(database: DatabaseSync, path: string): void {
  if (numberOf(database, 'PRAGMA application_id') !== APPLICATION_ID) {
    database.exec('BEGIN IMMEDIATE');
    try {
      createTables(database, path);
      database.exec('COMMIT');
    } catch (error) {
      database.exec('ROLLBACK');
      throw error;
    }
  }
  database.exec('PRAGMA journal_mode = WAL');
  const format = numberOf(database, "SELECT value FROM meta WHERE name = 'format'");
  if (format > FORMAT) {
    throw new TidemarkError('STORE_UNREACHABLE', `${path} is of a newer format (${format}) than this Tidemark knows`, {
      hint: 'Use the version of Tidemark that the application uses.',
    });
  }
}

function createTables(database: DatabaseSync, path: string): void {
  if (numberOf(database, 'PRAGMA application_id') === APPLICATION_ID) return;
  if (numberOf(database, 'SELECT count(*) FROM sqlite_schema') > 0) throw notOurs(path);
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}; ${TABLES}`);
}

/** The first column of the only row. */
export function numberOf(database: DatabaseSync, sql: string): number {
  const [value] = Object.values(must(database.prepare(sql).get(), 'a row'));
  return Number(value);
}

export function lineageOf(database: DatabaseSync): string {
  return String(must(database.prepare("SELECT value FROM meta WHERE name = 'lineage'").get(), 'a lineage')['value']);
}

/** The newest revision. */
export const HEAD_SQL =
  "SELECT coalesce((SELECT max(revision) FROM changes), (SELECT value FROM meta WHERE name = 'floor')) AS head";

/** @throws RESTORE_FAILED when the file is not whole by SQLite's own check; its errors */
export function assertWhole(database: DatabaseSync, path: string): void {
  const [problem] = Object.values(must(database.prepare('PRAGMA integrity_check(1)').get(), 'an answer'));
  if (problem !== 'ok') throw new TidemarkError('RESTORE_FAILED', `${path} is damaged: ${String(problem)}`);
}
