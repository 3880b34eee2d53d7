import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { filesConnector } from '../../src/connectors/files/connector.ts';
import type { FilesStore } from '../../src/connectors/files/store.ts';
import type { Runtime } from '../../src/core/run.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import { compareSnapshots } from '../../src/testing/tree/compare.ts';
import { generateTree } from '../../src/testing/tree/generate.ts';
import { recordInMemory } from '../../src/testing/tree/memory-base.ts';
import type { MemoryBase } from '../../src/testing/tree/memory-base.ts';
import { snapshotTree } from '../../src/testing/tree/snapshot.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import { mountSmall, whyNoMount } from './restore-file-system.ts';

const SMALL_BYTES = 64 * 1024 * 1024;
const skip = whyNoMount();

const run = { signal: new AbortController().signal };
const runtime: Runtime = {
  clock: { nowMs: () => 4e12, monotonicMs: () => 0, sleep: async () => {} },
  random: createSeededRandom(1).bytes,
  logger: { log: () => {} },
  temporaryFolder: '/nowhere',
};

function storeAt(folder: string, more: Partial<FilesStore> = {}): FilesStore {
  return { folder, include: [], exclude: [], oneFileSystem: false, cacheDirTag: false, excludeFolders: [], ...more };
}

async function record(store: FilesStore): Promise<MemoryBase> {
  await using recorder = await filesConnector.openRecorder(store, { runtime }, run);
  await using base = await recorder.openBase(run);
  return await recordInMemory(base, run);
}

async function restore(base: MemoryBase, folder: string): Promise<void> {
  await using restorer = await filesConnector.openRestorer(storeAt(folder), { runtime, id: 'r1' }, run);
  await restorer.restoreBase(base, run);
  await restorer.verify(run);
  await restorer.swap(run);
}

function namesOf(base: MemoryBase): string[] {
  return base.all.map(({ name }) => Buffer.from(name).toString().replaceAll('\0', '/'));
}

/** Without what a restore keeps inside a folder that can't be renamed. */
function contentOf(folder: string): ReturnType<typeof snapshotTree> {
  const ours = Buffer.from('.').toString('hex');
  const all = [...snapshotTree(folder)];
  return new Map(all.filter(([path]) => !path.startsWith(ours) || !Buffer.from(path, 'hex').includes('.tidemark-')));
}

test('what another file system holds inside the folder is kept, or left out and told', { skip }, async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('store'));
  writeFileSync(folder.at('store', 'own'), '');
  mkdirSync(folder.at('store', 'mounted'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', folder.at('store', 'mounted')]);
  try {
    writeFileSync(folder.at('store', 'mounted', 'inside'), '');
    const all = await record(storeAt(folder.at('store')));
    assert.deepEqual(namesOf(all), ['', 'mounted', 'mounted/inside', 'own']);
    const { end, ...own } = await record(storeAt(folder.at('store'), { oneFileSystem: true }));
    assert.deepEqual(namesOf({ ...own, end }), ['', 'mounted', 'own']);
    assert.deepEqual([end.skippedCount, end.incompleteCount, end.skipped[0]?.reason], [1, 0, 'filesystem']);
    const { blockers } = await filesConnector.preview(storeAt(folder.at('store')), { runtime, id: 'r1' }, run);
    assert.match(blockers.join(), /another file system is mounted at .*mounted/);
  } finally {
    execFileSync('umount', ['--lazy', folder.at('store', 'mounted')]);
  }
});

test('a store that is a mount point is restored in place, and says that it is not in one step', { skip }, async () => {
  using store = mountSmall(SMALL_BYTES);
  await generateTree(store.at('tree'), { seed: 21, size: 30, special: false });
  writeFileSync(store.at('top'), 'then');
  const then = contentOf(store.path);
  const base = await record(storeAt(store.path));
  rmSync(store.at('tree/links'), { recursive: true });
  writeFileSync(store.at('top'), 'now');
  writeFileSync(store.at('new'), 'now');
  const now = contentOf(store.path);
  const { inOneStep, sideEffects, blockers } = await filesConnector.preview(
    storeAt(store.path),
    { runtime, id: 'r1' },
    run,
  );
  assert.deepEqual([inOneStep, blockers], [false, []]);
  assert.match(sideEffects.join(), /not in one step/);
  await restore(base, store.path);
  assert.deepEqual(compareSnapshots(then, contentOf(store.path)), []);
  await filesConnector.undo(storeAt(store.path), { runtime, id: 'r1', turn: 1 }, run);
  // Its own time is that of the first name that the restore made in it.
  const differences = compareSnapshots(now, contentOf(store.path)).map(({ path, what }) => `${path} ${what}`);
  assert.deepEqual(differences, ['. mtimeNs']);
  await filesConnector.discard(storeAt(store.path), { runtime, id: 'r1' }, run);
  assert.deepEqual(readdirSync(store.path).toSorted(), ['new', 'top', 'tree']);
});

function whyNotImmutable(): string | false {
  if (process.geteuid?.() !== 0) return 'only root may make a file immutable';
  const probe = temporaryFolder();
  writeFileSync(probe.at('file'), '');
  const works = spawnSync('chattr', ['+i', probe.at('file')]).status === 0;
  if (works) execFileSync('chattr', ['-i', probe.at('file')]);
  rmSync(probe.path, { recursive: true });
  return works ? false : 'this file system knows no immutable files';
}

test('what is immutable stays whole, is told as what it is, and goes once it may', {
  skip: whyNotImmutable(),
}, async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('store/inner'), { recursive: true });
  writeFileSync(folder.at('store/inner/file'), 'then');
  const store = storeAt(folder.at('store'));
  const base = await record(store);
  const [file, root] = [folder.at('.store.tidemark-aside-r1/inner/file'), folder.at('store')];
  execFileSync('chattr', ['+i', root]);
  try {
    await assert.rejects(restore(base, root), { code: 'RESTORE_FAILED', message: /does not permit it/ });
    assert.equal(readFileSync(folder.at('store/inner/file'), 'utf8'), 'then');
  } finally {
    execFileSync('chattr', ['-i', root]);
  }
  await using restorer = await filesConnector.openRestorer(store, { runtime, id: 'r1' }, run);
  await restorer.swap(run);
  execFileSync('chattr', ['+i', file]);
  try {
    await assert.rejects(filesConnector.discard(store, { runtime, id: 'r1' }, run), {
      code: 'RESTORE_FAILED',
      message: /does not permit it/,
    });
  } finally {
    execFileSync('chattr', ['-i', file]);
  }
  await filesConnector.discard(store, { runtime, id: 'r1' }, run);
  assert.ok(!existsSync(folder.at('.store.tidemark-aside-r1')));
});
