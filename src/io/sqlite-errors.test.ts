import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { CORRUPT, isDamagedDatabase, NOT_A_DATABASE, sqliteError } from './sqlite-errors.ts';
import { removeDatabase } from './sqlite-files.ts';

function errorOf(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

function meaning(code: number): unknown {
  return code;
}

test('a file that is no database, and one that is damaged inside, are told as damage, also as a cause', async () => {
  await using folder = temporaryFolder();
  const [other, damaged] = [folder.at('other'), folder.at('damaged')];
  writeFileSync(other, 'This is the content of something else. '.repeat(100));
  const read = (path: string): unknown => {
    using database = new DatabaseSync(path);
    return errorOf(() => database.prepare('SELECT count(*) FROM numbers').get());
  };
  {
    using database = new DatabaseSync(damaged);
    database.exec('CREATE TABLE numbers (value INTEGER); INSERT INTO numbers VALUES (1)');
  }
  assert.equal(read(damaged), undefined);
  const descriptor = openSync(damaged, 'r+');
  writeSync(descriptor, Buffer.alloc(4096, 0xff), 0, 4096, 4096);
  closeSync(descriptor);
  for (const [path, code] of [
    [other, NOT_A_DATABASE],
    [damaged, CORRUPT],
  ] as const) {
    const error = read(path);
    assert.equal(sqliteError(path, error, meaning), code);
    assert.ok(isDamagedDatabase(error));
    assert.ok(isDamagedDatabase(new TidemarkError('POSITION_LOST', 'damaged', { cause: error })));
  }
});

test('a database that another one holds can be tried again, and is not damaged', async () => {
  await using folder = temporaryFolder();
  using holder = new DatabaseSync(folder.at('held'));
  holder.exec('CREATE TABLE numbers (value INTEGER); BEGIN EXCLUSIVE');
  using other = new DatabaseSync(folder.at('held'), { timeout: 0 });
  const error = errorOf(() => other.exec('BEGIN IMMEDIATE'));
  const told = sqliteError('held', error, meaning);
  assert.ok(isTidemarkError(told, 'BUSY') && told.disposition === 'retry');
  assert.ok(!isDamagedDatabase(error));
});

test('errors that are none of SQLite’s stay as they are', () => {
  for (const error of [new Error('other'), new TidemarkError('FAILED', 'ours'), 'text', undefined]) {
    assert.equal(sqliteError('file', error, meaning), error);
    assert.ok(!isDamagedDatabase(error));
  }
});

test('a database is removed with all that lies beside it', async () => {
  await using folder = temporaryFolder();
  const names = ['a', 'a-wal', 'a-shm', 'a-journal'];
  for (const name of names) writeFileSync(folder.at(name), '');
  removeDatabase(folder.at('a'));
  removeDatabase(folder.at('a'));
  assert.ok(!names.some((name) => existsSync(folder.at(name))));
});
