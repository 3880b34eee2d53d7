import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { writeXattr } from '../../io/native-xattr.ts';
import { must } from '../../core/must.ts';
import { orderOf } from '../../core/position.ts';
import type { Position } from '../../core/position.ts';
import type { BaseEnd, Entry } from '../../core/recorder.ts';
import type { Runtime } from '../../core/run.ts';
import { asNobody } from '../../testing/as-nobody.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { decodeAttributes } from './attributes.ts';
import { openFilesRecorder } from './recorder.ts';
import { SkippedList } from './skipped.ts';
import type { FilesStore } from './store.ts';

const run = { signal: new AbortController().signal };
const defaults = { include: [], exclude: [], oneFileSystem: false, cacheDirTag: false, excludeFolders: [] };

/** `nowMs` a day ahead of the files: everything is old enough to be trusted. */
function runtimeAt(nowMs: number): Runtime {
  return {
    clock: { nowMs: () => nowMs, monotonicMs: () => 0, sleep: async () => {} },
    random: (sizeBytes) => new Uint8Array(sizeBytes).fill(7),
    logger: { log: () => {} },
    temporaryFolder: '/nowhere',
  };
}

function nowOf(path: string): number {
  return Number(lstatSync(path).ctimeMs);
}

type Recorded = { readonly entries: readonly Entry[]; readonly names: readonly string[]; readonly end: BaseEnd };

async function record(
  folder: TemporaryFolder,
  options: Partial<FilesStore> = {},
  nowMs = nowOf(folder.path) + 86_400_000,
): Promise<Recorded> {
  const store = { ...defaults, folder: folder.at('store'), ...options };
  await using recorder = openFilesRecorder(store, { runtime: runtimeAt(nowMs) });
  await using base = await recorder.openBase(run);
  const entries = (await Array.fromAsync(base.entries)).flat();
  const end = await base.finish(run);
  return { entries, names: entries.map(({ name }) => Buffer.from(name).toString('latin1').replaceAll('\0', '/')), end };
}

function storeFolder(folder: TemporaryFolder, files: Readonly<Record<string, string>>): void {
  mkdirSync(folder.at('store'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(folder.at('store', name, '..'), { recursive: true });
    writeFileSync(folder.at('store', name), text);
  }
}

test('entries come in ascending order of names, folders before what they hold', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { 'a/x': '1', 'a-b': '2', 'a.b/y': '3', Z: '4', 'a/x.y/z': '5', 'a/x-1': '6', ä: '7' });
  writeFileSync(Buffer.concat([Buffer.from(`${folder.at('store')}/`), Buffer.from([0xff, 0x0a, 0x41])]), '8');
  const { entries, names } = await record(folder);
  assert.deepEqual(names, [
    '',
    'Z',
    'a',
    'a/x',
    'a/x-1',
    'a/x.y',
    'a/x.y/z',
    'a-b',
    'a.b',
    'a.b/y',
    '\xc3\xa4',
    '\xff\nA',
  ]);
  for (const [index, entry] of entries.entries()) {
    if (index > 0) assert.ok(Buffer.compare(must(entries[index - 1], 'it is there').name, entry.name) < 0);
  }
});

test('attributes hold what the file system says', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { file: 'hello' });
  chmodSync(folder.at('store', 'file'), 0o4751);
  writeXattr(Buffer.from(folder.at('store', 'file')), Buffer.from('user.b'), Buffer.from([0, 255]));
  writeXattr(Buffer.from(folder.at('store', 'file')), Buffer.from('user.a'), Buffer.alloc(0));
  symlinkSync('../no/where', folder.at('store', 'link'));
  const { entries } = await record(folder);
  const [root, file, link] = entries.map((entry) => decodeAttributes(entry.describe().attributes));
  const stats = lstatSync(folder.at('store', 'file'), { bigint: true });
  assert.equal(root?.type, 'folder');
  assert.deepEqual(
    [file?.type, file?.mode, file?.mtimeNs, file?.sizeBytes, file?.uid],
    ['file', 0o4751, stats.mtimeNs, 5, Number(stats.uid)],
  );
  assert.deepEqual(
    file?.xattrs.map(({ name, value }) => [Buffer.from(name).toString(), [...value]]),
    [
      ['user.a', []],
      ['user.b', [0, 255]],
    ],
  );
  assert.deepEqual([link?.type, Buffer.from(link?.target ?? []).toString()], ['link', '../no/where']);
});

test('content of a file is described with the state it had; empty files have none', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { empty: '', full: 'text' });
  const { entries } = await record(folder);
  const [empty, full] = entries.slice(1).map((entry) => entry.describe().content);
  const stats = lstatSync(folder.at('store', 'full'), { bigint: true });
  assert.equal(empty, undefined);
  assert.deepEqual(full, {
    cut: 'stream',
    kind: 'file',
    path: Buffer.from(folder.at('store', 'full')),
    state: { sizeBytes: 4, mtimeNs: stats.mtimeNs, ctimeNs: stats.ctimeNs, inode: stats.ino },
    extents: undefined,
    tolerant: false,
  });
});

test('a file with holes is described by its runs of data, one that is all hole has no content', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { hole: '', sparse: '' });
  truncateSync(folder.at('store', 'hole'), 1 << 20);
  truncateSync(folder.at('store', 'sparse'), 1 << 20);
  appendFileSync(folder.at('store', 'sparse'), 'end');
  const { entries } = await record(folder);
  const [hole, sparse] = entries.slice(1).map((entry) => entry.describe());
  assert.equal(hole?.content, undefined);
  assert.deepEqual(decodeAttributes(must(hole, 'it is there').attributes).extents, []);
  assert.ok(sparse?.content?.kind === 'file');
  assert.deepEqual(sparse.content.extents, [{ offset: 1 << 20, sizeBytes: 3 }]);
  assert.deepEqual(decodeAttributes(sparse.attributes).extents, sparse.content.extents);
});

test('hard links share a group and each carries the content', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { 'a/one': 'x', 'b/other': 'y' });
  linkSync(folder.at('store', 'a/one'), folder.at('store', 'b/two'));
  const { entries, names } = await record(folder);
  const described = new Map(names.map((name, index) => [name, must(entries[index], 'it is there').describe()]));
  const groupOf = (name: string): unknown => decodeAttributes(must(described.get(name), name).attributes).linkGroup;
  assert.deepEqual(groupOf('a/one'), {
    mount: 0n,
    inode: lstatSync(folder.at('store', 'a/one'), { bigint: true }).ino,
    count: 2,
  });
  assert.deepEqual(groupOf('b/two'), groupOf('a/one'));
  assert.equal(groupOf('b/other'), undefined);
  assert.ok(described.get('b/two')?.content !== undefined);
});

test('an unchanged tree has the same fingerprints again, and any change gives another', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { file: 'one', other: 'two' });
  const prints = async (): Promise<(string | undefined)[]> =>
    (await record(folder)).entries.map(({ fingerprint }) => fingerprint && Buffer.from(fingerprint).toString('hex'));
  const before = await prints();
  assert.ok(before.every((print) => print !== undefined));
  assert.deepEqual(await prints(), before);
  chmodSync(folder.at('store', 'file'), 0o600);
  const after = await prints();
  assert.deepEqual([after[0] === before[0], after[1] === before[1], after[2] === before[2]], [true, false, true]);
});

test('a file touched at the moment of the scan is not recognized, so that it is read again', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { file: 'one' });
  const now = nowOf(folder.at('store', 'file'));
  const at = async (nowMs: number): Promise<boolean> =>
    (await record(folder, {}, nowMs)).entries[1]?.fingerprint !== undefined;
  assert.deepEqual(
    [await at(now - 1000), await at(now), await at(now + 90), await at(now + 200)],
    [false, false, false, true],
  );
});

test('exclude prunes, include keeps what matches and the folders that lead there', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, {
    'src/a.ts': '',
    'src/a.tmp': '',
    'src/deep/b.ts': '',
    'docs/x.md': '',
    'cache/c.ts': '',
    'whole/any': '',
    'empty/no': '',
  });
  const { names: excluded } = await record(folder, { exclude: ['*.tmp', 'cache/', 'docs'] });
  assert.deepEqual(excluded, [
    '',
    'empty',
    'empty/no',
    'src',
    'src/a.ts',
    'src/deep',
    'src/deep/b.ts',
    'whole',
    'whole/any',
  ]);
  const { names: included } = await record(folder, { include: ['*.ts', 'whole/', '!src/a.ts'], exclude: ['cache'] });
  assert.deepEqual(included, ['', 'src', 'src/deep', 'src/deep/b.ts', 'whole', 'whole/any']);
});

test('folders named by the application, and what restores keep aside, are left out', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { 'backups/data': '', '.store.tidemark-aside-k1/x': '', 'a/.b.tidemark-new-k1/x': '', keep: '' });
  symlinkSync(folder.at('store', 'backups'), folder.at('elsewhere'));
  const { names, end } = await record(folder, { excludeFolders: [folder.at('elsewhere'), folder.at('missing')] });
  assert.deepEqual(names, ['', 'a', 'keep']);
  assert.equal(end.skippedCount, 0);
});

test('of a folder with a cache tag only the tag is kept, if that is asked for and the tag is valid', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, {
    'cache/CACHEDIR.TAG': 'Signature: 8a477f597d28d172789f06886806bc55\n# more',
    'cache/big': '',
    'not/CACHEDIR.TAG': 'Signature: none',
    'not/big': '',
  });
  const { names } = await record(folder, { cacheDirTag: true });
  assert.deepEqual(names, ['', 'cache', 'cache/CACHEDIR.TAG', 'not', 'not/CACHEDIR.TAG', 'not/big']);
  assert.equal((await record(folder)).names.length, 7);
});

test('a socket is told and does not make the base incomplete', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { file: '' });
  const server = createServer().listen(folder.at('store', 'socket'));
  await once(server, 'listening');
  const { names, end } = await record(folder);
  server.close();
  assert.deepEqual(names, ['', 'file']);
  assert.deepEqual([end.skippedCount, end.incompleteCount, end.skipped[0]?.reason], [1, 0, 'special']);
});

test('a path that is too long for the system is told and makes the base incomplete', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, {});
  const component = 'd'.repeat(200);
  const outer = Array.from({ length: 10 }, () => component);
  mkdirSync(folder.at('store', ...outer), { recursive: true });
  mkdirSync(folder.at('moved', ...outer, component), { recursive: true });
  renameSync(folder.at('moved'), folder.at('store', ...outer, 'moved'));
  const { end } = await record(folder);
  // Shortened again, or the folder could not be removed.
  renameSync(folder.at('store', ...outer, 'moved'), folder.at('moved'));
  assert.deepEqual([end.incompleteCount, end.skipped[0]?.reason], [1, 'too-long']);
});

test('what can’t be read is told and makes the base incomplete; the rest is there', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { 'closed/x': '', 'open/y': '', 'unlisted/z': '' });
  chmodSync(folder.path, 0o755);
  chmodSync(folder.at('store', 'closed'), 0o000);
  chmodSync(folder.at('store', 'unlisted'), 0o444);
  const { names, end } = await asNobody(() => record(folder));
  assert.deepEqual(names, ['', 'closed', 'open', 'open/y', 'unlisted']);
  assert.deepEqual(
    end.skipped.map(({ name, reason }) => [Buffer.from(name).toString(), reason]),
    [
      ['closed', 'unreadable'],
      ['unlisted\0z', 'unreadable'],
    ],
  );
  assert.equal(end.incompleteCount, 2);
});

test('a file that changes each time is tried three times, then taken as it is and told', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { log: 'a' });
  await using recorder = openFilesRecorder(
    { ...defaults, folder: folder.at('store') },
    { runtime: runtimeAt(nowOf(folder.path)) },
  );
  await using base = await recorder.openBase(run);
  let [, entry] = (await Array.fromAsync(base.entries)).flat();
  const tolerant: (boolean | undefined)[] = [];
  for (let reads = 0; reads < 4; reads++) {
    appendFileSync(folder.at('store', 'log'), 'b');
    const { content } = must(entry, 'it is there').describe();
    assert.ok(content?.kind === 'file');
    tolerant.push(content.tolerant);
    if (reads < 3) entry = await base.retry(must(entry, 'it is there'), new Error('changed'), run);
  }
  assert.deepEqual(tolerant, [false, false, false, true]);
  assert.equal(entry?.fingerprint, undefined);
  const end = await base.finish(run);
  assert.deepEqual([end.incompleteCount, end.skipped[0]?.reason], [1, 'changed']);
});

type RetryCase = readonly [
  what: string,
  change: (folder: TemporaryFolder) => void,
  cause: Error,
  reason: string,
  incomplete: boolean,
];
const retryCases: readonly RetryCase[] = [
  ['vanishes', (folder) => unlinkSync(folder.at('store', 'a/file')), new Error('changed'), 'vanished', false],
  ['is refused', () => {}, Object.assign(new Error(), { code: 'EACCES' }), 'unreadable', true],
  [
    'becomes a folder',
    (folder) => {
      unlinkSync(folder.at('store', 'a/file'));
      mkdirSync(folder.at('store', 'a/file'));
    },
    Object.assign(new Error(), { code: 'ELOOP' }),
    'changed',
    true,
  ],
  [
    'has a link planted above it',
    (folder) => {
      rmSync(folder.at('store', 'a'), { recursive: true });
      symlinkSync('b', folder.at('store', 'a'));
    },
    new Error('changed'),
    'changed',
    true,
  ],
];

for (const [what, change, cause, reason, incomplete] of retryCases) {
  test(`a file that ${what} before it is read is left out and told`, async () => {
    await using folder = temporaryFolder();
    storeFolder(folder, { 'a/file': 'x', 'b/file': 'secret' });
    await using recorder = openFilesRecorder({ ...defaults, folder: folder.at('store') }, { runtime: runtimeAt(0) });
    await using base = await recorder.openBase(run);
    const [, , entry] = (await Array.fromAsync(base.entries)).flat();
    change(folder);
    assert.equal(await base.retry(must(entry, 'it is there'), cause, run), undefined);
    const { skipped } = await base.finish(run);
    assert.deepEqual(
      skipped.map((one) => [one.reason, one.incomplete]),
      [[reason, incomplete]],
    );
  });
}

test('a file that becomes a link is described anew as a link', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { file: 'x' });
  await using recorder = openFilesRecorder({ ...defaults, folder: folder.at('store') }, { runtime: runtimeAt(0) });
  await using base = await recorder.openBase(run);
  const [, entry] = (await Array.fromAsync(base.entries)).flat();
  unlinkSync(folder.at('store', 'file'));
  symlinkSync('/etc/passwd', folder.at('store', 'file'));
  const again = await base.retry(must(entry, 'it is there'), Object.assign(new Error(), { code: 'ELOOP' }), run);
  assert.equal(decodeAttributes(must(again, 'it is there').describe().attributes).type, 'link');
});

test('positions count the scans and tell them apart, and the lineage goes on from the newest position', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { file: '' });
  const store = { ...defaults, folder: folder.at('store') };
  const positions = async (previous: Position | undefined): Promise<Position[]> => {
    const recorder = openFilesRecorder(store, { runtime: runtimeAt(0), previous });
    const cuts: Position[] = [];
    for (const _ of [1, 2]) {
      await using base = await recorder.openBase(run);
      await Array.fromAsync(base.entries);
      cuts.push((await base.finish(run)).cut);
    }
    return cuts;
  };
  const [first, second] = await positions(undefined);
  assert.deepEqual([first?.order, second?.order, second?.lineage], [orderOf(1), orderOf(2), '07'.repeat(16)]);
  const previous = { lineage: 'known', order: orderOf(41), resume: '' };
  assert.deepEqual(await positions(previous), [
    { lineage: 'known', order: orderOf(42), resume: '07'.repeat(8) },
    { lineage: 'known', order: orderOf(43), resume: '07'.repeat(8) },
  ]);
});

test('a missing folder and one that is a file are clear errors; a link to a folder is followed', async () => {
  await using folder = temporaryFolder();
  storeFolder(folder, { file: '' });
  symlinkSync('store', folder.at('link'));
  assert.throws(() => openFilesRecorder({ ...defaults, folder: folder.at('none') }, { runtime: runtimeAt(0) }), {
    code: 'STORE_UNREACHABLE',
  });
  assert.throws(() => openFilesRecorder({ ...defaults, folder: folder.at('store/file') }, { runtime: runtimeAt(0) }), {
    code: 'STORE_UNREACHABLE',
    message: `${folder.at('store/file')} is not a folder`,
  });
  assert.deepEqual((await record(folder, { folder: folder.at('link') })).names, ['', 'file']);
});

test('the list of what was left out is bounded, and what is incomplete comes first', async () => {
  const list = new SkippedList();
  for (let index = 0; index < 1_500; index++) list.add(`s${index}`, 'special', '');
  list.add('bad', 'unreadable', '');
  assert.deepEqual([list.count, list.incompleteCount, list.list().length], [1_501, 1, 1_000]);
  assert.equal(list.list()[0]?.reason, 'unreadable');
});
