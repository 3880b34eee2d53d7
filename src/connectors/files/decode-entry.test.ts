import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../../core/must.ts';
import type { StoredEntry } from '../../core/restorer.ts';
import { memoryContent, memoryReader } from '../../testing/tree/memory-base.ts';
import { decodeAttributes, encodeAttributes } from './attributes.ts';
import type { Attributes } from './attributes.ts';
import { checkEntry, decodeEntry, standIn } from './decode-entry.ts';

const run = { signal: new AbortController().signal };
const BASICS = { mode: 0o640, uid: 1, gid: 2, mtimeNs: 3n, sizeBytes: 0, xattrs: [] } as const;
const BAD = Buffer.of(1, 9);

function entry(name: string, attributes: Partial<Attributes> & Pick<Attributes, 'type'>, bytes?: number): StoredEntry {
  const content = bytes === undefined ? undefined : memoryContent(Buffer.alloc(bytes));
  return { name: Buffer.from(name), attributes: encodeAttributes({ ...BASICS, ...attributes }), content };
}

function spoilt(name: string): StoredEntry {
  return { name: Buffer.from(name), attributes: BAD };
}

test('what a scan stores can be decoded', () => {
  checkEntry(entry('', { type: 'folder' }));
  checkEntry(entry('a\0b', { type: 'file', sizeBytes: 7 }, 7));
  checkEntry(entry('grown', { type: 'file', sizeBytes: 7 }, 9));
  checkEntry(entry('hole', { type: 'file', sizeBytes: 7, extents: [] }));
  checkEntry(entry('holes', { type: 'file', sizeBytes: 90, extents: [{ offset: 40, sizeBytes: 9 }] }, 9));
});

test('what a restore could make nothing of, or nothing good, can’t be decoded', () => {
  const extents = [
    { offset: 0, sizeBytes: 10 },
    { offset: 40, sizeBytes: 9 },
  ];
  const sparse = { type: 'file', sizeBytes: 90, extents } as const;
  for (const [stored, expected] of [
    [spoilt('a'), /the stored attributes of an entry are not valid: type$/],
    [{ ...spoilt('a'), attributes: Buffer.of(7) }, /version 7 are not known here/],
    [entry('a', sparse, 18), /has 18 bytes, its runs of data 19$/],
    [entry('a', sparse, 20), /has 20 bytes, its runs of data 19$/],
    [entry('a', sparse), /has 0 bytes, its runs of data 19$/],
    [entry('', { type: 'file' }), /does not begin with the folder itself/],
    [entry('a\0..', { type: 'file' }), /no place inside the folder/],
    [entry('a\0b/c', { type: 'file' }), /no place inside the folder/],
  ] as const) {
    assert.throws(() => checkEntry(stored), expected);
  }
});

test('whoever restores is told which entry can’t be decoded', () => {
  const isNamed = { code: 'REPOSITORY_DAMAGED', message: /^a\/b: the stored attributes of an entry are not valid/ };
  assert.throws(() => decodeEntry(spoilt('a\0b')), isNamed);
  assert.throws(() => decodeEntry(spoilt('')), { message: /^\.: / });
});

test('a closed folder of the owner of what lies in it stands in for what must have been a folder', async () => {
  const inner = entry('a\0c', { type: 'file', uid: 7, gid: 8, mtimeNs: 9n });
  const all = [spoilt(''), spoilt('a'), spoilt('a\0b'), inner, entry('a-', { type: 'file' }), spoilt('file')];
  const base = memoryReader(all);
  const instead = must(await standIn(base, Buffer.from('a'), run), 'something in its place');
  assert.equal(Buffer.from(instead.name).toString(), 'a');
  const { type, mode, uid, gid, mtimeNs } = decodeAttributes(instead.attributes);
  assert.deepEqual({ type, mode, uid, gid, mtimeNs }, { type: 'folder', mode: 0o700, uid: 7, gid: 8, mtimeNs: 9n });
  assert.equal(await standIn(base, Buffer.from('file'), run), undefined);
});

test('the folder itself is always there', async () => {
  const alone = memoryReader([spoilt('')]);
  const instead = must(await standIn(alone, Buffer.of(), run), 'something in its place');
  assert.equal(decodeAttributes(instead.attributes).type, 'folder');
});
