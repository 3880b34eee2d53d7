import assert from 'node:assert/strict';
import { test } from 'node:test';
import { undecodable } from '../../core/entry-check.ts';
import type { StoredEntry } from '../../core/restorer.ts';
import { memoryContent, memoryReader } from '../../testing/tree/memory-base.ts';
import { encodeAttributes } from './attributes.ts';
import { checkContents } from './check-contents.ts';
import { checkEntry } from './data-directory.ts';

const run = { signal: new AbortController().signal };
const DUMP =
  '--\n-- PostgreSQL database cluster dump\n--\n\nSELECT 1;\n\n-- PostgreSQL database cluster dump complete\n';

function file(path: string, content: string | Uint8Array): StoredEntry {
  const attributes = encodeAttributes({ type: 'file', mode: 0o600, sizeBytes: 3, mtimeS: 7 });
  return { name: Buffer.from(path, 'latin1'), attributes, content: memoryContent(Buffer.from(content)) };
}

/** `global/pg_control` of a server with pages of 8 KiB and files of 16 MiB. */
function controlFile(): Buffer {
  const bytes = Buffer.alloc(8192);
  bytes.writeDoubleLE(1234567, 240);
  bytes.writeUInt32LE(8192, 256);
  bytes.writeUInt32LE(1 << 24, 260);
  return bytes;
}

const LABEL = 'START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nSTART TIMELINE: 1\n';
const FILES = new Map<string, string | Uint8Array>([
  ['PG_VERSION', '16\n'],
  ['backup_label', LABEL],
  ['dump.sql', 'a file of the operator'],
  ['global/pg_control', controlFile()],
  ['tidemark/server.json', '{"collations":["libc 2.36"]}'],
]);

function dataDirectory(changed: Readonly<Record<string, string>> = {}): StoredEntry[] {
  return [...FILES].map(([path, content]) => file(path, changed[path] ?? content));
}

test('files of a data directory can be decoded, whatever bytes are in their names', () => {
  for (const name of ['PG_VERSION', 'base/5/1', 'caf\xe9']) {
    assert.equal(undecodable(checkEntry, file(name, '')), undefined, name);
  }
});

test('a name that leads out of the data directory, and attributes that are none, can’t be decoded', () => {
  assert.equal(undecodable(checkEntry, file('base/../../x', ''))?.code, 'PATH_ESCAPES');
  const attributes = Buffer.from('["f",384]');
  assert.equal(undecodable(checkEntry, { ...file('x', ''), attributes })?.code, 'REPOSITORY_DAMAGED');
});

test('what says how a data directory is recovered is looked into', async () => {
  await checkContents(memoryReader(dataDirectory()), run);
  for (const [path, content] of [
    ['PG_VERSION', 'sixteen'],
    ['backup_label', 'START TIMELINE: 1\n'],
    ['global/pg_control', 'nothing'],
    ['tidemark/server.json', '{'],
  ] as const) {
    const base = memoryReader(dataDirectory({ [path]: content }));
    await assert.rejects(checkContents(base, run), { code: 'REPOSITORY_DAMAGED' }, path);
  }
});

test('plain SQL is gone through to its end', async () => {
  await checkContents(memoryReader([file('dump.sql', DUMP)]), run);
  for (const content of [DUMP.slice(0, -20), 'SELECT 1;\n'.repeat(100), '']) {
    const base = memoryReader([file('dump.sql', content)]);
    await assert.rejects(checkContents(base, run), { code: 'REPOSITORY_DAMAGED' });
  }
});
