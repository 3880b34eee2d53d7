import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { walkKeys } from './walk.ts';
import type { FolderEntry, ReadFolder, WalkRange } from './walk.ts';

/** A tree of files that have these keys, and what of it was read. */
function treeOf(keys: readonly string[]): { readonly readFolder: ReadFolder; readonly read: string[] } {
  const read: string[] = [];
  const readFolder = (folder: string): readonly FolderEntry[] => {
    read.push(folder);
    const below = keys.filter((key) => key.startsWith(folder)).map((key) => key.slice(folder.length));
    const names = new Set(below.map((rest) => rest.replace(/\/.*/, '/')));
    return [...names].map((name) => ({ name: name.replace('/', ''), isFolder: name.endsWith('/') }));
  };
  return { readFolder, read };
}

function walk(readFolder: ReadFolder, range: WalkRange): readonly string[] {
  const keys: string[] = [];
  for (const found of walkKeys(readFolder, range)) keys.push(...found);
  return keys;
}

test('any tree is walked in the order of whole keys, whatever the range', () => {
  const part = fc.stringMatching(/^[ab0][ab0.-]{0,2}$/);
  const key = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const keysOf = fc
    .uniqueArray(key, { maxLength: 40 })
    .map((keys) => keys.filter((one) => !keys.some((other) => other.startsWith(`${one}/`))));
  const cut = fc.tuple(key, fc.nat(8)).map(([text, length]) => text.slice(0, length));
  fc.assert(
    fc.property(keysOf, cut, cut, (keys, prefix, after) => {
      const expected = keys.filter((one) => one.startsWith(prefix) && one > after);
      expected.sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
      assert.deepEqual(walk(treeOf(keys).readFolder, { prefix, after }), expected);
    }),
    { numRuns: 500 },
  );
});

test('only folders that can hold a key of the range are read', () => {
  const keys = ['a/1/x', 'a/2/x', 'a/2-/x', 'a/3/x', 'b/x', 'c'];
  const readFor = (range: Partial<WalkRange>): readonly string[] => {
    const { readFolder, read } = treeOf(keys);
    walk(readFolder, { prefix: '', after: '', ...range });
    return read;
  };
  assert.deepEqual(readFor({ prefix: 'a/2' }), ['a/', 'a/2-/', 'a/2/']);
  assert.deepEqual(readFor({ prefix: 'a/2/' }), ['a/2/']);
  assert.deepEqual(readFor({ prefix: 'a/', after: 'a/2/w' }), ['a/', 'a/2/', 'a/3/']);
  assert.deepEqual(readFor({ after: 'a/3/x' }), ['', 'a/', 'a/3/', 'b/']);
  assert.deepEqual(readFor({ after: 'b' }), ['', 'b/']);
  assert.deepEqual(readFor({ prefix: 'd' }), ['']);
});

test('names that are no parts of keys are passed over', () => {
  const names = ['.tmp', '.', '..', 'A', 'ok', 'lost+found', '-', '\ufffd', 'x'.repeat(129)];
  const readFolder = (folder: string): readonly FolderEntry[] =>
    folder === '' ? names.map((name) => ({ name, isFolder: name !== 'ok' })) : [];
  assert.deepEqual(walk(readFolder, { prefix: '', after: '' }), ['ok']);
});
