import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import type { RestorerContext } from '../../core/connector.ts';
import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { openFolderAt, WORKING_FOLDER } from '../../io/native-folder.ts';
import { setTimes } from '../../io/native-time.ts';
import { compareSnapshots } from '../../testing/tree/compare.ts';
import type { CompareOptions } from '../../testing/tree/compare.ts';
import { recordInMemory } from '../../testing/tree/memory-base.ts';
import type { MemoryBase } from '../../testing/tree/memory-base.ts';
import { snapshotTree } from '../../testing/tree/snapshot.ts';
import type { Snapshot } from '../../testing/tree/snapshot.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { byteText } from './byte-text.ts';
import { readJournal } from './journal.ts';
import { findPlace } from './place.ts';
import type { Place } from './place.ts';
import { openFilesRecorder } from './recorder.ts';
import { restorerAt } from './restorer.ts';
import { childrenToExchange, exchangeChildren } from './swap-children.ts';

const run: Run = { signal: new AbortController().signal };
const context: RestorerContext = {
  id: 'r1',
  runtime: {
    clock: { nowMs: () => 4e12, monotonicMs: () => 0, sleep: async () => {} },
    random: createSeededRandom(1).bytes,
    logger: { log: () => {} },
    temporaryFolder: '/nowhere',
  },
};

/** The place of a folder as it would be found if something were mounted on it. */
function mountedAt(folder: string): Place {
  const place = findPlace(folder, 'r1');
  return { ...place, mounted: true, home: place.target };
}

async function record(folder: string): Promise<MemoryBase> {
  const store = { folder, include: [], exclude: [], oneFileSystem: false, cacheDirTag: false, excludeFolders: [] };
  await using recorder = openFilesRecorder(store, context);
  await using base = await recorder.openBase(run);
  return await recordInMemory(base, run);
}

/** The root's own time is lost by what the restore has put into it. */
const ROOT_TIME: CompareOptions = { ignore: ['mtimeNs'] };

type Two = { readonly base: MemoryBase; readonly past: Snapshot; readonly now: Snapshot };

/** A folder with a base of what it was in the past, and what it is now: some children stay, some change their type, some come, some go. */
async function changedFolder(folder: TemporaryFolder): Promise<Two> {
  const at = (...names: string[]): string => folder.at('tree', ...names);
  mkdirSync(at('kept'), { recursive: true });
  mkdirSync(at('folder then'));
  for (const name of ['kept/file', 'folder then/x', 'only then', 'file then', 'both']) {
    writeFileSync(at(name), `past ${name}`);
  }
  chmodSync(at(), 0o751);
  setTimes(Buffer.from(at()), { mtimeNs: 1_600_000_000_000_000_001n });
  const base = await record(at());
  const past = snapshotTree(at());
  rmSync(at('folder then'), { recursive: true });
  for (const name of ['only then', 'file then']) rmSync(at(name));
  writeFileSync(at('folder then'), 'a file now');
  mkdirSync(at('file then'));
  for (const name of ['both', 'kept/file', 'only now', 'file then/y']) writeFileSync(at(name), `now ${name}`);
  chmodSync(at(), 0o705);
  setTimes(Buffer.from(at()), { mtimeNs: 1_700_000_000_000_000_002n });
  return { base, past, now: snapshotTree(at()) };
}

/** Without what restores keep in it. */
function ownEntries(root: string): Snapshot {
  const mine = (path: string): boolean => !Buffer.from(path, 'hex').toString().startsWith('.tree.tidemark-');
  return new Map([...snapshotTree(root)].filter(([path]) => mine(path)));
}

async function restoreUpToVerify(folder: TemporaryFolder, base: MemoryBase): Promise<void> {
  await using restorer = restorerAt(mountedAt(folder.at('tree')), context);
  await restorer.restoreBase(base, run);
  await restorer.verify(run);
}

test('where something is mounted the children are exchanged, and the old ones kept aside with the old attributes', async () => {
  await using folder = temporaryFolder();
  const { base, past, now } = await changedFolder(folder);
  await restoreUpToVerify(folder, base);
  await using restorer = restorerAt(mountedAt(folder.at('tree')), context);
  for (const _ of [1, 2]) {
    const { keptAside } = await restorer.swap(run);
    assert.equal(keptAside, folder.at('tree/.tree.tidemark-aside-r1'));
    assert.deepEqual(compareSnapshots(past, ownEntries(folder.at('tree'))), []);
    assert.deepEqual(compareSnapshots(now, snapshotTree(must(keptAside, 'kept aside')), ROOT_TIME), []);
  }
  assert.equal(lstatSync(folder.at('tree')).mode & 0o777, 0o751);
});

test('lost+found stays where it is', async () => {
  await using folder = temporaryFolder();
  const { base } = await changedFolder(folder);
  mkdirSync(folder.at('tree/lost+found'));
  const { ino } = lstatSync(folder.at('tree/lost+found'));
  await restoreUpToVerify(folder, base);
  await using restorer = restorerAt(mountedAt(folder.at('tree')), context);
  await restorer.swap(run);
  assert.equal(lstatSync(folder.at('tree/lost+found')).ino, ino);
});

test('an exchange of children that was cut off after any number of them is finished by the next call', async () => {
  for (let moved = 0; moved <= 6; moved++) {
    await using folder = temporaryFolder();
    const { base, past, now } = await changedFolder(folder);
    await restoreUpToVerify(folder, base);
    const signal = cutOffAfter(moved);
    await using first = restorerAt(mountedAt(folder.at('tree')), context);
    await first.swap({ signal }).catch((error: unknown) => assert.match(String(error), /cut off/));
    await using second = restorerAt(mountedAt(folder.at('tree')), context);
    const { keptAside } = await second.swap(run);
    assert.deepEqual(compareSnapshots(past, ownEntries(folder.at('tree'))), []);
    assert.deepEqual(compareSnapshots(now, snapshotTree(must(keptAside, 'kept aside')), ROOT_TIME), []);
  }
});

/** A signal that aborts when it has been asked so many times after the journal was written: once for each child. */
function cutOffAfter(children: number): AbortSignal {
  const { signal } = new AbortController();
  let asked = 0;
  const journalWrites = 2;
  return Object.assign(Object.create(signal) as AbortSignal, {
    throwIfAborted: () => {
      if (asked++ === children + journalWrites) throw new Error('cut off');
    },
  });
}

test('a child that lies under its spare name after a crash gets its own back', async () => {
  await using folder = temporaryFolder();
  const { base, past, now } = await changedFolder(folder);
  await restoreUpToVerify(folder, base);
  const [tree, fresh] = [folder.at('tree'), folder.at('tree/.tree.tidemark-new-r1')];
  const place = mountedAt(tree);
  const home = openFolderAt(WORKING_FOLDER, Buffer.from(tree));
  using _closing = { [Symbol.dispose]: () => closeSync(home) };
  const verified = must(await readJournal(home, place.beside.journal), 'a journal');
  const journal = { ...verified, state: 'exchanging' as const, children: childrenToExchange(home, place.beside.fresh) };
  renameSync(`${tree}/both`, `${fresh}/both.tidemark-spare`);
  await exchangeChildren({ place, home, runtime: context.runtime }, journal, run);
  assert.ok(!existsSync(fresh));
  const aside = `${tree}/.tree.tidemark-aside-r1`;
  assert.deepEqual(
    [readFileSync(`${tree}/both`, 'utf8'), readFileSync(`${aside}/both`, 'utf8')],
    ['past both', 'now both'],
  );
  assert.deepEqual(
    readdirSync(aside).toSorted(),
    [...now.keys()]
      .filter((path) => path !== '' && !path.includes('2f'))
      .map((path) => byteText(Buffer.from(path, 'hex')))
      .toSorted(),
  );
  assert.equal(past.size, ownEntries(tree).size);
});
