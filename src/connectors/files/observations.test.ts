import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { must } from '../../core/must.ts';
import type { Position } from '../../core/position.ts';
import type { Base, ObservationLog, Recorder } from '../../core/recorder.ts';
import type { Runtime } from '../../core/run.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { asNobody } from '../../testing/as-nobody.ts';
import { compareSnapshots } from '../../testing/tree/compare.ts';
import { editTree } from '../../testing/tree/edit.ts';
import { generateTree } from '../../testing/tree/generate.ts';
import { observeInMemory, overlaid, recordInMemory } from '../../testing/tree/memory-base.ts';
import type { MemoryBase, MemoryObservation } from '../../testing/tree/memory-base.ts';
import { snapshotTree } from '../../testing/tree/snapshot.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { filesConnector } from './connector.ts';
import type { FilesStore } from './store.ts';

const run = { signal: new AbortController().signal };
const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => {} },
  temporaryFolder: '/nowhere',
};

function storeAt(folder: string, options: Partial<FilesStore> = {}): FilesStore {
  return { folder, include: [], exclude: [], oneFileSystem: false, cacheDirTag: false, excludeFolders: [], ...options };
}

type Observed = {
  readonly recorder: Recorder;
  readonly log: ObservationLog;
  /** With all that was told since. */
  base: MemoryBase;
  readonly told: MemoryObservation[];
};

function stateFolderOf(folder: TemporaryFolder): string {
  mkdirSync(folder.at('state'), { recursive: true });
  return folder.at('state');
}

async function openRecorder(
  folder: TemporaryFolder,
  previous?: Position,
  options: Partial<FilesStore> = {},
): Promise<Recorder> {
  const context = { runtime, previous, stateFolder: stateFolderOf(folder) };
  return await filesConnector.openRecorder(storeAt(folder.at('store'), options), context, run);
}

/** A base, and observations from there on; the first one may tell again what was doubtful. */
async function observed(
  folder: TemporaryFolder,
  options: Partial<FilesStore> = {},
): Promise<Observed & AsyncDisposable> {
  const recorder = await openRecorder(folder, undefined, options);
  await using base = await recorder.openBase(run);
  const recorded = await recordInMemory(base, run);
  const log = await must(recorder.openObservations, 'observations').call(recorder, recorded.end.cut, run);
  return {
    recorder,
    log,
    base: recorded,
    told: [],
    async [Symbol.asyncDispose]() {
      await log[Symbol.asyncDispose]();
      await recorder[Symbol.asyncDispose]();
    },
  };
}

/** Names that the observation tells, with `-` before those that are gone. */
async function observe(one: Observed): Promise<readonly string[]> {
  await using observation = await one.log.observe(run);
  if (observation === undefined) return [];
  const told = await observeInMemory(observation, run, one.base);
  one.told.push(told);
  one.base = overlaid(one.base, told);
  return [...told.changes.all.map(({ name }) => shown(name)), ...told.removed.map((name) => `-${shown(name)}`)];
}

function shown(name: Uint8Array): string {
  return name.byteLength === 0 ? '.' : Buffer.from(name).toString('latin1').replaceAll('\0', '/');
}

let restores = 0;

async function assertHolds(
  folder: TemporaryFolder,
  base: MemoryBase,
  was = snapshotTree(folder.at('store')),
): Promise<void> {
  const target = folder.at(`restored-${++restores}`);
  await using restorer = await filesConnector.openRestorer(storeAt(target), { runtime, id: 'r1' }, run);
  const report = await restorer.restoreBase(base, run);
  await restorer.verify(run);
  await restorer.swap(run);
  assert.deepEqual(report.notes, []);
  assert.deepEqual(compareSnapshots(was, snapshotTree(target)), []);
  rmSync(target, { recursive: true, force: true });
}

test('base and observations between random edits are together what was there each time', async () => {
  const seed = randomInt(2 ** 31);
  await using folder = temporaryFolder();
  await generateTree(folder.at('store'), { seed, size: 60 });
  mkdirSync(folder.at('outside'));
  const random = createSeededRandom(seed);
  await using one = await observed(folder);
  try {
    for (let round = 0; round < 12; round++) {
      editTree(folder.at('store'), { seed: `${seed} ${round}`, edits: 1 + random.integer(30) });
      moveFolders(folder, round);
      await observe(one);
      await assertHolds(folder, one.base);
    }
  } catch (cause) {
    throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
  }
});

/** One is moved out, what was moved out comes back elsewhere. */
function moveFolders(folder: TemporaryFolder, round: number): void {
  if (round % 3 === 0) {
    mkdirSync(folder.at('store', `moves-${round}`, 'deep'), { recursive: true });
    writeFileSync(folder.at('store', `moves-${round}`, 'deep', 'file'), `round ${round}`);
  } else if (round % 3 === 1) {
    const [from, to] = [folder.at('store', `moves-${round - 1}`), folder.at('outside', 'moved')];
    rmSync(to, { recursive: true, force: true });
    try {
      renameSync(from, to);
    } catch {
      // The edits have made something else of it.
    }
  } else {
    try {
      renameSync(folder.at('outside', 'moved'), folder.at('store', `back-${round}`));
    } catch {
      // See above.
    }
  }
}

/** A base by a recorder of its own: what observations must have led to. */
async function assertIsWhole(
  folder: TemporaryFolder,
  base: MemoryBase,
  options: Partial<FilesStore> = {},
): Promise<void> {
  await using recorder = await filesConnector.openRecorder(storeAt(folder.at('store'), options), { runtime }, run);
  await using fresh = await recorder.openBase(run);
  const expected = await recordInMemory(fresh, run);
  const namesIn = ({ all }: MemoryBase): readonly string[] => all.map(({ name }) => shown(name));
  assert.deepEqual(namesIn(base), namesIn(expected));
  for (const [index, entry] of expected.all.entries()) {
    const told = must(base.all[index], 'as many entries');
    assert.deepEqual(told.attributes, entry.attributes, `attributes of ${shown(entry.name)}`);
    assert.deepEqual(told.content, entry.content, `content of ${shown(entry.name)}`);
  }
}

const selections: readonly (readonly [what: string, options: Partial<FilesStore>])[] = [
  ['everything', {}],
  ['what include matches', { include: ['*.txt', 'bulk/**/*.json', '/b/'] }],
  ['what exclude leaves', { exclude: ['*.txt', 'd*/', '!a.txt'] }],
  ['include and exclude', { include: ['*.txt', '*.bin', 'a/'], exclude: ['no*'] }],
  ['tagged caches', { cacheDirTag: true }],
];

for (const [what, options] of selections) {
  test(`observations of ${what} lead to what a base of it would hold`, async () => {
    const seed = randomInt(2 ** 31);
    await using folder = temporaryFolder();
    const store = folder.at('store');
    mkdirSync(store);
    const random = createSeededRandom(seed);
    for (const name of ['a', 'b', 'c']) mkdirSync(`${store}/${name}/d/e`, { recursive: true });
    // Other names of a file that are left out are not told apart from what does not concern the store.
    const without = Object.keys(options).length === 0 ? [] : ['addHardLink'];
    editTree(store, { seed: `${seed} start`, edits: 60, without });
    await using one = await observed(folder, options);
    try {
      for (let round = 0; round < 25; round++) {
        editTree(store, { seed: `${seed} ${round}`, edits: 1 + random.integer(12), without });
        const tag = `${store}/${random.pick(['a', 'b', 'c'])}`;
        if (random.chance(0.5) || !lstatSync(tag, { throwIfNoEntry: false })?.isDirectory()) {
          rmSync(tag, { recursive: true, force: true });
          mkdirSync(`${tag}/sub`, { recursive: true });
          writeFileSync(`${tag}/sub/x.txt`, `${round}`);
          if (random.chance(0.7)) writeFileSync(`${tag}/CACHEDIR.TAG`, 'Signature: 8a477f597d28d172789f06886806bc55');
        } else rmSync(`${tag}/CACHEDIR.TAG`, { force: true, recursive: true });
        if (random.chance(0.9)) await observe(one);
        else await (await one.log.observe(run))?.[Symbol.asyncDispose]();
      }
      await observe(one);
      await assertIsWhole(folder, one.base, options);
    } catch (cause) {
      throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
    }
  });
}

test('what happens between two observations is told once, and nothing where nothing happened', async () => {
  await using folder = temporaryFolder();
  const store = folder.at('store');
  mkdirSync(`${store}/folder`, { recursive: true });
  writeFileSync(`${store}/folder/old`, 'old');
  await using one = await observed(folder);
  await observe(one);
  assert.deepEqual(await observe(one), []);
  writeFileSync(`${store}/folder/new`, 'new');
  assert.deepEqual(await observe(one), ['folder', 'folder/new']);
  assert.deepEqual(await observe(one), []);
  renameSync(`${store}/folder/new`, `${store}/newer`);
  assert.deepEqual(await observe(one), ['.', 'folder', 'newer', '-folder/new']);
  unlinkSync(`${store}/folder/old`);
  writeFileSync(`${store}/folder/old`, 'old');
  assert.deepEqual(await observe(one), ['folder', 'folder/old']);
  await assertHolds(folder, one.base);
});

test('a write through an open descriptor is told, and one right after a look once more', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('store'));
  await using one = await observed(folder);
  const file = openSync(folder.at('store', 'open'), 'w');
  try {
    await observe(one);
    for (let round = 0; round < 50; round++) {
      writeSync(file, `${round % 10}`, 0);
      assert.deepEqual(await observe(one), ['open']);
      const held = must(one.base.all.find(({ name }) => shown(name) === 'open')?.content, 'a content');
      assert.equal(Buffer.concat(await Array.fromAsync(one.base.read(held, run))).toString(), `${round % 10}`);
    }
  } finally {
    closeSync(file);
  }
});

test('a folder that is moved in is told with all it holds, and its files are watched; one moved out is gone with them', async () => {
  await using folder = temporaryFolder();
  const store = folder.at('store');
  mkdirSync(store);
  mkdirSync(folder.at('other', 'deep'), { recursive: true });
  writeFileSync(folder.at('other', 'deep', 'file'), '1');
  await using one = await observed(folder);
  await observe(one);
  renameSync(folder.at('other'), `${store}/in`);
  assert.deepEqual(await observe(one), ['.', 'in', 'in/deep', 'in/deep/file']);
  appendFileSync(`${store}/in/deep/file`, '2');
  assert.deepEqual(await observe(one), ['in/deep/file']);
  renameSync(`${store}/in`, `${store}/elsewhere`);
  assert.deepEqual(await observe(one), [
    '.',
    'elsewhere',
    'elsewhere/deep',
    'elsewhere/deep/file',
    '-in',
    '-in/deep',
    '-in/deep/file',
  ]);
  appendFileSync(`${store}/elsewhere/deep/file`, '3');
  assert.deepEqual(await observe(one), ['elsewhere/deep/file']);
  renameSync(`${store}/elsewhere`, folder.at('out'));
  assert.deepEqual(await observe(one), ['.', '-elsewhere', '-elsewhere/deep', '-elsewhere/deep/file']);
  appendFileSync(folder.at('out', 'deep', 'file'), '4');
  assert.deepEqual(await observe(one), []);
});

test('all names of a file are told when one comes, changes or goes', async () => {
  await using folder = temporaryFolder();
  const store = folder.at('store');
  for (const name of ['a', 'b', 'c']) mkdirSync(`${store}/${name}`, { recursive: true });
  writeFileSync(`${store}/b/first`, 'one');
  await using one = await observed(folder);
  await observe(one);
  linkSync(`${store}/b/first`, `${store}/a/second`);
  linkSync(`${store}/b/first`, `${store}/c/third`);
  assert.deepEqual(await observe(one), ['a', 'a/second', 'b/first', 'c', 'c/third']);
  await assertHolds(folder, one.base);
  appendFileSync(`${store}/c/third`, 'two');
  assert.deepEqual(await observe(one), ['a/second', 'b/first', 'c/third']);
  await assertHolds(folder, one.base);
  rmSync(`${store}/a`, { recursive: true });
  assert.deepEqual(await observe(one), ['.', 'b/first', 'c/third', '-a', '-a/second']);
  await assertHolds(folder, one.base);
});

test('an observation that is not finished is told again, with what came since', async () => {
  await using folder = temporaryFolder();
  const store = folder.at('store');
  mkdirSync(store);
  writeFileSync(`${store}/gone`, '1');
  await using one = await observed(folder);
  await observe(one);
  writeFileSync(`${store}/a`, '1');
  unlinkSync(`${store}/gone`);
  {
    await using left = must(await one.log.observe(run), 'an observation');
    await Array.fromAsync(left.entries);
    assert.deepEqual(left.removed.map(shown), ['gone']);
  }
  await one.log.changed(run);
  writeFileSync(`${store}/b`, '1');
  assert.deepEqual(await observe(one), ['.', 'a', 'b', '-gone']);
});

test('after a restart observations go on behind the position that is named, and know what happened meanwhile', async () => {
  await using folder = temporaryFolder();
  const store = folder.at('store');
  mkdirSync(store);
  for (const name of ['gone1', 'gone2', 'gone3']) writeFileSync(`${store}/${name}`, name);
  let [base, end]: [MemoryBase | undefined, Position | undefined] = [undefined, undefined];
  const positions: Position[] = [];
  {
    await using one = await observed(folder);
    await observe(one);
    for (const number of [1, 2, 3]) {
      unlinkSync(`${store}/gone${number}`);
      writeFileSync(`${store}/new${number}`, `${number}`);
      await observe(one);
      positions.push(one.base.end.cut);
      if (number === 2) [base, end] = [one.base, one.base.end.cut];
    }
    one.log.acknowledge(must(positions[0], 'a position'));
  }
  unlinkSync(`${store}/new1`);
  const after = must(end, 'a position');
  await using recorder = await openRecorder(folder, after);
  await using log = await must(recorder.openObservations, 'observations').call(recorder, after, run);
  const again = { recorder, log, base: must(base, 'a base'), told: [] };
  await log.changed(run);
  const told = await observe(again);
  assert.ok(
    ['new3', '-gone3', '-new1'].every((name) => told.includes(name)),
    String(told),
  );
  await assertHolds(folder, again.base);
  const last = must(positions[2], 'a position');
  assert.ok(again.base.end.cut.order > last.order, 'no number is given out twice');
});

async function assertLost(recorder: Recorder, after: Position): Promise<void> {
  const open = must(recorder.openObservations, 'observations').call(recorder, after, run);
  await assert.rejects(open, { code: 'POSITION_LOST', disposition: 'resync' });
}

test('what this host does not know any more is lost, and a new base begins anew', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('store'));
  const positions: Position[] = [];
  {
    await using one = await observed(folder);
    for (const number of [1, 2, 3]) {
      writeFileSync(folder.at('store', 'a'), `${number}`);
      await observe(one);
      positions.push(one.base.end.cut);
    }
    one.log.acknowledge(must(positions[1], 'a position'));
  }
  const [first, , last] = positions.map((position) => must(position, 'a position'));
  {
    await using recorder = await openRecorder(folder, last);
    await assertLost(recorder, must(first, 'a position'));
    await assertLost(recorder, { ...must(last, 'a position'), resume: 'of another process' });
    await assertLost(recorder, { ...must(last, 'a position'), order: '00000000000000000099' });
    await assertLost(recorder, { ...must(last, 'a position'), lineage: 'another' });
  }
  writeFileSync(folder.at('state', 'observed.db'), 'no database');
  rmSync(folder.at('state', 'observed.db-wal'), { force: true });
  await using recorder = await openRecorder(folder, last);
  await assertLost(recorder, must(last, 'a position'));
  await using base = await recorder.openBase(run);
  const { end } = await recordInMemory(base, run);
  assert.equal(end.cut.lineage, last?.lineage);
  await using log = await must(recorder.openObservations, 'observations').call(recorder, end.cut, run);
  await (await log.observe(run))?.[Symbol.asyncDispose]();
});

/** Where a table of what is known of a store begins is no page of a database any more. */
function damageTable(folder: TemporaryFolder, table: string): void {
  const path = folder.at('state', 'observed.db');
  const database = new DatabaseSync(path);
  const page = database.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').get(table);
  const size = database.prepare('PRAGMA page_size').get();
  database.close();
  const sizeBytes = Number(size?.['page_size']);
  const descriptor = openSync(path, 'r+');
  writeSync(descriptor, Buffer.alloc(sizeBytes, 0xff), 0, sizeBytes, (Number(page?.['rootpage']) - 1) * sizeBytes);
  closeSync(descriptor);
}

for (const table of ['meta', 'positions', 'known0', 'known1', 'staged', 'told']) {
  test(`damage to what is known (${table}) ends what was followed, and recording begins anew`, async () => {
    await using folder = temporaryFolder();
    mkdirSync(folder.at('store'));
    writeFileSync(folder.at('store', 'a'), '1');
    let cut: Position;
    {
      await using one = await observed(folder);
      await observe(one);
      ({ cut } = one.base.end);
    }
    damageTable(folder, table);
    writeFileSync(folder.at('store', 'a'), '22');
    const goOn = async (): Promise<void> => {
      await using recorder = await openRecorder(folder, cut);
      await using log = await must(recorder.openObservations, 'observations').call(recorder, cut, run);
      await using observation = must(await log.observe(run), 'an observation');
      await Array.fromAsync(observation.entries);
      await observation.finish(run);
    };
    const takeBase = async (): Promise<void> => {
      await using recorder = await openRecorder(folder, cut);
      await using base = await recorder.openBase(run);
      await recordInMemory(base, run);
    };
    const isLost = { code: 'POSITION_LOST', disposition: 'resync' };
    await assert.rejects(table === 'known0' ? takeBase() : goOn(), isLost);
    await using again = await observed(folder);
    await observe(again);
    writeFileSync(folder.at('store', 'b'), '1');
    assert.ok((await observe(again)).includes('b'));
  });
}

test('once damage is found, nothing is asked of what is known any more', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('store'));
  let cut: Position;
  {
    await using one = await observed(folder);
    ({ cut } = one.base.end);
  }
  damageTable(folder, 'known1');
  writeFileSync(folder.at('store', 'a'), '1');
  const isLost = { code: 'POSITION_LOST', disposition: 'resync' };
  await using recorder = await openRecorder(folder, cut);
  await using log = await must(recorder.openObservations, 'observations').call(recorder, cut, run);
  await assert.rejects(log.observe(run), isLost);
  await assert.rejects(recorder.openBase(run), isLost);
});

test('after a base that could not be opened another one can be gone on from', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('store'));
  const loop = folder.at('loop');
  symlinkSync(loop, loop);
  await using recorder = await openRecorder(folder, undefined, { excludeFolders: [loop] });
  await assert.rejects(recorder.openBase(run), { code: 'ELOOP' });
  unlinkSync(loop);
  await using base = await recorder.openBase(run);
  const { end } = await recordInMemory(base, run);
  await using log = await must(recorder.openObservations, 'observations').call(recorder, end.cut, run);
  await (await log.observe(run))?.[Symbol.asyncDispose]();
});

for (const include of [[], ['wanted']]) {
  const which = include.length === 0 ? 'everything' : 'what matches';
  test(`what lies in a folder that can’t be listed any more stays as it was told, where ${which} is kept`, async () => {
    await using folder = temporaryFolder();
    chmodSync(folder.path, 0o777);
    const closed = folder.at('store', 'top', 'closed');
    const told = await asNobody(async () => {
      mkdirSync(folder.at('store', 'top', 'closed', 'inside'), { recursive: true });
      for (const inside of ['closed/wanted', 'closed/inside/wanted', 'wanted']) {
        writeFileSync(folder.at('store', 'top', inside), '1');
      }
      let base: MemoryBase;
      {
        await using one = await observed(folder, { include });
        await observe(one);
        ({ base } = one);
      }
      chmodSync(closed, 0o000);
      await using recorder = await openRecorder(folder, base.end.cut, { include });
      await using log = await must(recorder.openObservations, 'observations').call(recorder, base.end.cut, run);
      try {
        return await observe({ recorder, log, base, told: [] });
      } finally {
        chmodSync(closed, 0o700);
      }
    });
    assert.ok(!told.some((name) => name.startsWith('-')), String(told));
  });
}

test('without a folder for its state a recorder can’t go on', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('store'));
  await using recorder = await filesConnector.openRecorder(storeAt(folder.at('store')), { runtime }, run);
  await using base = await recorder.openBase(run);
  const { end } = await recordInMemory(base, run);
  await assertLost(recorder, end.cut);
});

test('another folder in the place of the one that was observed has a lineage of its own', async () => {
  await using folder = temporaryFolder();
  const store = folder.at('store');
  mkdirSync(store);
  await using one = await observed(folder);
  await observe(one);
  const before = one.base.end.cut;
  renameSync(store, folder.at('aside'));
  mkdirSync(store);
  await assert.rejects(one.log.observe(run), { code: 'POSITION_LOST', disposition: 'resync' });
  await one[Symbol.asyncDispose]();
  await using recorder = await openRecorder(folder, before);
  assert.notEqual(recorder.lineage.id, before.lineage);
  await assertLost(recorder, before);
  await using base = await recorder.openBase(run);
  const { end } = await recordInMemory(base, run);
  assert.equal(end.cut.lineage, recorder.lineage.id);
  await using log = await must(recorder.openObservations, 'observations').call(recorder, end.cut, run);
  await (await log.observe(run))?.[Symbol.asyncDispose]();
});

test('what was acknowledged of one folder says nothing of the folder that took its place', async () => {
  await using folder = temporaryFolder();
  const store = folder.at('store');
  mkdirSync(store);
  let cut: Position;
  {
    await using one = await observed(folder);
    for (const number of [1, 2, 3, 4, 5]) {
      writeFileSync(`${store}/a`, `${number}`);
      await observe(one);
    }
    one.log.acknowledge(one.base.end.cut);
    await one.log[Symbol.asyncDispose]();
    renameSync(store, folder.at('aside'));
    mkdirSync(store);
    await using base = await one.recorder.openBase(run);
    const recorded = await recordInMemory(base, run);
    ({ cut } = recorded.end);
    await using log = await must(one.recorder.openObservations, 'observations').call(one.recorder, cut, run);
    writeFileSync(`${store}/b`, '1');
    await observe({ recorder: one.recorder, log, base: recorded, told: [] });
  }
  await using recorder = await openRecorder(folder, cut);
  await using log = await must(recorder.openObservations, 'observations').call(recorder, cut, run);
  await (await log.observe(run))?.[Symbol.asyncDispose]();
});

test('a folder of state is one recorder’s at a time', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('store'));
  await using _ = await openRecorder(folder);
  await assert.rejects(openRecorder(folder), { code: 'BUSY' });
});

/** A name of a file that comes and goes between two observations is not known to be one, and the count of names is told later. */
const without = ['addHardLink'];

/** Something happens whenever the reader has an entry in hand. */
function interrupted(base: Base, happen: () => Promise<void>): Base {
  const entries = (async function* () {
    for await (const batch of base.entries) {
      for (const entry of batch) {
        await happen();
        yield [entry];
      }
    }
  })();
  return {
    entries,
    retry: (entry, cause, inner) => base.retry(entry, cause, inner),
    finish: (inner) => base.finish(inner),
    [Symbol.asyncDispose]: () => base[Symbol.asyncDispose](),
  };
}

test('a base that is taken while the folder is observed and changes is, with what was told since, what is there', async () => {
  const seed = randomInt(2 ** 31);
  const random = createSeededRandom(seed);
  await using folder = temporaryFolder();
  const store = folder.at('store');
  await generateTree(store, { seed, size: 20, special: false });
  await using one = await observed(folder);
  let edits = 0;
  const happen = async (): Promise<void> => {
    if (random.chance(0.3)) editTree(store, { seed: `${seed} ${edits++}`, edits: 1 + random.integer(3), without });
    if (random.chance(0.1)) await observe(one);
  };
  try {
    for (let round = 0; round < 4; round++) {
      await using base = await one.recorder.openBase(run);
      let fuzzy = await recordInMemory(interrupted(base, happen), run);
      const { logFrom, cut } = fuzzy.end;
      assert.ok(logFrom.order < cut.order, 'observations are told from before the cut');
      for (let steps = 0; steps < 20; steps++) await happen();
      await observe(one);
      for (const told of one.told) {
        if (told.changes.end.cut.order > logFrom.order) fuzzy = overlaid(fuzzy, told);
      }
      await assertIsWhole(folder, one.base);
      await assertIsWhole(folder, fuzzy);
    }
  } catch (cause) {
    throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
  }
});

test('an observation that began before a base was read comes before its cut, finished or left', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('store'));
  await using one = await observed(folder);
  for (const isFinished of [true, false]) {
    writeFileSync(folder.at('store/early'), String(isFinished));
    await using observation = must(await one.log.observe(run), 'a change');
    await using base = await one.recorder.openBase(run);
    await Array.fromAsync(base.entries);
    const ending = base.finish(run);
    await Array.fromAsync(observation.entries);
    const end = isFinished ? await observation.finish(run) : undefined;
    await observation[Symbol.asyncDispose]();
    const { cut } = await ending;
    assert.ok((end?.cut.order ?? '') < cut.order);
  }
});

test('what changes while an observation is read is told by it or by the next', async () => {
  const seed = randomInt(2 ** 31);
  const random = createSeededRandom(seed);
  await using folder = temporaryFolder();
  const store = folder.at('store');
  await generateTree(store, { seed, size: 20, special: false });
  await using one = await observed(folder);
  let edits = 0;
  const edit = (): unknown => editTree(store, { seed: `${seed} ${edits++}`, edits: 1 + random.integer(10), without });
  try {
    for (let round = 0; round < 30; round++) {
      edit();
      await using observation = await one.log.observe(run);
      if (observation === undefined) continue;
      const base = interrupted(observation, async () => {
        if (random.chance(0.3)) edit();
      });
      const changes = await recordInMemory(base, run);
      one.base = overlaid(one.base, { changes, removed: observation.removed });
    }
    await observe(one);
    await assertIsWhole(folder, one.base);
    await assertHolds(folder, one.base);
  } catch (cause) {
    throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
  }
});
