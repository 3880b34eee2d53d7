import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../core/errors.ts';
import { memoryContent, memoryReader } from '../../testing/tree/memory-base.ts';
import { encodeAttributes } from './attributes.ts';
import { compareEntries, entryMatcher, entryName, listEntries } from './list.ts';

const run = { signal: new AbortController().signal };
const FOLDERS = ['base', 'base/5', 'pg_wal'];
const FILES = ['PG_VERSION', 'base.txt', 'base/5/1', 'base/5/2', 'base/5/2_fsm', 'global/pg_control'];

function entry(path: string, mode = 0o600) {
  const type = FOLDERS.includes(path) ? ('folder' as const) : ('file' as const);
  const attributes = encodeAttributes({ type, mode, sizeBytes: 3, mtimeS: 7 });
  const name = Buffer.from(path);
  return type === 'folder' ? { name, attributes } : { name, attributes, content: memoryContent(Buffer.from('abc')) };
}

const base = memoryReader([...FOLDERS, ...FILES].sort().map((path) => entry(path)));

async function list(path: string, recursive = false): Promise<string[]> {
  const batches = await Array.fromAsync(listEntries(base, Buffer.from(path), { recursive }, run));
  return batches.flat().map(({ name }) => Buffer.from(name).toString());
}

test('a data directory is listed by folder', async () => {
  assert.deepEqual(await list('/'), ['PG_VERSION', 'base', 'base.txt', 'pg_wal']);
  assert.deepEqual(await list('base/'), ['base/5']);
  assert.deepEqual(await list('base/5'), ['base/5/1', 'base/5/2', 'base/5/2_fsm']);
  assert.deepEqual(await list('PG_VERSION'), ['PG_VERSION']);
  assert.deepEqual(await list('pg_wal'), []);
  assert.deepEqual(await list('global'), ['global/pg_control']);
  assert.equal((await list('', true)).length, FOLDERS.length + FILES.length);
  await assert.rejects(list('nothing'), (error) => isTidemarkError(error, 'ENTRY_NOT_FOUND'));
});

test('a pattern means files, and folders with all that they hold', () => {
  const matches = entryMatcher(['/base/5', '*.txt']);
  const meant = [...FOLDERS, ...FILES].filter((path) =>
    matches({ name: Buffer.from(path), type: FOLDERS.includes(path) ? 'folder' : 'file', sizeBytes: 0 }),
  );
  assert.deepEqual(meant, ['base/5', 'base.txt']);
});

test('only content and permissions make a difference', () => {
  const one = entry('PG_VERSION');
  assert.equal(compareEntries(one, one, true), 'none');
  assert.equal(compareEntries(one, entry('PG_VERSION', 0o640), true), 'attributes');
  assert.equal(compareEntries(one, one, false), 'content');
  assert.equal(Buffer.from(entryName(Buffer.from('/base//5/'))).toString(), 'base/5');
});
