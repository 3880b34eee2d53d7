import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Folders } from './folders.ts';

type Flush = { readonly path: string; readonly done: PromiseWithResolvers<string> };

/** Flushes that end when the test says so. */
function heldFlushes(): { readonly folders: Folders; readonly flushes: Flush[] } {
  const flushes: Flush[] = [];
  const folders = new Folders('/r', (path) => {
    const done = Promise.withResolvers<string>();
    flushes.push({ path, done });
    return done.promise;
  });
  return { folders, flushes };
}

/** Flushes that end at once, and what was flushed. */
function quickFlushes(identityOf: (path: string) => string): { readonly folders: Folders; readonly flushed: string[] } {
  const flushed: string[] = [];
  const folders = new Folders('/r', async (path) => {
    flushed.push(path);
    return identityOf(path);
  });
  return { folders, flushed };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('the way to a folder is flushed once, and again when another folder took its place', async () => {
  let generation = 1;
  const { folders, flushed } = quickFlushes((path) => `${path} ${path === '/r/a/b' ? generation : 0}`);
  await folders.settle('/r/a/b');
  assert.deepEqual(flushed.splice(0), ['/r/a/b', '/r/a', '/r']);
  await folders.settle('/r/a/b');
  assert.deepEqual(flushed.splice(0), ['/r/a/b']);
  await folders.settle('/r/a/c');
  assert.deepEqual(flushed.splice(0), ['/r/a/c', '/r/a']);
  generation = 2;
  await folders.settle('/r/a/b');
  assert.deepEqual(flushed.splice(0), ['/r/a/b', '/r/a']);
  await folders.settle('/r');
  assert.deepEqual(flushed.splice(0), ['/r']);
});

test('who comes while a flush runs waits for the next one, which all of them share', async () => {
  const { folders, flushes } = heldFlushes();
  const ended: string[] = [];
  const settle = async (name: string): Promise<void> => {
    await folders.settle('/r');
    ended.push(name);
  };
  const calls = [settle('first'), settle('second'), settle('third')];
  await turn();
  assert.equal(flushes.length, 1);
  flushes[0]?.done.resolve('r');
  await turn();
  assert.deepEqual(ended, ['first']);
  assert.equal(flushes.length, 2, 'begun after the second and third came');
  calls.push(settle('fourth'));
  flushes[1]?.done.resolve('r');
  await turn();
  assert.deepEqual(ended, ['first', 'second', 'third']);
  flushes[2]?.done.resolve('r');
  await Promise.all(calls);
  assert.equal(flushes.length, 3);
});

test('a failed flush is told to whoever waited for it, and the next one is tried', async () => {
  const { folders, flushes } = heldFlushes();
  const failure = new Error('EIO');
  const calls = [folders.settle('/r'), folders.settle('/r'), folders.settle('/r')];
  const results = Promise.allSettled(calls);
  await turn();
  flushes[0]?.done.reject(failure);
  await turn();
  flushes[1]?.done.resolve('r');
  const [first, second, third] = await results;
  assert.deepEqual([first?.status, second?.status, third?.status], ['rejected', 'fulfilled', 'fulfilled']);
  assert.deepEqual(flushes.length, 2);
});

test('what is not durable is not remembered as such', async () => {
  let fails = true;
  const { folders, flushed } = quickFlushes((path) => {
    if (path === '/r' && fails) throw new Error('EIO');
    return path;
  });
  await assert.rejects(folders.settle('/r/a'), /EIO/);
  fails = false;
  flushed.length = 0;
  await folders.settle('/r/a');
  assert.deepEqual(flushed, ['/r/a', '/r']);
});

test('folders are made up to the root, which is never made', async () => {
  const root = await mkdtemp(join(tmpdir(), 'tidemark-folders-'));
  try {
    const folders = new Folders(root);
    const deep = [join(root, 'a/b/c'), join(root, 'a/b/d'), join(root, 'a')];
    await Promise.all(deep.map((path) => folders.make(path)));
    assert.deepEqual((await readdir(root, { recursive: true })).sort(), ['a', 'a/b', 'a/b/c', 'a/b/d']);
    await folders.settle(join(root, 'a/b/c'));
    await assert.rejects(folders.settle(join(root, 'nothing')), { code: 'ENOENT' });
    await writeFile(join(root, 'file'), '');
    await assert.rejects(folders.make(join(root, 'file/below')), { code: 'ENOTDIR' });
    const gone = new Folders(join(root, 'gone'));
    await assert.rejects(gone.make(join(root, 'gone/a')), { code: 'ENOENT' });
    await gone.make(join(root, 'gone'));
    assert.deepEqual((await readdir(root)).sort(), ['a', 'file']);
  } finally {
    await rm(root, { recursive: true });
  }
});
