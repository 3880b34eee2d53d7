import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { walkKeys } from './walk.ts';
import type { FolderEntry, ReadFolder, WalkRange } from './walk.ts';

/** A tree of files that have these keys, and what of it was read. */
function treeOf(keys: readonly string[]): { readonly readFolder: ReadFolder; readonly read: string[] } {
  const read: string[] = [];
  const readFolder = async (folder: string): Promise<readonly FolderEntry[]> => {
    read.push(folder);
    const below = keys.filter((key) => key.startsWith(folder)).map((key) => key.slice(folder.length));
    const names = new Set(below.map((rest) => rest.replace(/\/.*/, '/')));
    return [...names].map((name) => ({ name: name.replace('/', ''), isFolder: name.endsWith('/') }));
  };
  return { readFolder, read };
}

async function walk(readFolder: ReadFolder, range: WalkRange): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const found of walkKeys(readFolder, range)) keys.push(...found);
  return keys;
}

test('any tree is walked in the order of whole keys, whatever the range', async () => {
  const part = fc.stringMatching(/^[ab0][ab0.-]{0,2}$/);
  const key = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const keysOf = fc
    .uniqueArray(key, { maxLength: 40 })
    .map((keys) => keys.filter((one) => !keys.some((other) => other.startsWith(`${one}/`))));
  const cut = fc.tuple(key, fc.nat(8)).map(([text, length]) => text.slice(0, length));
  await fc.assert(
    fc.asyncProperty(keysOf, cut, cut, async (keys, prefix, after) => {
      const expected = keys.filter((one) => one.startsWith(prefix) && one > after);
      expected.sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
      assert.deepEqual(await walk(treeOf(keys).readFolder, { prefix, after }), expected);
    }),
    { numRuns: 500 },
  );
});

test('only folders that can hold a key of the range are read', async () => {
  const keys = ['a/1/x', 'a/2/x', 'a/2-/x', 'a/3/x', 'b/x', 'c'];
  const readFor = async (range: Partial<WalkRange>): Promise<readonly string[]> => {
    const { readFolder, read } = treeOf(keys);
    await walk(readFolder, { prefix: '', after: '', ...range });
    return read;
  };
  assert.deepEqual(await readFor({ prefix: 'a/2' }), ['a/', 'a/2-/', 'a/2/']);
  assert.deepEqual(await readFor({ prefix: 'a/2/' }), ['a/2/']);
  assert.deepEqual(await readFor({ prefix: 'a/', after: 'a/2/w' }), ['a/', 'a/2/', 'a/3/']);
  assert.deepEqual(await readFor({ after: 'a/3/x' }), ['', 'a/', 'a/3/', 'b/']);
  assert.deepEqual(await readFor({ after: 'b' }), ['', 'b/']);
  assert.deepEqual(await readFor({ prefix: 'd' }), ['']);
});

test('names that are no parts of keys are passed over', async () => {
  const names = ['.tmp', '.', '..', 'A', 'ok', 'lost+found', '-', '\ufffd', 'x'.repeat(129)];
  const readFolder = async (folder: string): Promise<readonly FolderEntry[]> =>
    folder === '' ? names.map((name) => ({ name, isFolder: name !== 'ok' })) : [];
  assert.deepEqual(await walk(readFolder, { prefix: '', after: '' }), ['ok']);
});
