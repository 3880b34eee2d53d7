import { createSystemClock } from '../../flow/clock.ts';
import { registerSourceSuite } from '../../testing/source-suite.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { openEmbedded } from './embedded-store.ts';
import { openEmbeddedSource } from './source.ts';

registerSourceSuite({
  name: 'embedded',
  traits: { exact: 'position', previous: true, created: true, atomic: true },
  async open() {
    const folder = temporaryFolder();
    const file = folder.at('store.db');
    const store = openEmbedded(file, { durability: 'normal' });
    return {
      open: async () => openEmbeddedSource({ file }, { clock: createSystemClock() }),
      async write(writes) {
        store.transaction((transaction) => {
          for (const [key, value] of writes) {
            if (value === undefined) transaction.delete(key);
            else transaction.put(key, value);
          }
        });
      },
      compact: async () => store.compact(store.revision),
      async [Symbol.asyncDispose]() {
        store[Symbol.dispose]();
        await folder[Symbol.asyncDispose]();
      },
    };
  },
});
