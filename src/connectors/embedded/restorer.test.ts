import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { recorderOfSource } from '../../archive/source-recorder.ts';
import type { Runtime } from '../../core/run.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { memoryReader, recordInMemory } from '../../testing/tree/memory-base.ts';
import type { MemoryBase } from '../../testing/tree/memory-base.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { embeddedConnector } from './connector.ts';
import { openEmbedded } from './embedded-store.ts';
import type { EmbeddedStore } from './embedded-store.ts';
import { openEmbeddedSink } from './sink.ts';
import { openEmbeddedSource } from './source.ts';

const run = { signal: new AbortController().signal };
const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => {} },
  temporaryFolder: '/nowhere',
};
const LARGE = 'large '.repeat(2_000);

async function record(file: string): Promise<MemoryBase> {
  await using recorder = recorderOfSource(openEmbeddedSource({ file }, runtime));
  await using base = await recorder.openBase(run);
  return await recordInMemory(base, run);
}

async function restore(
  base: MemoryBase,
  file: string,
  options: { readonly id?: string; readonly only?: readonly string[] } = {},
): Promise<string | undefined> {
  await using restorer = await embeddedConnector.openRestorer({ file }, { runtime, id: 'r1', ...options }, run);
  await restorer.restoreBase(base, run);
  await restorer.verify(run);
  return (await restorer.swap(run)).keptAside;
}

function textsOf(store: EmbeddedStore): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const { key, value } of store.range()) texts[Buffer.from(key).toString()] = Buffer.from(value).toString();
  return texts;
}

function namesIn(folder: TemporaryFolder): readonly string[] {
  return readdirSync(folder.path).filter((name) => name.includes('tidemark'));
}

const GOOD = { a: '1', b: LARGE, 'c/d': '' };

async function shopWithBase(folder: TemporaryFolder): Promise<{ readonly base: MemoryBase; readonly file: string }> {
  const file = folder.at('store.db');
  using store = openEmbedded(file);
  for (const [key, value] of Object.entries(GOOD)) store.put(key, value);
  return { base: await record(file), file };
}

test('a restore replaces what is there in one step, also under who has it open, and keeps the old aside', async () => {
  await using folder = temporaryFolder();
  const { base, file } = await shopWithBase(folder);
  using store = openEmbedded(file);
  const { lineage } = store;
  store.put('a', 'wrong');
  store.put('new', 'wrong');
  const revision = store.revision;
  const keptAside = await restore(base, file);
  assert.deepEqual(textsOf(store), GOOD);
  assert.notEqual(store.lineage, lineage);
  assert.ok(store.revision > revision, 'no revision comes twice');
  assert.equal(store.entry('a')?.revision, store.revision);
  using old = openEmbedded(keptAside ?? '');
  assert.deepEqual([textsOf(old), old.lineage], [{ ...GOOD, a: 'wrong', new: 'wrong' }, lineage]);
  assert.equal(store.put('a', '2', { ifRevision: revision }), undefined);
  assert.deepEqual(
    namesIn(folder).filter((name) => name.includes('-new-')),
    [],
  );
});

test('who watches a store that is restored is told', async () => {
  await using folder = temporaryFolder();
  const { base, file } = await shopWithBase(folder);
  using store = openEmbedded(file);
  const watch = store.watch({}, run);
  const first = watch.next();
  store.put('a', '2');
  await first;
  await restore(base, file);
  await assert.rejects(watch.next(), { code: 'POSITION_LOST', disposition: 'resync' });
});

test('a restore to where nothing is makes the file, and its undo takes it away', async () => {
  await using folder = temporaryFolder();
  const { base, file } = await shopWithBase(folder);
  rmSync(file);
  assert.equal(await restore(base, file), undefined);
  {
    using store = openEmbedded(file);
    assert.deepEqual(textsOf(store), GOOD);
    await assert.rejects(embeddedConnector.undo({ file }, { runtime, id: 'r1', turn: 1 }, run), { code: 'BUSY' });
  }
  for (const [turn, isThere] of [
    [1, false],
    [1, false],
    [2, true],
    [2, true],
  ] as const) {
    await embeddedConnector.undo({ file }, { runtime, id: 'r1', turn }, run);
    assert.equal(readdirSync(folder.path).includes('store.db'), isThere, `turn ${turn}`);
  }
  using store = openEmbedded(file);
  assert.deepEqual(textsOf(store), GOOD);
});

test('undo exchanges both, as often as wanted, a turn once', async () => {
  await using folder = temporaryFolder();
  const { base, file } = await shopWithBase(folder);
  using store = openEmbedded(file);
  const { lineage } = store;
  store.put('a', 'live');
  await restore(base, file);
  const undo = (turn: number): Promise<unknown> => embeddedConnector.undo({ file }, { runtime, id: 'r1', turn }, run);
  for (const turn of [1, 1, 2, 2, 3]) {
    await undo(turn);
    assert.deepEqual(textsOf(store), turn % 2 === 1 ? { ...GOOD, a: 'live' } : GOOD, `turn ${turn}`);
  }
  assert.equal(store.lineage, lineage);
  await embeddedConnector.discard({ file }, { runtime, id: 'r1' }, run);
  assert.deepEqual(namesIn(folder), []);
  await assert.rejects(undo(4), { code: 'NOTHING_TO_RESUME' });
});

test('what was applied from another store is not taken for applied after a restore', async () => {
  await using folder = temporaryFolder();
  const { base, file } = await shopWithBase(folder);
  await using sink = openEmbeddedSink({ file }, runtime);
  const cut = { lineage: 'other', order: '1', resume: '1' };
  {
    await using resync = await sink.beginResync('m', { prefixes: [Buffer.from('x/')] }, cut, run);
    await resync.finish(run);
  }
  assert.deepEqual(await sink.checkpoint('m', run), cut);
  await restore(base, file);
  assert.equal(await sink.checkpoint('m', run), undefined);
  await embeddedConnector.undo({ file }, { runtime, id: 'r1', turn: 1 }, run);
  assert.deepEqual(await sink.checkpoint('m', run), cut);
});

test('an undo whose old content is gone takes nothing away', async () => {
  await using folder = temporaryFolder();
  const { base, file } = await shopWithBase(folder);
  using store = openEmbedded(file);
  rmSync((await restore(base, file)) ?? '');
  await assert.rejects(embeddedConnector.undo({ file }, { runtime, id: 'r1', turn: 1 }, run), {
    code: 'NOTHING_TO_RESUME',
  });
  assert.deepEqual(textsOf(store), GOOD);
});

test('--only takes the keys that begin so from the base, and leaves the others as they are', async () => {
  await using folder = temporaryFolder();
  const { base, file } = await shopWithBase(folder);
  using store = openEmbedded(file);
  store.put('a', 'wrong');
  store.put('c/e', 'wrong');
  store.put('z', 'live');
  store.delete('c/d');
  await restore(base, file, { only: ['c/'] });
  assert.deepEqual(textsOf(store), { ...GOOD, a: 'wrong', z: 'live' });
  const before = namesIn(folder);
  await assert.rejects(restore(base, file, { id: 'r2', only: ['none'] }), { code: 'ENTRY_NOT_FOUND' });
  assert.deepEqual(namesIn(folder), before, 'nothing was written');
});

const damages: readonly (readonly [string, (file: string) => void])[] = [
  ['in its pages', (file) => writeFileSync(file, readFileSync(file).fill(0x5a, 4_096))],
  ['from its start on', (file) => writeFileSync(file, 'no database any more. '.repeat(1_000))],
];

for (const [where, damage] of damages) {
  test(`a store that is damaged ${where} is restored, and kept aside as it was`, async () => {
    await using folder = temporaryFolder();
    const { base, file } = await shopWithBase(folder);
    damage(file);
    const damaged = readFileSync(file);
    const preview = await embeddedConnector.preview({ file }, { runtime, id: 'r1' }, run);
    assert.deepEqual([preview.blockers, preview.replaces], [[], true]);
    const keptAside = await restore(base, file);
    {
      using store = openEmbedded(file);
      assert.deepEqual(textsOf(store), GOOD);
    }
    assert.deepEqual(readFileSync(keptAside ?? ''), damaged);
    await assert.rejects(embeddedConnector.undo({ file }, { runtime, id: 'r1', turn: 1 }, run), {
      code: 'NOTHING_TO_RESUME',
      message: /aside.*damaged/,
    });
    using store = openEmbedded(file);
    assert.deepEqual(textsOf(store), GOOD);
  });
}

test('a log that is left of a deleted file is not taken for that of the restored one', async () => {
  await using folder = temporaryFolder();
  const { base, file } = await shopWithBase(folder);
  using left = openEmbedded(file);
  for (let index = 0; index < 500; index++) left.put(`late/${index}`, 'of the deleted file');
  assert.ok(statSync(`${file}-wal`).size > 0);
  rmSync(file);
  await restore(base, file);
  using store = openEmbedded(file);
  assert.deepEqual(textsOf(store), GOOD);
});

test('a folder, or the database of another program, is not replaced', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('folder.db'));
  using other = new DatabaseSync(folder.at('other.db'));
  other.exec('CREATE TABLE theirs (a)');
  for (const [name, why] of [
    ['folder.db', /is a folder/],
    ['other.db', /is not an embedded store/],
  ] as const) {
    const { blockers } = await embeddedConnector.preview({ file: folder.at(name) }, { runtime, id: 'r1' }, run);
    assert.match(blockers.join(), why);
  }
});

test('nothing is put in place that was not written beside', async () => {
  await using folder = temporaryFolder();
  const { file } = await shopWithBase(folder);
  await using restorer = await embeddedConnector.openRestorer({ file }, { runtime, id: 'r9' }, run);
  await assert.rejects(restorer.swap(run), { code: 'RESTORE_UNFINISHED' });
});

test('a restore whose new file is gone before it came in can be given up; one that is in place, or can come in, is not', async () => {
  await using folder = temporaryFolder();
  const { base, file } = await shopWithBase(folder);
  const ifGivenUp = async (id: string): Promise<string | undefined> =>
    (await embeddedConnector.ifGivenUp?.({ file }, { runtime, id }, run))?.state;
  await restore(base, file);
  assert.equal(await ifGivenUp('r1'), undefined);
  await using restorer = await embeddedConnector.openRestorer({ file }, { runtime, id: 'r2' }, run);
  await restorer.restoreBase(base, run);
  assert.equal(await ifGivenUp('r2'), undefined);
  rmSync(folder.at('.store.db.tidemark-new-r2'));
  assert.equal(await ifGivenUp('r2'), `${file} is as it was before the restore`);
});

test('a value of which nothing can be made is named, and nothing is exchanged', async () => {
  await using folder = temporaryFolder();
  const { base, file } = await shopWithBase(folder);
  const spoilt = base.all.map((entry) =>
    Buffer.from(entry.name).toString() === 'c/d' ? { ...entry, attributes: Buffer.of(0xff) } : entry,
  );
  const isNamed = { code: 'REPOSITORY_DAMAGED', message: 'c/d: the description of a stored value is damaged' };
  await assert.rejects(restore({ ...base, ...memoryReader(spoilt) }, file), isNamed);
  using store = openEmbedded(file);
  assert.deepEqual(textsOf(store), GOOD);
});
