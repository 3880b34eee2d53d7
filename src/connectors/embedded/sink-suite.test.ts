import { createSystemClock } from '../../flow/clock.ts';
import { registerSinkSuite } from '../../testing/sink-suite.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { openEmbedded } from './embedded-store.ts';
import { openEmbeddedSink } from './sink.ts';

registerSinkSuite({
  name: 'embedded',
  async open() {
    const folder = temporaryFolder();
    const file = folder.at('store.db');
    const store = openEmbedded(file, { durability: 'normal' });
    return {
      open: async () => openEmbeddedSink({ file }, { clock: createSystemClock() }),
      async read() {
        const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
        return new Map([...store.range()].map(({ key, value }) => [text(key), text(value)]));
      },
      async write(key, value) {
        store.put(key, value);
      },
      async [Symbol.asyncDispose]() {
        store[Symbol.dispose]();
        await folder[Symbol.asyncDispose]();
      },
    };
  },
});
