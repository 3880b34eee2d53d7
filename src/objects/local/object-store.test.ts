import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  link,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Run, Runtime } from '../../core/run.ts';
import { createVirtualClock } from '../../flow/virtual-clock.ts';
import type { VirtualClock } from '../../flow/virtual-clock.ts';
import { registerObjectStoreSuite } from '../../testing/object-store-suite.ts';
import type { ObjectStoreFixture } from '../../testing/object-store-suite.ts';
import type { ObjectStore } from '../object-store.ts';
import { openLocalObjectStore } from './object-store.ts';

const run: Run = { signal: new AbortController().signal };
const isRoot = process.getuid?.() === 0;

type Scene = AsyncDisposable & {
  readonly folder: string;
  readonly clock: VirtualClock;
  readonly warnings: readonly string[];
  readonly store: ObjectStore;
  openAgain(): Promise<ObjectStore>;
};

async function openScene(parent = tmpdir()): Promise<Scene> {
  const folder = await mkdtemp(join(parent, 'tidemark-local-'));
  const clock = createVirtualClock(0);
  const warnings: string[] = [];
  const logger = { log: (_: string, message: string) => void warnings.push(message) };
  const runtime: Runtime = { clock, random: randomBytes, logger, temporaryFolder: tmpdir() };
  const openAgain = (): Promise<ObjectStore> => openLocalObjectStore({ folder, runtime }, run);
  const store = await openAgain();
  const dispose = async (): Promise<void> => {
    await store[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  };
  return { folder, clock, warnings, store, openAgain, [Symbol.asyncDispose]: dispose };
}

// In memory where there is such a place: on a real disk the suite runs under test/, where it may take its time.
const quickPlace = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

registerObjectStoreSuite({
  name: 'local',
  open: (): Promise<ObjectStoreFixture> => openScene(quickPlace),
  capabilities: { exclusiveCreate: true, provesDigest: false, listsAtOnce: true },
});

function body(text: string): Uint8Array[] {
  return [Buffer.from(text)];
}

async function readText(store: ObjectStore, key: string): Promise<string> {
  const into = new Uint8Array(100);
  return Buffer.from(into.subarray(0, await store.read(key, 0, into, run))).toString();
}

async function listKeys(store: ObjectStore, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  for await (const batch of store.list(prefix, '', run)) keys.push(...batch.map((info) => info.key));
  return keys;
}

test('an object is a file of its key, which only its owner may read, and nothing else is left', async () => {
  await using scene = await openScene();
  await scene.store.create('a/b/c.d', body('x'), run);
  assert.equal((await stat(join(scene.folder, 'a/b/c.d'))).mode & 0o777, 0o400);
  assert.equal((await stat(join(scene.folder, 'a/b/c.d'))).nlink, 1);
  for (const name of ['a', 'a/b', '.tmp']) assert.equal((await stat(join(scene.folder, name))).mode & 0o777, 0o700);
  await assert.rejects(scene.store.create('a/b/c.d', body('y'), run), { code: 'OBJECT_EXISTS' });
  assert.deepEqual((await readdir(scene.folder, { recursive: true })).sort(), ['.tmp', 'a', 'a/b', 'a/b/c.d']);
});

test('a folder goes with its last object, the root stays', async () => {
  await using scene = await openScene();
  for (const key of ['a/b/c', 'a/b/d', 'a/e/f', 'g/h']) await scene.store.create(key, [], run);
  await scene.store.delete(['a/b/c', 'a/e/f', 'g/h'], run);
  assert.deepEqual((await readdir(scene.folder, { recursive: true })).sort(), ['.tmp', 'a', 'a/b', 'a/b/d']);
  await scene.store.delete(['a/b/d'], run);
  assert.deepEqual(await readdir(scene.folder), ['.tmp']);
});

test('what is no object is not listed', async () => {
  await using scene = await openScene();
  await scene.store.create('a/b', [], run);
  await mkdir(join(scene.folder, 'lost+found'));
  await mkdir(join(scene.folder, 'empty'));
  await writeFile(join(scene.folder, 'README'), '');
  await writeFile(join(scene.folder, '.hidden'), '');
  await writeFile(Buffer.concat([Buffer.from(`${scene.folder}/a/`), Buffer.of(0xff, 0x62)]), '');
  await symlink('b', join(scene.folder, 'a/link'));
  assert.deepEqual(await listKeys(scene.store), ['a/b']);
});

test('a link or a folder in the place of an object is no object, be it to one', async () => {
  await using scene = await openScene();
  await scene.store.create('a/b', body('x'), run);
  await symlink('b', join(scene.folder, 'a/link'));
  for (const key of ['a', 'a/link']) {
    assert.equal(await scene.store.stat(key, run), undefined, key);
    await assert.rejects(readText(scene.store, key), { code: 'OBJECT_NOT_FOUND' }, key);
  }
});

test('the folder of a repository may be a link', async () => {
  await using scene = await openScene();
  await scene.store.create('a/b', body('x'), run);
  const folder = `${scene.folder}-link`;
  await symlink(scene.folder, folder);
  try {
    const runtime = { clock: scene.clock, random: randomBytes, logger: { log: () => undefined }, temporaryFolder: '' };
    await using store = await openLocalObjectStore({ folder, runtime }, run);
    await store.create('a/c', body('y'), run);
    assert.deepEqual([await readText(store, 'a/b'), await readText(store, 'a/c')], ['x', 'y']);
    assert.deepEqual(await listKeys(store), ['a/b', 'a/c']);
  } finally {
    await rm(folder);
  }
});

test('where something else is in the place of a key, a create says so', async () => {
  await using scene = await openScene();
  await scene.store.create('a/b', body('kept'), run);
  await assert.rejects(scene.store.create('a', [], run), { code: 'REPOSITORY_DAMAGED' });
  await assert.rejects(scene.store.create('a/b/c', [], run), { code: 'REPOSITORY_DAMAGED' });
  await assert.rejects(scene.store.create('a/b/c/d', [], run), { code: 'REPOSITORY_DAMAGED' });
  await symlink('nowhere', join(scene.folder, 'link'));
  await assert.rejects(scene.store.create('link', [], run), { code: 'REPOSITORY_DAMAGED' });
  assert.equal(await readText(scene.store, 'a/b'), 'kept');
});

test('drafts of dead processes are removed after an hour, younger and own ones are not', async () => {
  await using scene = await openScene();
  await scene.store.create('a', [], run);
  const [old, young] = [join(scene.folder, '.tmp', 'old-1'), join(scene.folder, '.tmp', 'young-1')];
  await writeFile(old, 'half an object');
  await writeFile(young, 'half an object');
  // One that was published and then left over: the object stays.
  await link(join(scene.folder, 'a'), join(scene.folder, '.tmp', 'old-2'));
  const longAgo = (await scene.store.nowMs(run)) / 1000 - 3700;
  for (const path of [old, join(scene.folder, 'a')]) await utimes(path, longAgo, longAgo);
  await scene.store.create('b', [], run);
  assert.equal((await readdir(join(scene.folder, '.tmp'))).length, 3, 'looked for at most once an hour');
  await scene.clock.advance(3_600_000);
  await scene.store.create('c', [], run);
  assert.deepEqual(await readdir(join(scene.folder, '.tmp')), ['young-1']);
  await using other = await scene.openAgain();
  await utimes(young, longAgo, longAgo);
  await other.create('d', [], run);
  assert.deepEqual(await readdir(join(scene.folder, '.tmp')), [], 'a new process looks at once');
  assert.deepEqual(await listKeys(scene.store), ['a', 'b', 'c', 'd']);
});

test('a create whose draft is taken for a left-over begins again', async () => {
  await using scene = await openScene();
  await scene.store.create('first', [], run);
  let removed = 0;
  const parts = Array.from({ length: 40 }, () => new Uint8Array(1 << 20));
  const creating = scene.store.create('slow', parts, run);
  let ended = false;
  const end = creating.finally(() => {
    ended = true;
  });
  while (!ended && removed === 0) {
    for (const name of await readdir(join(scene.folder, '.tmp'))) {
      await rm(join(scene.folder, '.tmp', name), { force: true });
      removed += 1;
    }
  }
  await end;
  assert.equal(removed, 1);
  assert.equal((await scene.store.stat('slow', run))?.sizeBytes, 40 << 20);
});

test('reads keep a file open for a second, and then notice what happened to its name', async () => {
  await using scene = await openScene();
  await scene.store.create('a', body('before'), run);
  assert.equal(await readText(scene.store, 'a'), 'before');
  await rename(join(scene.folder, 'a'), join(scene.folder, 'b'));
  assert.equal(await readText(scene.store, 'a'), 'before', 'from the open file');
  await scene.clock.advance(1001);
  await assert.rejects(readText(scene.store, 'a'), { code: 'OBJECT_NOT_FOUND' });
  assert.equal(await readText(scene.store, 'b'), 'before');
});

async function openFilesBelow(folder: string): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const targets = await Promise.allSettled(names.map((name) => readlink(join('/proc/self/fd', name))));
  return targets.filter((target) => target.status === 'fulfilled' && target.value.startsWith(`${folder}/`)).length;
}

test('no more than 64 files stay open, and none after dispose', { skip: process.platform !== 'linux' }, async () => {
  await using scene = await openScene();
  const keys = Array.from({ length: 80 }, (_, index) => `many/${index}`);
  for (const key of keys) await scene.store.create(key, body(key), run);
  await Promise.all(keys.map(async (key) => assert.equal(await readText(scene.store, key), key)));
  assert.equal(await openFilesBelow(scene.folder), 64);
  await scene.store.delete(keys.slice(60), run);
  assert.equal(await openFilesBelow(scene.folder), 60 - 16);
  await scene.clock.advance(1001);
  await scene.store.create('later', [], run);
  assert.equal(await openFilesBelow(scene.folder), 0, 'a deleted file gives its space back');
  await readText(scene.store, 'later');
  await scene.store[Symbol.asyncDispose]();
  assert.equal(await openFilesBelow(scene.folder), 0);
});

test('a folder that is absent, or a file, is no repository', async () => {
  await using scene = await openScene();
  const runtime = {
    clock: scene.clock,
    random: randomBytes,
    logger: { log: () => undefined },
    temporaryFolder: tmpdir(),
  };
  await writeFile(join(scene.folder, 'FILE'), '');
  for (const name of ['absent', 'FILE', 'FILE/below']) {
    const opening = openLocalObjectStore({ folder: join(scene.folder, name), runtime }, run);
    await assert.rejects(opening, { code: 'REPOSITORY_NOT_FOUND' });
  }
});

test('a folder that went away is not an empty one', async () => {
  await using scene = await openScene();
  await scene.store.create('a/b', body('x'), run);
  const away = `${scene.folder}-away`;
  const calls = {
    create: () => scene.store.create('c', [], run),
    read: () => readText(scene.store, 'c'),
    stat: () => scene.store.stat('a/b', run),
    list: () => listKeys(scene.store),
    delete: () => scene.store.delete(['a/b'], run),
    nowMs: () => scene.store.nowMs(run),
  };
  const allAreUnreachable = async (): Promise<void> => {
    for (const [name, call] of Object.entries(calls)) {
      await assert.rejects(call(), { code: 'REPOSITORY_UNREACHABLE' }, name);
    }
  };
  await rename(scene.folder, away);
  try {
    await allAreUnreachable();
    // What is left where a disk was mounted.
    await mkdir(scene.folder);
    await allAreUnreachable();
    assert.deepEqual(await readdir(scene.folder), []);
    await rm(scene.folder, { recursive: true });
  } finally {
    await rename(away, scene.folder);
  }
  assert.equal(await readText(scene.store, 'a/b'), 'x');
});

test('an unwritable folder is one clear error', { skip: isRoot && 'root may write everywhere' }, async () => {
  await using scene = await openScene();
  await scene.store.create('a/b', [], run);
  await chmod(join(scene.folder, 'a'), 0o500);
  const path = join(scene.folder, 'a/c');
  const expected = {
    code: 'REPOSITORY_UNREACHABLE',
    disposition: 'stop',
    message: `can't create ${path}: permission denied`,
  };
  await assert.rejects(scene.store.create('a/c', [], run), expected);
  await chmod(join(scene.folder, 'a'), 0o700);
  assert.deepEqual(await readdir(join(scene.folder, '.tmp')), []);
});

test('no call is possible after dispose', async (t: TestContext) => {
  await using scene = await openScene();
  await scene.store[Symbol.asyncDispose]();
  await assert.rejects(scene.store.stat('a', { signal: t.signal }), { name: 'BugError' });
});
