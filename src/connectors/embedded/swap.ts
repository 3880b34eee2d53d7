import { closeSync, fsyncSync, lstatSync, openSync, renameSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { GivenUp } from '../../core/connector.ts';
import { isTidemarkError, TidemarkError } from '../../core/errors.ts';
import { isDamagedDatabase } from '../../io/sqlite-errors.ts';
import { COMPANION_SUFFIXES, removeDatabase } from '../../io/sqlite-files.ts';
import { assertWhole, HEAD_SQL, numberOf, openDatabase } from './database.ts';
import type { Beside } from './place.ts';

/*
 * The file stays, and what it holds is replaced in one transaction: the log file that SQLite keeps beside a database belongs to its name, so that
 * another file under that name would get the log of the one before. Processes that have the store open go on with what was restored; who watches it
 * gets POSITION_LOST, because the lineage is another one.
 */

const BUSY_TIMEOUT_MS = 60_000;

export type Swap = { readonly file: string; readonly beside: Beside; readonly id: string };
export type Kept = { readonly keptAside?: string | undefined };

/** Which restore the content is from, after how many undos of it, and whether it replaced something. */
type Origin = { readonly restore: string | undefined; readonly turn: number; readonly replaced: boolean };

/** Entries get a new revision, so that none that a client remembers fits by accident. */
const TAKE_RESTORED = `
  DELETE FROM main.entries;
  INSERT INTO main.entries (key, value, revision, created, expires_at)
    SELECT key, value, $revision, $revision, expires_at FROM incoming.entries ORDER BY key;
  DELETE FROM main.changes;
  UPDATE main.meta SET value = $revision WHERE name = 'floor';
  UPDATE main.meta SET value = (SELECT value FROM incoming.meta WHERE name = 'lineage') WHERE name = 'lineage';
  DELETE FROM main.meta WHERE name LIKE 'mirror/%';
`;

const TAKE_ASIDE = `
  DELETE FROM main.entries;
  INSERT INTO main.entries (key, value, revision, created, expires_at)
    SELECT key, value, revision, created, expires_at FROM incoming.entries ORDER BY key;
  DELETE FROM main.changes;
  INSERT INTO main.changes (revision, begin, at_ms, key, value, previous, expires_at)
    SELECT revision, begin, at_ms, key, value, previous, expires_at FROM incoming.changes ORDER BY revision;
  DELETE FROM main.meta;
  INSERT INTO main.meta (name, value) SELECT name, value FROM incoming.meta;
`;

/**
 * Puts what was restored beside in place. Where what is there is damaged, it is kept aside as it is. Calling it again changes nothing.
 * @throws RESTORE_UNFINISHED when nothing is beside; BUSY
 */
export function swapIn(swap: Swap): Kept {
  if (!isThere(swap.file)) return moveIn(swap);
  try {
    return replaceLive(swap);
  } catch (error) {
    if (!isDamagedDatabase(error)) throw error;
    assertFreshIsWhole(swap);
    removeDatabase(swap.beside.aside);
    renameSync(swap.file, swap.beside.aside);
    return moveIn(swap);
  }
}

/** As `Connector.ifGivenUp`. Once the content is in place, or as long as it is beside, going on is possible. */
export function ifGivenUp({ file, beside, id }: Swap): GivenUp | undefined {
  if (isThere(beside.fresh) || isOf(file, id)) return undefined;
  const state = isThere(file) ? `${file} is as it was before the restore` : `nothing is at ${file}`;
  const kept = isThere(beside.aside) ? `; beside it ${basename(beside.aside)} stays` : '';
  return { state: `${state}${kept}`, folder: dirname(file), canGoOn: false };
}

/** Whether a file holds what this restore put there. */
function isOf(file: string, id: string): boolean {
  if (!isThere(file)) return false;
  try {
    using live = openFile(file);
    return originOf(live).restore === id;
  } catch (error) {
    if (isDamagedDatabase(error)) return false;
    throw error;
  }
}

function replaceLive({ file, beside, id }: Swap): Kept {
  using live = openFile(file);
  if (originOf(live).restore === id) {
    removeDatabase(beside.fresh);
    return keptIn(beside);
  }
  if (!isThere(beside.fresh)) throw nothingBeside(file);
  const revision = numberOf(live, HEAD_SQL) + 1;
  replaceContent(live, {
    file,
    incoming: beside.fresh,
    aside: beside.aside,
    sql: TAKE_RESTORED.replaceAll('$revision', String(revision)),
    origin: { restore: id, turn: 0, replaced: true },
  });
  removeDatabase(beside.fresh);
  return keptIn(beside);
}

/**
 * Exchanges what was restored with what was kept aside; see `Connector.undo`.
 * @throws NOTHING_TO_RESUME when no restore of that id has finished there; BUSY
 */
export function undoSwap({ file, beside, id }: Swap, turn: number): Kept {
  if (!isThere(file) || !isThere(beside.aside)) return undoMove({ file, beside, id }, turn);
  using live = openFile(file);
  const origin = originOf(live);
  if (origin.restore !== id) throw nothingToUndo(file);
  if (origin.turn < turn) {
    assertAsideIsWhole(beside);
    replaceContent(live, {
      file,
      incoming: beside.aside,
      aside: beside.nextAside,
      sql: TAKE_ASIDE,
      origin: { restore: id, turn, replaced: true },
    });
  }
  if (isThere(beside.nextAside)) {
    renameSync(beside.nextAside, beside.aside);
    syncFolderOf(file);
  }
  return keptIn(beside);
}

/** Nothing was there: the new file gets the name. */
function moveIn({ file, beside, id }: Swap): Kept {
  if (!isThere(beside.fresh)) throw nothingBeside(file);
  {
    using fresh = openFile(beside.fresh);
    noteOrigin(fresh, { restore: id, turn: 0, replaced: isThere(beside.aside) });
    fresh.exec("UPDATE meta SET value = 1 WHERE name = 'floor'");
    leaveAlone(fresh, beside.fresh);
  }
  syncFile(beside.fresh);
  // A log that is left from a file that is gone would be taken for the new one's.
  for (const suffix of COMPANION_SUFFIXES) {
    if (isThere(`${file}${suffix}`)) renameSync(`${file}${suffix}`, `${beside.aside}${suffix}`);
  }
  renameSync(beside.fresh, file);
  syncFolderOf(file);
  return keptIn(beside);
}

function assertFreshIsWhole({ file, beside }: Swap): void {
  if (!isThere(beside.fresh)) throw nothingBeside(file);
  using fresh = openFile(beside.fresh);
  assertWhole(fresh, beside.fresh);
}

/** What was damaged before the restore can't be brought back by its means, so that no undo begins. @throws NOTHING_TO_RESUME */
function assertAsideIsWhole({ aside }: Beside): void {
  try {
    using database = openFile(aside);
    assertWhole(database, aside);
  } catch (error) {
    if (!isDamagedDatabase(error) && !isTidemarkError(error, 'RESTORE_FAILED')) throw error;
    throw new TidemarkError('NOTHING_TO_RESUME', `what was kept aside as ${aside} is damaged, as it was before`, {
      hint: 'What was restored stays in place. The damaged file can be moved there by hand when nobody has it open.',
      cause: error,
    });
  }
}

/** Where nothing was there before the restore, an odd turn takes the file away and an even one brings it back. */
function undoMove({ file, beside, id }: Swap, turn: number): Kept {
  const wanted = turn % 2 === 1 ? { from: file, to: beside.aside } : { from: beside.aside, to: file };
  const at = [file, beside.aside].find(isThere);
  if (at === undefined) throw nothingToUndo(file);
  {
    using database = openFile(at);
    const { restore, replaced } = originOf(database);
    // Without what it replaced the undo would take away what is there and bring nothing.
    if (restore !== id || replaced) throw nothingToUndo(file);
    if (at === wanted.to) return keptIn(beside);
    leaveAlone(database, at);
  }
  renameSync(wanted.from, wanted.to);
  syncFolderOf(file);
  return keptIn(beside);
}

function replaceContent(
  live: DatabaseSync,
  options: {
    readonly file: string;
    readonly incoming: string;
    readonly aside: string;
    readonly sql: string;
    readonly origin: Origin;
  },
): void {
  const { file, incoming, aside, sql, origin } = options;
  live.prepare('ATTACH ? AS incoming').run(incoming);
  // From here on nobody else writes, so that what is kept aside is what is replaced.
  live.exec('BEGIN IMMEDIATE');
  try {
    removeDatabase(aside);
    {
      using reading = openFile(file);
      reading.prepare('VACUUM INTO ?').run(aside);
    }
    syncFile(aside);
    syncFolderOf(file);
    live.exec(sql);
    noteOrigin(live, origin);
    live.exec('COMMIT');
  } catch (error) {
    if (live.isTransaction) live.exec('ROLLBACK');
    throw error;
  } finally {
    live.exec('DETACH incoming');
  }
}

/** Folds the log into the file, which takes that nobody else has it open. @throws BUSY */
function leaveAlone(database: DatabaseSync, path: string): void {
  const [mode] = Object.values(database.prepare('PRAGMA journal_mode = DELETE').get() ?? {});
  if (mode !== 'delete') throw new TidemarkError('BUSY', `${path} is held by another process`);
}

function originOf(database: DatabaseSync): Origin {
  const rows = database
    .prepare("SELECT name, value FROM main.meta WHERE name IN ('restore', 'turn', 'replaced')")
    .all();
  const values = new Map(rows.map(({ name, value }) => [name, value]));
  const restore = values.get('restore');
  return {
    restore: typeof restore === 'string' ? restore : undefined,
    turn: Number(values.get('turn') ?? 0),
    replaced: values.get('replaced') === 1,
  };
}

function noteOrigin(database: DatabaseSync, { restore = '', turn, replaced }: Origin): void {
  const put = database.prepare(
    'INSERT INTO main.meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
  );
  put.run('restore', restore);
  put.run('turn', turn);
  put.run('replaced', Number(replaced));
}

function openFile(path: string): DatabaseSync {
  return openDatabase({ path, mustExist: true, durable: true, busyTimeoutMs: BUSY_TIMEOUT_MS });
}

function keptIn({ aside }: Beside): Kept {
  return isThere(aside) ? { keptAside: aside } : {};
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function syncFile(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncFolderOf(path: string): void {
  syncFile(dirname(path));
}

function nothingBeside(file: string): TidemarkError {
  return new TidemarkError('RESTORE_UNFINISHED', `nothing is verified beside ${file}`);
}

function nothingToUndo(file: string): TidemarkError {
  return new TidemarkError('NOTHING_TO_RESUME', `no restore has left anything beside ${file}`);
}
