import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Run } from '../core/run.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import { createObjectStore, openObjectStore, repositoryFolder } from './registry.ts';
import type { NewObjectStoreContext } from './registry.ts';

const run: Run = { signal: new AbortController().signal };

test('a path or a file URL names a folder', () => {
  const expected = {
    './backups': '/etc/shop/backups',
    backups: '/etc/shop/backups',
    '../other/': '/etc/other',
    '/srv/backups': '/srv/backups',
    './a:b': '/etc/shop/a:b',
    'with space/ä': '/etc/shop/with space/ä',
    'file:///srv/backups': '/srv/backups',
    'FILE:///srv/backups/': '/srv/backups',
    'file://localhost/srv/a%20b%3Fc': '/srv/a b?c',
    '.': '/etc/shop',
  };
  for (const [url, folder] of Object.entries(expected)) assert.equal(repositoryFolder(url, '/etc/shop'), folder, url);
});

test('what names no folder is a mistake of the configuration', () => {
  const refused = {
    '': /names nothing/,
    ' ': /names nothing/,
    'a\0b': /zero byte/,
    '~/backups': /shell expands/,
    'file:backups': /no absolute path/,
    'file:./backups': /no absolute path/,
    'file://server/share': /no absolute path/,
    'file:///a?b': /must be written/,
    'file:///a%2fb': /is no path/,
    's3://bucket/path': /s3: is not in this version/,
    'S3://bucket': /s3: is not in this version/,
    'swift:container': /swift: is not in this version/,
    'gs://bucket': /gs: is not in this version/,
    'azure://account': /azure: is not in this version/,
    'ftp://host': /ftp: is unknown/,
  };
  for (const [url, message] of Object.entries(refused)) {
    assert.throws(() => repositoryFolder(url, '/etc/shop'), { code: 'CONFIG_INVALID', message }, url);
  }
});

test('a URL that may hold a secret is not repeated', () => {
  assert.throws(
    () => repositoryFolder('s3://id:hunter2@bucket', '/'),
    (error) => error instanceof Error && !error.message.includes('hunter2'),
  );
});

async function scene(): Promise<
  AsyncDisposable & { readonly folder: string; readonly context: NewObjectStoreContext }
> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-registry-'));
  const runtime = {
    clock: createVirtualClock(0),
    random: randomBytes,
    logger: { log: () => undefined },
    temporaryFolder: tmpdir(),
  };
  const context = { runtime, baseFolder: folder, belongs: (name: string) => name === 'config' };
  return { folder, context, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

test('a folder is made for a new repository, but never for one that should be there', async () => {
  await using at = await scene();
  await assert.rejects(openObjectStore('./a/b', at.context, run), { code: 'REPOSITORY_NOT_FOUND' });
  await assert.rejects(stat(join(at.folder, 'a')), { code: 'ENOENT' });
  {
    await using store = await createObjectStore('./a/b', at.context, run);
    assert.equal(store.url, join(at.folder, 'a/b'));
    await store.create('config', [], run);
  }
  assert.equal((await stat(join(at.folder, 'a/b'))).mode & 0o777, 0o700);
  await using again = await openObjectStore(`file://${at.folder}/a/b`, at.context, run);
  assert.ok((await again.stat('config', run)) !== undefined);
});

test('a new repository is made only where nothing else is', async () => {
  await using at = await scene();
  await mkdir(join(at.folder, 'mounted/lost+found'), { recursive: true });
  await mkdir(join(at.folder, 'mounted/.tmp'));
  await writeFile(join(at.folder, 'mounted/config'), '');
  await chmod(join(at.folder, 'mounted'), 0o755);
  await using _store = await createObjectStore('mounted', at.context, run);
  assert.equal((await stat(join(at.folder, 'mounted'))).mode & 0o777, 0o755);
  await mkdir(join(at.folder, 'used'));
  await writeFile(join(at.folder, 'used/photo.jpg'), '');
  const message = /used is not empty: it holds "photo.jpg"/;
  await assert.rejects(createObjectStore('used', at.context, run), { code: 'FOLDER_NOT_EMPTY', message });
  await writeFile(join(at.folder, 'file'), '');
  await assert.rejects(createObjectStore('file', at.context, run), { code: 'FOLDER_NOT_EMPTY' });
});
