import { DatabaseSync } from 'node:sqlite';
import { fromSystem, TidemarkError } from '../../core/errors.ts';
import { isDamagedDatabase, sqliteError } from '../../io/sqlite-errors.ts';
import { removeDatabase } from '../../io/sqlite-files.ts';

/** "TMFO", in the header of the file: https://sqlite.org/pragma.html#pragma_application_id */
const APPLICATION_ID = 0x54_4d_46_4f;
const FORMAT = 2;

/**
 * `known0`, `known1`: what is known of each name, the one that `slot` in `meta` says; the other is for a base in the making. `state`: see fingerprint.ts, or empty
 * where whatever is found has to be told. `flags`: `DOUBTFUL`, `LINKED`. `inode`: of what is no folder.
 * `positions`: those that can be gone on from, the newest being what `known` is at. `told`: by the observation of that number.
 * `staged`: what the observation in the making tells.
 */
const TABLES = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE known0 (name BLOB PRIMARY KEY, state BLOB NOT NULL, inode INTEGER, flags INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE known1 (name BLOB PRIMARY KEY, state BLOB NOT NULL, inode INTEGER, flags INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX known0_by_inode ON known0 (inode) WHERE inode IS NOT NULL;
  CREATE INDEX known1_by_inode ON known1 (inode) WHERE inode IS NOT NULL;
  CREATE TABLE positions (number TEXT PRIMARY KEY, resume TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE told (number TEXT NOT NULL, name BLOB NOT NULL, PRIMARY KEY (number, name)) STRICT, WITHOUT ROWID;
  CREATE TABLE staged (name BLOB PRIMARY KEY, gone INTEGER NOT NULL, state BLOB, inode INTEGER, flags INTEGER, mount TEXT, remote INTEGER)
    STRICT, WITHOUT ROWID;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${FORMAT};
`;

const CACHE_KIB = 8_192;

/**
 * Opens, or makes, the file that says what is known of a store. It is this process's alone. What is damaged, or of another format, is
 * replaced by an empty one: what is lost there costs a new base. @throws BUSY, DISK_FULL, FAILED
 */
export function openKnownDatabase(path: string): DatabaseSync {
  try {
    return openOrReplace(path);
  } catch (error) {
    throw databaseError(path, error);
  }
}

function openOrReplace(path: string): DatabaseSync {
  try {
    return open(path);
  } catch (error) {
    if (!(error instanceof UnknownFormat || isDamagedDatabase(error))) throw error;
    removeDatabase(path);
    return open(path);
  }
}

function open(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    database.exec(`PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -${CACHE_KIB}; PRAGMA journal_mode = WAL`);
    database.exec('PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE');
    const id = numberOf(database, 'PRAGMA application_id');
    if (id === 0 && numberOf(database, 'SELECT count(*) FROM sqlite_schema') === 0) database.exec(TABLES);
    else if (id !== APPLICATION_ID || numberOf(database, 'PRAGMA user_version') !== FORMAT) throw new UnknownFormat();
    database.exec('COMMIT');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

class UnknownFormat extends Error {}

function numberOf(database: DatabaseSync, sql: string): number {
  const [value] = Object.values(database.prepare(sql).get() ?? {});
  return Number(value);
}

/** What SQLite says, as an error that an operator can read: POSITION_LOST when the file is damaged. */
export function databaseError(path: string, error: unknown): unknown {
  return sqliteError(path, error, () => {
    if (!isDamagedDatabase(error)) return fromSystem(error, 'FAILED', path);
    return new TidemarkError('POSITION_LOST', `what was known of the store is damaged: ${path}`, {
      cause: error,
      disposition: 'resync',
    });
  });
}
