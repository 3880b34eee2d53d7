import assert from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { createSeededRandom } from '../../flow/random.ts';
import { setTimes } from '../../io/native-time.ts';
import { writeXattr } from '../../io/native-xattr.ts';
import { compareSnapshots, compareTrees } from './compare.ts';
import { editTree } from './edit.ts';
import { writeSparse } from './file-writer.ts';
import { generateTree } from './generate.ts';
import { snapshotTree } from './snapshot.ts';
import { temporaryFolder } from './temporary-folder.ts';
import type { TemporaryFolder } from './temporary-folder.ts';

test('the same seed makes the same tree, another seed another', async () => {
  await using folder = temporaryFolder();
  for (const [name, seed] of [
    ['a', 1],
    ['b', 1],
    ['c', 2],
  ] as const) {
    await generateTree(folder.at(name), { seed, size: 60 });
  }
  assert.deepEqual(compareTrees(folder.at('a'), folder.at('b')), []);
  assert.ok(compareTrees(folder.at('a'), folder.at('c')).length > 50);
});

test('a generated tree has every kind of thing that a backup may meet', async () => {
  await using folder = temporaryFolder();
  await generateTree(folder.at('tree'), { seed: 3, size: 10 });
  const snapshot = snapshotTree(folder.at('tree'));
  const entries = [...snapshot];
  const has = (what: string, found: (path: string, entry: (typeof entries)[number][1]) => boolean): void =>
    assert.ok(
      entries.some(([path, entry]) => found(path, entry)),
      what,
    );
  has('socket', (_, { type }) => type === 'socket');
  has('fifo', (_, { type }) => type === 'fifo');
  has('set-user-id', (_, { mode }) => mode === '4755');
  has('sticky folder', (_, { type, mode }) => type === 'folder' && mode === '1777');
  has(
    'hard link across folders',
    (path, { sameAs }) => sameAs !== undefined && sameAs.slice(0, 20) !== path.slice(0, 20),
  );
  has('one single hole', (_, { data, sizeBytes }) => data === '' && sizeBytes > 0);
  has('leading hole', (_, { data }) => data !== undefined && /^[1-9]/.test(data));
  has('ACL', (_, { xattrs }) =>
    xattrs.some((xattr) => xattr.startsWith(Buffer.from('system.posix_acl_access').toString('hex'))),
  );
  has('time before 1970', (_, { mtimeNs }) => mtimeNs < 0n);
  has('nanoseconds', (_, { mtimeNs }) => mtimeNs % 1000n !== 0n);
  has('name of 255 bytes', (path) => path.endsWith(`2f${'fe'.repeat(255)}`));
  has('line break', (path) => path.includes(Buffer.from('line\nbreak').toString('hex')));
  has('path near PATH_MAX', (path) => path.length / 2 > 3_800);
  has('depth', (path) => path.split('2f64').length > 90);
  has(
    'empty folder',
    (path, { type }) => type === 'folder' && !entries.some(([other]) => other.startsWith(`${path}2f`)),
  );
});

const changes: readonly (readonly [what: string, change: (folder: TemporaryFolder) => void])[] = [
  ['content', (folder) => changeKeepingTime(folder.at('b/file'), () => writeFileSync(folder.at('b/file'), 'TEXT'))],
  ['sizeBytes', (folder) => truncateSync(folder.at('b/file'), 3)],
  ['mode', (folder) => chmodSync(folder.at('b/file'), 0o4644)],
  ['mtimeNs', (folder) => setTimes(Buffer.from(folder.at('b/folder')), { mtimeNs: 1_000_000_000n })],
  ['xattrs', (folder) => writeXattr(Buffer.from(folder.at('b/file')), Buffer.from('user.new'), Buffer.from('x'))],
  ['missing', (folder) => unlinkSync(folder.at('b/link'))],
  ['extra', (folder) => mkdirSync(folder.at('b/new'))],
  [
    'type',
    (folder) => {
      rmSync(folder.at('b/folder'), { recursive: true });
      writeFileSync(folder.at('b/folder'), '');
    },
  ],
  [
    'content',
    (folder) => {
      unlinkSync(folder.at('b/link'));
      symlinkSync('there', folder.at('b/link'));
    },
  ],
  [
    'sameAs',
    (folder) => {
      unlinkSync(folder.at('b/same'));
      writeFileSync(folder.at('b/same'), 'text');
    },
  ],
  [
    'data',
    (folder) =>
      changeKeepingTime(folder.at('b/sparse'), () => writeFileSync(folder.at('b/sparse'), Buffer.alloc(1 << 20))),
  ],
];

function changeKeepingTime(path: string, change: () => void): void {
  const { mtimeNs } = statSync(path, { bigint: true });
  change();
  setTimes(Buffer.from(path), { mtimeNs });
}

function smallTree(root: string): void {
  mkdirSync(`${root}/folder`, { recursive: true });
  writeFileSync(`${root}/file`, 'text');
  linkSync(`${root}/file`, `${root}/same`);
  symlinkSync('here', `${root}/link`);
  writeSparse(Buffer.from(`${root}/sparse`), 1 << 20, [], createSeededRandom(1));
  for (const name of ['file', 'sparse', 'folder', 'link', '.']) {
    setTimes(Buffer.from(`${root}/${name}`), { mtimeNs: 1_700_000_000_000_000_001n });
  }
}

for (const [index, [what, change]] of changes.entries()) {
  test(`the comparer sees change ${index}: ${what}`, async () => {
    await using folder = temporaryFolder();
    smallTree(folder.at('a'));
    smallTree(folder.at('b'));
    assert.deepEqual(compareTrees(folder.at('a'), folder.at('b')), []);
    change(folder);
    const found = compareTrees(folder.at('a'), folder.at('b'));
    assert.ok(
      found.some((difference) => difference.what === what),
      JSON.stringify(found, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    );
  });
}

test('the comparer tells a nanosecond of a folder', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('a'));
  smallTree(folder.at('b'));
  setTimes(Buffer.from(folder.at('b/folder')), { mtimeNs: 1_700_000_000_000_000_002n });
  assert.deepEqual(compareTrees(folder.at('a'), folder.at('b')), [
    { path: 'folder', what: 'mtimeNs', left: '1700000000000000001', right: '1700000000000000002' },
  ]);
});

test('edits are the same for the same seed on the same tree, and change it', async () => {
  await using folder = temporaryFolder();
  for (const name of ['a', 'b']) await generateTree(folder.at(name), { seed: 5, size: 40, special: false });
  const before = snapshotTree(folder.at('a'));
  const done = ['a', 'b'].map((name) => editTree(folder.at(name), { seed: 6, edits: 60 }));
  assert.deepEqual(done[0], done[1]);
  assert.ok(new Set(done[0]).size > 15);
  assert.ok(compareSnapshots(before, snapshotTree(folder.at('a'))).length > 20);
  assert.deepEqual(compareTrees(folder.at('a'), folder.at('b'), { ignore: ['mtimeNs'] }), []);
});
