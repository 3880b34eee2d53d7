import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { orderOf } from '../../core/position.ts';
import type { ObservationLog } from '../../core/recorder.ts';
import type { Runtime } from '../../core/run.ts';
import { recordInMemory } from '../../testing/tree/memory-base.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { openKernelWatcher, openPortableWatcher } from './folder-watcher.ts';
import type { FolderWatcher, WatchEvents } from './folder-watcher.ts';
import { KnownState } from './known-state.ts';
import { FilesObservations } from './observations.ts';
import { openFilesRecorder } from './recorder.ts';
import type { FilesStore } from './store.ts';

const run = { signal: new AbortController().signal };

/** Time stands still unless it is set; of the wall it is far ahead of the files, so that all their times are trusted. */
type Setting = { nowMs: number; readonly warnings: string[]; readonly runtime: Runtime };

function settingOf(): Setting {
  const setting: Setting = {
    nowMs: 0,
    warnings: [],
    runtime: {
      clock: {
        nowMs: () => 4e12,
        monotonicMs: () => setting.nowMs,
        sleep: async (delayMs) => {
          setting.nowMs += delayMs;
        },
      },
      random: (sizeBytes) => randomBytes(sizeBytes),
      logger: { log: (_, message) => setting.warnings.push(message) },
      temporaryFolder: '/nowhere',
    },
  };
  return setting;
}

type OpenWatcher = (events: WatchEvents) => FolderWatcher;

/** Observes `store` after a base and a first look, by a watcher of the test's choice. */
async function observedBy(
  folder: TemporaryFolder,
  setting: Setting,
  openWatcher?: OpenWatcher,
): Promise<ObservationLog> {
  const stateFolder = folder.at('state');
  mkdirSync(stateFolder);
  const { runtime } = setting;
  const store: FilesStore = {
    folder: folder.at('store'),
    include: [],
    exclude: [],
    oneFileSystem: false,
    cacheDirTag: false,
    excludeFolders: [],
  };
  const recorder = openFilesRecorder(store, { runtime, stateFolder });
  const base = await recorder.openBase(run);
  const { cut } = (await recordInMemory(base, run)).end;
  await recorder[Symbol.asyncDispose]();
  const state = new KnownState(stateFolder);
  let count = BigInt(cut.order);
  const log = new FilesObservations({
    store,
    state,
    stateFolder,
    runtime,
    after: cut,
    nextPosition: () => ({ ...cut, order: orderOf(++count) }),
    onClose: () => state[Symbol.dispose](),
    openWatcher,
  });
  assert.deepEqual(await namesOf(log), []);
  return log;
}

async function namesOf(log: ObservationLog): Promise<readonly string[]> {
  await using observation = await log.observe(run);
  if (observation === undefined) return [];
  const { all } = await recordInMemory(observation, run);
  return [
    ...all.map(({ name }) => Buffer.from(name).toString().replaceAll('\0', '/') || '.'),
    ...observation.removed.map((name) => `-${Buffer.from(name).toString().replaceAll('\0', '/')}`),
  ];
}

/** Folders `0` to `9`, each with a file. */
function makeStore(folder: TemporaryFolder): void {
  for (let index = 0; index < 10; index++) {
    mkdirSync(folder.at('store', `${index}`), { recursive: true });
    writeFileSync(folder.at('store', `${index}`, 'file'), '1');
  }
}

test('when the kernel’s queue overflows, everything is looked at', async () => {
  await using folder = temporaryFolder();
  makeStore(folder);
  await using log = await observedBy(folder, settingOf());
  // Nothing is read as long as this loop goes.
  for (let count = 0; count < 10_000; count++) {
    appendFileSync(folder.at('store', '0', 'file'), 'x');
    appendFileSync(folder.at('store', '1', 'file'), 'x');
  }
  appendFileSync(folder.at('store', '7', 'file'), 'x');
  renameSync(folder.at('store', '8'), folder.at('store', 'renamed'));
  const names = ['.', '0/file', '1/file', '7/file', 'renamed', 'renamed/file', '-8', '-8/file'];
  assert.deepEqual(await namesOf(log), names);
  appendFileSync(folder.at('store', 'renamed', 'file'), 'x');
  assert.deepEqual(await namesOf(log), ['renamed/file']);
});

/** As a system that allows so many watches. */
function limited(most: number): OpenWatcher {
  return (events) => {
    const watcher = openKernelWatcher(events);
    const watches = new Set<number>();
    return {
      ...watcher,
      add(path) {
        if (watches.size >= most) return undefined;
        const watch = watcher.add(path);
        if (watch !== undefined) watches.add(watch);
        return watch;
      },
    };
  };
}

test('folders that no watch is left for are scanned, it is told once, and the others are watched', async () => {
  await using folder = temporaryFolder();
  makeStore(folder);
  const setting = settingOf();
  await using log = await observedBy(folder, setting, limited(5));
  assert.equal(setting.warnings.length, 1);
  assert.match(setting.warnings[0] ?? '', /no more watches/);
  for (const index of [0, 9]) appendFileSync(folder.at('store', `${index}`, 'file'), '2');
  assert.deepEqual(await namesOf(log), ['0/file']);
  assert.deepEqual(await namesOf(log), []);
  await log.changed(run);
  assert.ok(setting.nowMs >= 30_000 && setting.nowMs < 60_000, `a scan is due after ${setting.nowMs} ms`);
  assert.deepEqual(await namesOf(log), ['9/file']);
  writeFileSync(folder.at('store', '9', 'new'), '1');
  setting.nowMs += 30_000;
  assert.deepEqual(await namesOf(log), ['9', '9/new']);
});

test('without any queue the folder is scanned at intervals', async () => {
  await using folder = temporaryFolder();
  makeStore(folder);
  const setting = settingOf();
  await using log = await observedBy(folder, setting, () => {
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE', syscall: 'inotify_init1' });
  });
  assert.equal(setting.warnings.length, 1);
  appendFileSync(folder.at('store', '3', 'file'), '2');
  assert.deepEqual(await namesOf(log), []);
  setting.nowMs += 30_000;
  assert.deepEqual(await namesOf(log), ['3/file']);
});

test('what no watch tells is found by the scan that comes every few minutes', async () => {
  await using folder = temporaryFolder();
  makeStore(folder);
  const setting = settingOf();
  let deaf = false;
  const openWatcher: OpenWatcher = (events) =>
    openKernelWatcher({
      ...events,
      onEvent: (event) => {
        if (!deaf || event.component === 'marker') events.onEvent(event);
      },
    });
  await using log = await observedBy(folder, setting, openWatcher);
  deaf = true;
  appendFileSync(folder.at('store', '3', 'file'), '2');
  assert.deepEqual(await namesOf(log), []);
  await log.changed(run);
  assert.ok(setting.nowMs >= 300_000 && setting.nowMs < 400_000, `a scan is due after ${setting.nowMs} ms`);
  assert.deepEqual(await namesOf(log), ['3/file']);
});

test('a barrier that does not come back through the queue leads to a scan', async () => {
  await using folder = temporaryFolder();
  makeStore(folder);
  let deaf = false;
  const openWatcher: OpenWatcher = (events) =>
    openKernelWatcher({
      ...events,
      onEvent: (event) => {
        if (!deaf) events.onEvent(event);
      },
    });
  await using log = await observedBy(folder, settingOf(), openWatcher);
  deaf = true;
  appendFileSync(folder.at('store', '3', 'file'), '2');
  assert.deepEqual(await namesOf(log), ['3/file']);
});

test('fs.watch tells where to look as well, in its own time', async () => {
  await using folder = temporaryFolder();
  makeStore(folder);
  const setting = settingOf();
  await using log = await observedBy(folder, setting, openPortableWatcher);
  appendFileSync(folder.at('store', '3', 'file'), '2');
  mkdirSync(folder.at('store', 'new'));
  writeFileSync(folder.at('store', 'new', 'file'), '1');
  const told = new Set<string>();
  while (!told.has('3/file') || !told.has('new/file')) {
    await nextTurn();
    for (const name of await namesOf(log)) told.add(name);
  }
  renameSync(folder.at('store', '4'), folder.at('store', 'renamed'));
  while (!told.has('renamed/file') || !told.has('-4/file')) {
    await nextTurn();
    for (const name of await namesOf(log)) told.add(name);
  }
  assert.equal(setting.nowMs, 0);
});

test('changed waits until something happens, and ends with its signal', async () => {
  await using folder = temporaryFolder();
  makeStore(folder);
  const setting = settingOf();
  const waiting = Promise.withResolvers<void>();
  const runtime = { ...setting.runtime, clock: { ...setting.runtime.clock, sleep: () => waiting.promise } };
  await using log = await observedBy(folder, { ...setting, runtime });
  let changed = false;
  const woken = log.changed(run).then(() => {
    changed = true;
  });
  for (let turns = 0; turns < 20; turns++) await nextTurn();
  assert.equal(changed, false);
  appendFileSync(folder.at('store', '3', 'file'), '2');
  await woken;
  assert.deepEqual(await namesOf(log), ['3/file']);
  const reason = new Error('stopped');
  await assert.rejects(log.changed({ signal: AbortSignal.abort(reason) }), reason);
  waiting.resolve();
});

test('the marker is not left behind', async () => {
  await using folder = temporaryFolder();
  makeStore(folder);
  await using log = await observedBy(folder, settingOf());
  await namesOf(log);
  assert.deepEqual(readdirSync(folder.at('state', 'barrier')), []);
});
