import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { Runtime } from '../../core/run.ts';
import { createSystemClock } from '../../flow/clock.ts';
import { registerObjectStoreSuite } from '../../testing/object-store-suite.ts';
import type { ObjectStoreFixture } from '../../testing/object-store-suite.ts';
import { openLocalObjectStore } from './object-store.ts';

const runtime: Runtime = {
  clock: createSystemClock(),
  random: randomBytes,
  logger: { log: () => undefined },
  temporaryFolder: tmpdir(),
};
const run = { signal: new AbortController().signal };

async function openFixture(): Promise<ObjectStoreFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-local-'));
  const openAgain = () => openLocalObjectStore({ folder, runtime }, run);
  const store = await openAgain();
  return {
    store,
    openAgain,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

registerObjectStoreSuite({
  name: 'local',
  open: openFixture,
  capabilities: { exclusiveCreate: true, provesDigest: false, listsAtOnce: true },
});
