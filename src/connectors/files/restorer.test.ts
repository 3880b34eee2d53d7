import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { must } from '../../core/must.ts';
import type { RestorePreview, RestorerContext } from '../../core/connector.ts';
import type { BaseReader, RestoreReport, StoredEntry } from '../../core/restorer.ts';
import type { Runtime } from '../../core/run.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { openFolderAt, statAt, WORKING_FOLDER } from '../../io/native-folder.ts';
import { asNobody } from '../../testing/as-nobody.ts';
import { compareSnapshots, compareTrees } from '../../testing/tree/compare.ts';
import { editTree } from '../../testing/tree/edit.ts';
import { generateTree } from '../../testing/tree/generate.ts';
import { memoryContent, memoryReader, recordInMemory } from '../../testing/tree/memory-base.ts';
import type { MemoryBase } from '../../testing/tree/memory-base.ts';
import { snapshotTree } from '../../testing/tree/snapshot.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { encodeAttributes } from './attributes.ts';
import type { Attributes } from './attributes.ts';
import { filesConnector } from './connector.ts';
import { removeTree } from './remove-tree.ts';
import type { FilesStore } from './store.ts';

const run = { signal: new AbortController().signal };
const runtime: Runtime = {
  clock: { nowMs: () => 4e12, monotonicMs: () => 0, sleep: async () => {} },
  random: createSeededRandom(1).bytes,
  logger: { log: () => {} },
  temporaryFolder: '/nowhere',
};

function storeAt(folder: string): FilesStore {
  return { folder, include: [], exclude: [], oneFileSystem: false, cacheDirTag: false, excludeFolders: [] };
}

async function record(folder: string, before?: MemoryBase): Promise<MemoryBase> {
  await using recorder = await filesConnector.openRecorder(storeAt(folder), { runtime }, run);
  await using base = await recorder.openBase(run);
  return await recordInMemory(base, run, before);
}

type Restore = { readonly report: RestoreReport; readonly keptAside: string | undefined };

async function restore(base: BaseReader, target: string, more: Partial<RestorerContext> = {}): Promise<Restore> {
  await using restorer = await filesConnector.openRestorer(storeAt(target), { runtime, id: 'r1', ...more }, run);
  const report = await restorer.restoreBase(base, run);
  const verified = await restorer.verify(run);
  assert.equal(verified.entries, report.entries);
  return { report, keptAside: (await restorer.swap(run)).keptAside };
}

function besideNames(folder: TemporaryFolder): string[] {
  return readdirSync(folder.path).filter((name) => name.includes('tidemark'));
}

function smallTree(root: string, text = 'text'): void {
  mkdirSync(`${root}/a/b`, { recursive: true });
  writeFileSync(`${root}/a/file`, text);
  writeFileSync(`${root}/a/b/deep`, `${text} deep`);
  symlinkSync('a', `${root}/link`);
}

test('a tree with every oddity comes back exactly, into a folder that does not exist', async () => {
  await using folder = temporaryFolder();
  await generateTree(folder.at('tree'), { seed: 11, size: 120 });
  const base = await record(folder.at('tree'));
  assert.equal(base.end.incompleteCount, 0);
  const { report, keptAside } = await restore(base, folder.at('some', 'new', 'place'));
  assert.deepEqual([report.notes, keptAside], [[], undefined]);
  assert.deepEqual(compareTrees(folder.at('tree'), folder.at('some', 'new', 'place')), []);
});

test('each backup between random edits comes back to exactly what was there, over what is there now', async () => {
  await using folder = temporaryFolder();
  await generateTree(folder.at('tree'), { seed: 12, size: 60, special: false });
  const states: { readonly base: MemoryBase; readonly was: ReturnType<typeof snapshotTree> }[] = [];
  for (let round = 0; round < 3; round++) {
    if (round > 0) editTree(folder.at('tree'), { seed: `edits ${round}`, edits: 30 });
    const base = await record(folder.at('tree'), states.at(-1)?.base);
    states.push({ base, was: snapshotTree(folder.at('tree')) });
  }
  assert.ok(must(states[1], 'a second state').base.described < must(states[0], 'a first state').base.described);
  for (const [index, { base, was }] of states.entries()) {
    const { report } = await restore(base, folder.at('tree'), { id: `r${index}` });
    assert.deepEqual(report.notes, []);
    assert.deepEqual(compareSnapshots(was, snapshotTree(folder.at('tree'))), []);
  }
});

test('what was there is kept aside untouched, and files that match are taken from it, not shared with it', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  const base = await record(folder.at('tree'));
  appendFileSync(folder.at('tree/a/file'), 'more');
  const before = snapshotTree(folder.at('tree'));
  const { report, keptAside } = await restore(base, folder.at('tree'));
  assert.equal(keptAside, folder.at('.tree.tidemark-aside-r1'));
  assert.deepEqual(compareSnapshots(before, snapshotTree(must(keptAside, 'kept aside'))), []);
  assert.deepEqual([report.bytes, report.reusedBytes], [13, 9]);
  assert.notEqual(lstatSync(folder.at('tree/a/b/deep')).ino, lstatSync(`${keptAside}/a/b/deep`).ino);
});

test('undo puts back what was there, and once more what was restored; discard deletes what is kept aside', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'), 'new');
  const base = await record(folder.at('tree'));
  rmSync(folder.at('tree'), { recursive: true });
  smallTree(folder.at('tree'), 'old');
  await restore(base, folder.at('tree'));
  const context = { runtime, id: 'r1' };
  const text = (): string => readFileSync(folder.at('tree/a/file'), 'utf8');
  const seen = [text()];
  for (const turn of [1, 1, 2, 2]) {
    const { keptAside } = await filesConnector.undo(storeAt(folder.at('tree')), { ...context, turn }, run);
    assert.ok(existsSync(must(keptAside, 'kept aside')));
    seen.push(text());
  }
  assert.deepEqual(seen, ['new', 'old', 'old', 'new', 'new']);
  for (const turn of [1, 4]) {
    await assert.rejects(filesConnector.undo(storeAt(folder.at('tree')), { ...context, turn }, run), {
      code: 'RESTORE_UNFINISHED',
    });
  }
  await filesConnector.discard(storeAt(folder.at('tree')), context, run);
  assert.deepEqual([besideNames(folder), text()], [[], 'new']);
  await filesConnector.discard(storeAt(folder.at('tree')), context, run);
  await filesConnector.discard(storeAt(folder.at('no', 'where')), context, run);
  await assert.rejects(filesConnector.undo(storeAt(folder.at('tree')), { ...context, turn: 3 }, run), {
    code: 'NOTHING_TO_RESUME',
  });
});

test('undo where nothing was before takes the restored folder away, and puts it back', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  const base = await record(folder.at('tree'));
  await restore(base, folder.at('new'));
  const undo = async (turn: number): Promise<boolean> => {
    await filesConnector.undo(storeAt(folder.at('new')), { runtime, id: 'r1', turn }, run);
    return existsSync(folder.at('new'));
  };
  assert.deepEqual([await undo(1), await undo(2)], [false, true]);
  assert.deepEqual(compareTrees(folder.at('tree'), folder.at('new')), []);
});

test('what was kept aside and is gone can’t be put back, and nothing is taken away for it', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  const base = await record(folder.at('tree'));
  await restore(base, folder.at('tree'));
  rmSync(folder.at('.tree.tidemark-aside-r1'), { recursive: true });
  const before = snapshotTree(folder.at('tree'));
  await assert.rejects(filesConnector.undo(storeAt(folder.at('tree')), { runtime, id: 'r1', turn: 1 }, run), {
    code: 'NOTHING_TO_RESUME',
  });
  assert.deepEqual(compareSnapshots(before, snapshotTree(folder.at('tree'))), []);
});

/** Puts names back to where a crash after `step` of the exchange would have left them. */
const crashes: readonly (readonly [step: string, at: (folder: TemporaryFolder) => void])[] = [
  [
    'before anything moved',
    ({ at }) => {
      swapNames(at('tree'), at('.tree.tidemark-aside-r1'));
      renameSync(at('.tree.tidemark-aside-r1'), at('.tree.tidemark-new-r1'));
    },
  ],
  ['after the exchange', ({ at }) => renameSync(at('.tree.tidemark-aside-r1'), at('.tree.tidemark-new-r1'))],
  ['after the old folder was moved away', ({ at }) => renameSync(at('tree'), at('.tree.tidemark-new-r1'))],
  ['before it was noted as done', () => {}],
];

function swapNames(left: string, right: string): void {
  renameSync(left, `${left}~`);
  renameSync(right, left);
  renameSync(`${left}~`, right);
}

for (const [step, arrange] of crashes) {
  test(`a new restorer finishes an exchange that was cut off ${step}`, async () => {
    await using folder = temporaryFolder();
    smallTree(folder.at('tree'), 'new');
    const base = await record(folder.at('tree'));
    writeFileSync(folder.at('tree/a/file'), 'old');
    await restore(base, folder.at('tree'));
    arrange(folder);
    const journal = folder.at('.tree.tidemark-journal-r1');
    writeFileSync(journal, readFileSync(journal, 'utf8').replace('"exchanged"', '"exchanging"'));
    await assert.rejects(filesConnector.discard(storeAt(folder.at('tree')), { runtime, id: 'r1' }, run), {
      code: 'RESTORE_UNFINISHED',
    });
    for (const _ of [1, 2]) {
      await using restorer = await filesConnector.openRestorer(storeAt(folder.at('tree')), { runtime, id: 'r1' }, run);
      const { keptAside } = await restorer.swap(run);
      assert.equal(readFileSync(`${keptAside}/a/file`, 'utf8'), 'old');
      assert.equal(readFileSync(folder.at('tree/a/file'), 'utf8'), 'new');
    }
    assert.deepEqual(besideNames(folder), ['.tree.tidemark-aside-r1', '.tree.tidemark-journal-r1']);
  });
}

test('discard deletes what a process left that died while it wrote the journal', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  await restore(await record(folder.at('tree')), folder.at('tree'));
  const partial = '..tree.tidemark-journal-r1.0123456789abcdef.tidemark-partial';
  const ofAnother = '..tree.tidemark-journal-r2.0123456789abcdef.tidemark-partial';
  for (const name of [partial, ofAnother]) writeFileSync(folder.at(name), '{');
  await filesConnector.discard(storeAt(folder.at('tree')), { runtime, id: 'r1' }, run);
  assert.deepEqual(besideNames(folder), [ofAnother]);
});

test('swap refuses when nothing is verified, or when another folder took the place', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  const base = await record(folder.at('tree'));
  await using restorer = await filesConnector.openRestorer(storeAt(folder.at('tree')), { runtime, id: 'r1' }, run);
  await assert.rejects(restorer.swap(run), { code: 'RESTORE_UNFINISHED' });
  await restorer.restoreBase(base, run);
  await assert.rejects(restorer.swap(run), { code: 'RESTORE_UNFINISHED' });
  await restorer.verify(run);
  renameSync(folder.at('.tree.tidemark-new-r1'), folder.at('taken'));
  mkdirSync(folder.at('.tree.tidemark-new-r1'));
  await assert.rejects(restorer.swap(run), { code: 'RESTORE_CONFLICT' });
  assert.equal(readFileSync(folder.at('tree/a/file'), 'utf8'), 'text');
});

test('only the tree that was verified comes in, not another that took its name before', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  const base = await record(folder.at('tree'));
  await using restorer = await filesConnector.openRestorer(storeAt(folder.at('tree')), { runtime, id: 'r1' }, run);
  await restorer.restoreBase(base, run);
  renameSync(folder.at('.tree.tidemark-new-r1'), folder.at('taken'));
  symlinkSync('/', folder.at('.tree.tidemark-new-r1'));
  await restorer.verify(run);
  await assert.rejects(restorer.swap(run), { code: 'RESTORE_CONFLICT' });
  assert.equal(readFileSync(folder.at('tree/a/file'), 'utf8'), 'text');
  await filesConnector.discard(storeAt(folder.at('tree')), { runtime, id: 'r1' }, run);
  assert.deepEqual(besideNames(folder), []);
});

test('a staging folder that is moved away while it is filled takes all with it, and a link in its place leads nowhere', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  mkdirSync(folder.at('outside/a/b'), { recursive: true });
  const base = await record(folder.at('tree'));
  const exchanging: BaseReader = {
    ...base,
    async *extract(targets, inner) {
      renameSync(folder.at('.new.tidemark-new-r1'), folder.at('moved'));
      symlinkSync('outside', folder.at('.new.tidemark-new-r1'));
      yield* base.extract(targets, inner);
    },
  };
  await using restorer = await filesConnector.openRestorer(storeAt(folder.at('new')), { runtime, id: 'r1' }, run);
  await restorer.restoreBase(exchanging, run);
  assert.deepEqual(readdirSync(folder.at('outside'), { recursive: true, encoding: 'utf8' }).toSorted(), ['a', 'a/b']);
  assert.equal(readFileSync(folder.at('moved/a/file'), 'utf8'), 'text');
  await restorer.verify(run);
  await assert.rejects(restorer.swap(run), { code: 'RESTORE_CONFLICT' });
  assert.ok(!existsSync(folder.at('new')));
});

test('a restore that was cut off is begun again and takes what was written; before the exchange it can be discarded', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  const base = await record(folder.at('tree'));
  const broken: BaseReader = {
    ...base,
    async *extract(targets, inner) {
      for await (const results of base.extract(targets, inner)) {
        yield results;
        throw new Error('cut off');
      }
    },
  };
  const cutOff = async (): Promise<void> => {
    await using restorer = await filesConnector.openRestorer(storeAt(folder.at('new')), { runtime, id: 'r1' }, run);
    await assert.rejects(restorer.restoreBase(broken, run), /cut off/);
  };
  await cutOff();
  await cutOff();
  assert.deepEqual(besideNames(folder), ['.new.tidemark-new-r1', '.new.tidemark-part-r1']);
  await filesConnector.discard(storeAt(folder.at('new')), { runtime, id: 'r1' }, run);
  assert.deepEqual(besideNames(folder), []);
  await restoreBaseOnly(base, folder.at('new'));
  const { report } = await restore(base, folder.at('new'));
  assert.equal(report.reusedBytes, report.bytes);
  assert.deepEqual(besideNames(folder), ['.new.tidemark-journal-r1']);
  assert.deepEqual(compareTrees(folder.at('tree'), folder.at('new')), []);
});

async function restoreBaseOnly(base: BaseReader, target: string): Promise<void> {
  await using restorer = await filesConnector.openRestorer(storeAt(target), { runtime, id: 'r1' }, run);
  await restorer.restoreBase(base, run);
}

type Tamper = readonly [what: string, difference: string, change: (staging: string) => void];
const tampers: readonly Tamper[] = [
  ['a file is missing', 'it is missing', (staging) => rmSync(`${staging}/a/file`)],
  ['a file is shorter', 'its size differs', (staging) => writeFileSync(`${staging}/a/file`, 'x')],
  ['a time differs', 'its time differs', (staging) => writeFileSync(`${staging}/a/file`, 'TEXT')],
  ['a mode differs', 'its mode differs', (staging) => chmodSync(`${staging}/a/b/deep`, 0o777)],
  [
    'a folder became a link',
    'its type differs',
    (staging) => {
      rmSync(`${staging}/a/b`, { recursive: true });
      symlinkSync('.', `${staging}/a/b`);
    },
  ],
  [
    'a link leads elsewhere',
    'its target differs',
    (staging) => {
      rmSync(`${staging}/link`);
      symlinkSync('b', `${staging}/link`);
    },
  ],
];

for (const [what, difference, change] of tampers) {
  test(`verify notices that ${what}, and nothing is exchanged`, async () => {
    await using folder = temporaryFolder();
    smallTree(folder.at('tree'));
    const base = await record(folder.at('tree'));
    await using restorer = await filesConnector.openRestorer(storeAt(folder.at('new')), { runtime, id: 'r1' }, run);
    await restorer.restoreBase(base, run);
    change(folder.at('.new.tidemark-new-r1'));
    await assert.rejects(restorer.verify(run), (error: Error) => error.message.includes(difference));
    await assert.rejects(restorer.swap(run), { code: 'RESTORE_UNFINISHED' });
    assert.ok(!existsSync(folder.at('new')));
  });
}

function entry(
  name: string,
  attributes: Partial<Attributes> & Pick<Attributes, 'type'>,
  content?: string,
): StoredEntry {
  const bytes = content === undefined ? undefined : Buffer.from(content);
  const all = {
    mode: 0o755,
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    mtimeNs: 0n,
    xattrs: [],
    sizeBytes: bytes?.byteLength ?? 0,
    ...attributes,
  };
  return {
    name: Buffer.from(name, 'latin1'),
    attributes: encodeAttributes(all),
    content: bytes && memoryContent(bytes),
  };
}

const root = entry('', { type: 'folder' });
const linkTo = (name: string, target: string): StoredEntry =>
  entry(name, { type: 'link', target: Buffer.from(target) });
const evil = (name: string): StoredEntry => entry(name, { type: 'file' }, 'evil');

const hostile: readonly (readonly [what: string, entries: (outside: string) => readonly StoredEntry[]])[] = [
  ['a component ".."', () => [root, entry('..', { type: 'folder' }), evil('..\0outside\0evil')]],
  [
    '".." inside',
    () => [root, entry('a', { type: 'folder' }), entry('a\0..', { type: 'folder' }), evil('a\0..\0evil')],
  ],
  ['a file ".."', () => [root, evil('..')]],
  ['a component "."', () => [root, evil('.')]],
  ['an absolute path', (outside) => [root, evil(`${outside}/evil`)]],
  ['"/" in a component', () => [root, evil('../outside/evil')]],
  ['an empty component', () => [root, entry('a', { type: 'folder' }), evil('a\0\0evil')]],
  ['a child of a link', (outside) => [root, linkTo('a', outside), evil('a\0evil')]],
  [
    'a link and then a folder of the same name',
    (outside) => [root, linkTo('a', outside), entry('a', { type: 'folder' }), evil('a\0evil')],
  ],
  ['a child of a file', () => [root, evil('a'), evil('a\0evil')]],
  ['a child without its folder', () => [root, evil('a\0evil')]],
  ['a child of a folder that was left', () => [root, entry('a', { type: 'folder' }), evil('b'), evil('a\0evil')]],
  ['names out of order', () => [root, evil('b'), evil('a')]],
  ['a name twice', () => [root, evil('a'), evil('a')]],
  ['the root twice', () => [root, root]],
  ['no root', () => [evil('a')]],
  ['a root that is a file', () => [evil('')]],
  ['a root that is a link', (outside) => [linkTo('', outside)]],
  ['a name that restores use', () => [root, evil('.x.tidemark-journal-r1')]],
  ['a name longer than any path', () => [root, evil('a'.repeat(5_000))]],
];

for (const [what, entries] of hostile) {
  test(`a base with ${what} is refused and writes nothing outside`, async () => {
    await using folder = temporaryFolder();
    mkdirSync(folder.at('outside'));
    await using restorer = await filesConnector.openRestorer(storeAt(folder.at('target')), { runtime, id: 'r1' }, run);
    const base = memoryReader(entries(folder.at('outside')));
    await assert.rejects(
      restorer.restoreBase(base, run),
      (error: { code?: string }) => error.code === 'PATH_ESCAPES' || error.code === 'REPOSITORY_DAMAGED',
    );
    assert.deepEqual(readdirSync(folder.at('outside')), []);
    assert.deepEqual(readdirSync(folder.path).toSorted(), ['.target.tidemark-new-r1', 'outside']);
  });
}

test('files at the longest paths come back, without a descriptor for each', async () => {
  await using folder = temporaryFolder();
  const components = Array.from({ length: 20 }, () => 'd'.repeat(202));
  const above = components.map((_, index) => entry(components.slice(0, index + 1).join('\0'), { type: 'folder' }));
  const names = Array.from({ length: 50 }, (_, index) => `f${index}`.padEnd(34, '-')).toSorted();
  const pathOf = (name: string): string => [...components, name].join('/');
  assert.equal(Buffer.byteLength(pathOf('f1'.padEnd(34, '-'))), 4_094);
  const files = names.map((name) => entry([...components, name].join('\0'), { type: 'file' }, name));
  const base = memoryReader([root, ...above, ...files]);
  const openFiles = (): number => readdirSync('/proc/self/fd').length;
  let mostOpen = 0;
  const watched: BaseReader = {
    ...base,
    async *extract(targets, inner) {
      const all = (await Array.fromAsync(targets)).flat();
      mostOpen = openFiles();
      yield* base.extract(Readable.from([all]), inner);
    },
  };
  const before = openFiles();
  await restore(watched, folder.at('new'));
  assert.ok(mostOpen <= before + 5, `${mostOpen - before} more files are open`);
  assert.equal(openFiles(), before);
  const restored = openFolderAt(WORKING_FOLDER, Buffer.from(folder.at('new')));
  try {
    for (const name of names) assert.equal(statAt(restored, Buffer.from(pathOf(name))).sizeBytes, name.length);
  } finally {
    // Too deep for the test's own folder to be removed by its paths.
    await removeTree(restored, Buffer.from(must(components[0], 'a first one')), run);
    closeSync(restored);
  }
});

test('a hard link that was described at two states becomes two files', async () => {
  await using folder = temporaryFolder();
  const linkGroup = { mount: 0n, inode: 5n, count: 3 };
  const base = memoryReader([
    root,
    entry('a', { type: 'file', linkGroup }, 'one'),
    entry('b', { type: 'file', linkGroup, mtimeNs: 9n }, 'two'),
    entry('c', { type: 'file', linkGroup }, 'one'),
  ]);
  const { report } = await restore(base, folder.at('new'));
  assert.equal(report.noteCount, 1);
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => readFileSync(folder.at('new', name), 'utf8')),
    ['one', 'two', 'one'],
  );
  assert.equal(lstatSync(folder.at('new/a')).ino, lstatSync(folder.at('new/c')).ino);
  assert.notEqual(lstatSync(folder.at('new/a')).ino, lstatSync(folder.at('new/b')).ino);
});

test('a file that can’t be written fails the restore by name, and nothing is exchanged', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('target'));
  const base = memoryReader([root, evil('x'.repeat(300)), evil('y')]);
  await using restorer = await filesConnector.openRestorer(storeAt(folder.at('target')), { runtime, id: 'r1' }, run);
  await assert.rejects(restorer.restoreBase(base, run), {
    code: 'RESTORE_FAILED',
    message: /^1 entries can’t be restored: x{300}: /,
  });
  assert.equal(readFileSync(folder.at('target/a/file'), 'utf8'), 'text');
});

test('--only brings back what matches and keeps the rest as it is now', async () => {
  await using folder = temporaryFolder();
  for (const name of ['tree/docs/deep', 'tree/src', 'tree/gone']) mkdirSync(folder.at(name), { recursive: true });
  for (const name of ['docs/a.txt', 'docs/deep/b.txt', 'docs/c.bin', 'src/d.txt', 'gone/e.txt']) {
    writeFileSync(folder.at('tree', name), 'then');
  }
  const base = await record(folder.at('tree'));
  for (const name of ['docs/a.txt', 'docs/c.bin', 'src/d.txt', 'src/new.txt']) {
    writeFileSync(folder.at('tree', name), 'now');
  }
  rmSync(folder.at('tree/gone'), { recursive: true });
  rmSync(folder.at('tree/docs/deep'), { recursive: true });
  writeFileSync(folder.at('tree/docs/deep'), 'a file');
  chmodSync(folder.at('tree/docs'), 0o711);
  const { report } = await restore(base, folder.at('tree'), { only: ['docs/**/*.txt', 'gone'] });
  const text = (name: string): string => readFileSync(folder.at('tree', name), 'utf8');
  assert.deepEqual(
    ['docs/a.txt', 'docs/deep/b.txt', 'docs/c.bin', 'src/d.txt', 'src/new.txt', 'gone/e.txt'].map(text),
    ['then', 'then', 'now', 'now', 'now', 'then'],
  );
  assert.equal(lstatSync(folder.at('tree/docs')).mode & 0o777, 0o711);
  assert.deepEqual(report.notes, ['docs/deep is replaced: what was there does not fit the part that is restored']);
});

test('--only into an absent folder brings what matches and the folders that lead there', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  const base = await record(folder.at('tree'));
  await restore(base, folder.at('new'), { only: ['deep'] });
  assert.deepEqual(readdirSync(folder.at('new'), { recursive: true, encoding: 'utf8' }).toSorted(), [
    'a',
    'a/b',
    'a/b/deep',
  ]);
});

test('--only keeps odd files of the folder exactly as they are', async () => {
  await using folder = temporaryFolder();
  await generateTree(folder.at('tree'), { seed: 14, size: 30, special: false });
  const base = await record(folder.at('tree'));
  const before = snapshotTree(folder.at('tree'));
  const { report } = await restore(base, folder.at('tree'), { only: ['bulk/'] });
  assert.deepEqual(report.notes, []);
  assert.deepEqual(compareSnapshots(before, snapshotTree(folder.at('tree'))), []);
});

test('--only keeps a file that grows meanwhile, as it is when it is copied, and leaves out one that vanishes', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  const base = await record(folder.at('tree'));
  // Copied in several pieces, between which others work.
  writeFileSync(folder.at('tree/0-large'), Buffer.alloc(20 << 20, 'x'));
  writeFileSync(folder.at('tree/1-log'), 'one');
  writeFileSync(folder.at('tree/2-gone'), 'one');
  const copied = folder.at('.tree.tidemark-new-r1/0-large');
  const growing = (async () => {
    while (!existsSync(copied)) await nextTurn();
    appendFileSync(folder.at('tree/1-log'), ' two');
    rmSync(folder.at('tree/2-gone'));
  })();
  const { report } = await restore(base, folder.at('tree'), { only: ['link'] });
  await growing;
  assert.equal(readFileSync(folder.at('tree/1-log'), 'utf8'), 'one two');
  assert.deepEqual(compareTrees(folder.at('.tree.tidemark-aside-r1'), folder.at('tree'), { ignore: ['mtimeNs'] }), []);
  assert.ok(report.notes.includes('2-gone vanished before it was copied'), report.notes.join());
});

test('what lies under a path is listed, and a path that is not there is said', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  const base = await record(folder.at('tree'));
  const list = async (path: string, recursive = true): Promise<string[]> =>
    (await Array.fromAsync(filesConnector.list(base, Buffer.from(path), { recursive }, run)))
      .flat()
      .map(({ name, type }) => `${Buffer.from(name).toString()} ${type}`);
  assert.deepEqual(await list(''), ['a folder', 'a/b folder', 'a/b/deep file', 'a/file file', 'link link']);
  assert.deepEqual(await list('', false), ['a folder', 'link link']);
  assert.deepEqual(await list('a', false), ['a/b folder', 'a/file file']);
  assert.deepEqual(await list('/a/b/'), ['a/b/deep file']);
  assert.deepEqual(await list('a/file'), ['a/file file']);
  await assert.rejects(list('a/none'), { code: 'ENTRY_NOT_FOUND' });
});

test('preview says where it would go and what is in the way, and writes nothing', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  writeFileSync(folder.at('file'), '');
  const preview = async (target: string) =>
    await filesConnector.preview(storeAt(folder.at('tree')), { runtime, id: 'r1', target }, run);
  const there = await preview(folder.at('tree'));
  assert.deepEqual([there.into, there.inOneStep, there.replaces, there.blockers], [folder.at('tree'), true, true, []]);
  assert.ok((there.freeBytes ?? 0) > 0);
  const aside = (id: string | undefined): Promise<RestorePreview> =>
    filesConnector.preview(storeAt(folder.at('tree')), { runtime, id }, run);
  assert.deepEqual((await aside('r1')).sideEffects, [
    `what is there now is kept aside as ${folder.path}/.tree.tidemark-aside-r1`,
  ]);
  assert.deepEqual((await aside(undefined)).sideEffects, [
    `what is there now is kept aside in ${folder.path}, as .tree.tidemark-aside- and an id that the restore chooses`,
  ]);
  const absent = await preview(folder.at('x/y'));
  assert.deepEqual([absent.replaces, absent.blockers, absent.sideEffects], [false, [], []]);
  assert.match(must((await preview(folder.at('file'))).blockers[0], 'a blocker'), /is not a folder/);
  assert.match(must((await preview('/')).blockers[0], 'a blocker'), /root of the system/);
  assert.deepEqual(readdirSync(folder.path).toSorted(), ['file', 'tree']);
});

test('a repository in the folder is left out with a warning; a folder in the repository is refused', async () => {
  await using folder = temporaryFolder();
  smallTree(folder.at('tree'));
  mkdirSync(folder.at('tree/backups'));
  const resolve = (target: string, leaveOut: string) =>
    filesConnector.resolve({
      scheme: 'files',
      via: [],
      password: async () => undefined,
      target,
      options: { ...storeAt(target) },
      leaveOut: [leaveOut],
    });
  const { options, warnings } = resolve(folder.at('tree'), folder.at('tree/backups'));
  assert.deepEqual([options.excludeFolders, warnings.length], [[folder.at('tree/backups')], 1]);
  assert.deepEqual(resolve(folder.at('tree'), 's3://bucket').options.excludeFolders, []);
  assert.throws(() => resolve(folder.at('tree'), folder.path), { code: 'CONFIG_INVALID' });
  assert.equal(
    (await filesConnector.diagnose(options, runtime, run)).filter(({ severity }) => severity === 'error').length,
    0,
  );
});

test('an owner that this user may not set is said once, and no program runs as another user for it', async () => {
  await using folder = temporaryFolder();
  chmodSync(folder.path, 0o777);
  const other = { uid: 12_345, gid: 23_456 };
  const base = memoryReader([
    entry('', { type: 'folder', ...other }),
    entry('a', { type: 'file', mode: 0o4755, ...other }, 'one'),
    entry('b', { type: 'link', target: Buffer.from('a'), ...other }),
  ]);
  const { report } = await asNobody(() => restore(base, folder.at('new')));
  assert.deepEqual(
    [report.notes, report.noteCount],
    [['owner or group can’t be set by this user: left as the system made it (3 times)'], 3],
  );
  assert.equal(lstatSync(folder.at('new/a')).mode & 0o7777, 0o755);
  assert.notEqual(lstatSync(folder.at('new/a')).uid, other.uid);
});

test('folders without permissions come back, with what they hold', async () => {
  await using folder = temporaryFolder();
  chmodSync(folder.path, 0o777);
  await asNobody(async () => {
    const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
    const xattrs = [{ name: Buffer.from('user.a'), value: Buffer.from('x') }];
    const base = memoryReader([
      entry('', { type: 'folder', ...own }),
      entry('closed', { type: 'folder', mode: 0o000, ...own }),
      entry('closed\0file', { type: 'file', mode: 0o400, xattrs, ...own }, 'one'),
      entry('closed\0inner', { type: 'folder', mode: 0o500, mtimeNs: 5n, xattrs, ...own }),
      entry('closed\0inner\0file', { type: 'file', mode: 0o000, ...own }, 'two'),
    ]);
    const { report } = await restore(base, folder.at('new'));
    assert.deepEqual(report.notes, []);
    assert.equal(lstatSync(folder.at('new/closed')).mode & 0o777, 0);
    chmodSync(folder.at('new/closed'), 0o700);
    assert.deepEqual(readdirSync(folder.at('new/closed'), { recursive: true, encoding: 'utf8' }).toSorted(), [
      'file',
      'inner',
      'inner/file',
    ]);
    assert.equal(lstatSync(folder.at('new/closed/inner'), { bigint: true }).mtimeNs, 5n);
    await restore(base, folder.at('new'), { id: 'r2' });
    await filesConnector.discard(storeAt(folder.at('new')), { runtime, id: 'r2' }, run);
    assert.deepEqual(besideNames(folder), ['.new.tidemark-journal-r1']);
  });
});

test('a time that the file system can’t hold is noted, and the rest comes back', async () => {
  await using folder = temporaryFolder();
  const year3000Ns = 32_503_680_000_000_000_001n;
  const base = memoryReader([root, entry('far', { type: 'file', mtimeNs: year3000Ns }, 'text')]);
  await using restorer = await filesConnector.openRestorer(storeAt(folder.at('new')), { runtime, id: 'r1' }, run);
  await restorer.restoreBase(base, run);
  const { notes } = await restorer.verify(run);
  await restorer.swap(run);
  const isHeld = lstatSync(folder.at('new/far'), { bigint: true }).mtimeNs === year3000Ns;
  assert.deepEqual(notes, isHeld ? [] : ['far: its time can’t be kept by this file system']);
  assert.equal(readFileSync(folder.at('new/far'), 'utf8'), 'text');
});
