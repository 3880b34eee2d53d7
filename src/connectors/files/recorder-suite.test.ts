import { lstatSync, readdirSync, readFileSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Runtime } from '../../core/run.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { registerObservationSuite } from '../../testing/observation-suite.ts';
import type { ObservationFixture } from '../../testing/observation-suite.ts';
import { registerRecorderSuite } from '../../testing/recorder-suite.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { filesConnector } from './connector.ts';
import type { FilesStore } from './store.ts';

const run = { signal: new AbortController().signal };
const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => {} },
  temporaryFolder: '/nowhere',
};

/** More than the margin within which a time is not trusted. */
const OLD_ENOUGH_MS = 150;

/** Keys are spread over folders, so that these appear and change as well. */
function placeOf(key: string): string {
  return `${key.length % 2 === 0 ? 'even' : 'odd'}/${key}`;
}

/** `observed`: recorders have a folder for their state, so that one is open at a time. */
async function openFixture(observed: boolean): Promise<ObservationFixture> {
  const folder = temporaryFolder();
  const root = folder.at('store');
  for (const name of ['even', 'odd']) mkdirSync(`${root}/${name}`, { recursive: true });
  const storeAt = (path: string): FilesStore => ({
    folder: path,
    include: [],
    exclude: [],
    oneFileSystem: false,
    cacheDirTag: false,
    excludeFolders: [],
  });
  let restores = 0;
  return {
    async open(previous) {
      const stateFolder = observed ? folder.at('state') : undefined;
      if (stateFolder !== undefined) mkdirSync(stateFolder, { recursive: true });
      return await filesConnector.openRecorder(storeAt(root), { runtime, previous, stateFolder }, run);
    },
    async forget() {
      rmSync(folder.at('state'), { recursive: true });
    },
    async put(key, value) {
      if (value === undefined) rmSync(`${root}/${placeOf(key)}`, { force: true });
      else writeFileSync(`${root}/${placeOf(key)}`, value);
    },
    async restored(base, inner) {
      const target = folder.at(`restored-${++restores}`);
      await using restorer = await filesConnector.openRestorer(storeAt(target), { runtime, id: 'r1' }, inner);
      await restorer.restoreBase(base, inner);
      await restorer.verify(inner);
      await restorer.swap(inner);
      const files = readdirSync(target, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
      return new Map(files.map(({ parentPath, name }) => [name, readFileSync(`${parentPath}/${name}`, 'utf8')]));
    },
    async settle() {
      const newest = Math.max(
        ...['.', ...readdirSync(root, { recursive: true, encoding: 'utf8' })].map(
          (name) => lstatSync(`${root}/${name}`).ctimeMs,
        ),
      );
      while (Date.now() <= newest + OLD_ENOUGH_MS) await nextTurn();
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

registerRecorderSuite({
  name: 'files',
  open: () => openFixture(false),
  traits: { exact: 'observation', recognizes: true },
  connector: filesConnector,
});

registerObservationSuite({ name: 'files', open: () => openFixture(true), connector: filesConnector });
