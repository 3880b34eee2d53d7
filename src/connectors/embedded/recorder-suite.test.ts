import { randomBytes } from 'node:crypto';
import { recorderOfSource } from '../../archive/source-recorder.ts';
import type { Runtime } from '../../core/run.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { registerRecorderSuite } from '../../testing/recorder-suite.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { embeddedConnector } from './connector.ts';
import { openEmbedded } from './embedded-store.ts';
import { openEmbeddedRestorer } from './restorer.ts';
import { openEmbeddedSource } from './source.ts';

const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => {} },
  temporaryFolder: '/nowhere',
};

registerRecorderSuite({
  name: 'embedded, by its source',
  traits: { exact: 'position', recognizes: false },
  connector: embeddedConnector,
  async open() {
    const folder = temporaryFolder();
    const file = folder.at('store.db');
    const store = openEmbedded(file, { durability: 'normal' });
    let restores = 0;
    return {
      open: async () => recorderOfSource(openEmbeddedSource({ file }, runtime)),
      async put(key, value) {
        if (value === undefined) store.delete(key);
        else store.put(key, value);
      },
      async restored(base, run) {
        const target = folder.at(`restored-${++restores}.db`);
        await using restorer = openEmbeddedRestorer({ file }, { runtime, id: 'r1', target });
        await restorer.restoreBase(base, run);
        await restorer.verify(run);
        await restorer.swap(run);
        using copy = openEmbedded(target);
        const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
        return new Map([...copy.range()].map(({ key, value }) => [text(key), text(value)]));
      },
      async [Symbol.asyncDispose]() {
        store[Symbol.dispose]();
        await folder[Symbol.asyncDispose]();
      },
    };
  },
});
