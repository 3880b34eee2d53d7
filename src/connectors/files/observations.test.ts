import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { test } from 'node:test';
import { must } from '../../core/must.ts';
import type { Position } from '../../core/position.ts';
import type { ObservationLog, Recorder } from '../../core/recorder.ts';
import type { Runtime } from '../../core/run.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { compareSnapshots } from '../../testing/tree/compare.ts';
import { editTree } from '../../testing/tree/edit.ts';
import { generateTree } from '../../testing/tree/generate.ts';
import { observeInMemory, recordInMemory } from '../../testing/tree/memory-base.ts';
import type { MemoryBase } from '../../testing/tree/memory-base.ts';
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

type Observed = { readonly recorder: Recorder; readonly log: ObservationLog; base: MemoryBase };

function stateFolderOf(folder: TemporaryFolder): string {
  mkdirSync(folder.at('state'), { recursive: true });
  return folder.at('state');
}

async function openRecorder(folder: TemporaryFolder, previous?: Position, options: Partial<FilesStore> = {}): Promise<Recorder> {
  const context = { runtime, previous, stateFolder: stateFolderOf(folder) };
  return await filesConnector.openRecorder(storeAt(folder.at('store'), options), context, run);
}

/** A base, and observations from there on; the first one may tell again what was doubtful. */
async function observed(folder: TemporaryFolder, options: Partial<FilesStore> = {}): Promise<Observed & AsyncDisposable> {
  const recorder = await openRecorder(folder, undefined, options);
  await using base = await recorder.openBase(run);
  const recorded = await recordInMemory(base, run);
  const log = await must(recorder.openObservations, 'observations').call(recorder, recorded.end.cut, run);
  return {
    recorder,
    log,
    base: recorded,
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
  const names: string[] = [];
  const entries = (async function* () {
    for await (const batch of observation.entries) {
      names.push(...batch.map(({ name }) => shown(name)));
      yield batch;
    }
  })();
  one.base = await observeInMemory(
    {
      entries,
      get removed() {
        return observation.removed;
      },
      retry: (entry, cause, inner) => observation.retry(entry, cause, inner),
      finish: (inner) => observation.finish(inner),
      [Symbol.asyncDispose]: () => observation[Symbol.asyncDispose](),
    },
    run,
    one.base,
  );
  return [...names, ...observation.removed.map((name) => `-${shown(name)}`)];
}

function shown(name: Uint8Array): string {
  return name.byteLength === 0 ? '.' : Buffer.from(name).toString('latin1').replaceAll('\0', '/');
}

let restores = 0;

async function assertHolds(folder: TemporaryFolder, base: MemoryBase, was = snapshotTree(folder.at('store'))): Promise<void> {
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
