import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Run, Runtime } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { openLocalObjectStore } from '../../src/objects/local/object-store.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { registerObjectStoreSuite } from '../../src/testing/object-store-suite.ts';
import type { ObjectStoreFixture } from '../../src/testing/object-store-suite.ts';

const run: Run = { signal: new AbortController().signal };
const logger = { log: () => undefined };
const runtime: Runtime = { clock: createSystemClock(), random: randomBytes, logger, temporaryFolder: tmpdir() };

async function openFixture(): Promise<ObjectStoreFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-local-'));
  const openAgain = (): Promise<ObjectStore> => openLocalObjectStore({ folder, runtime }, run);
  const store = await openAgain();
  const dispose = async (): Promise<void> => {
    await store[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  };
  return { store, openAgain, [Symbol.asyncDispose]: dispose };
}

registerObjectStoreSuite({
  name: 'local, on disk',
  open: openFixture,
  capabilities: { exclusiveCreate: true, provesDigest: false, listsAtOnce: true },
});

test('a pipe or a socket in the place of an object is no object, and nothing waits for it', {
  timeout: 10_000,
}, async () => {
  await using fixture = await openFixture();
  const folder = fixture.store.url;
  assert.equal(spawnSync('mkfifo', [join(folder, 'pipe')]).status, 0);
  const server = createServer().listen(join(folder, 'socket'));
  await once(server, 'listening');
  try {
    for (const key of ['pipe', 'socket']) {
      const reading = fixture.store.read(key, 0, new Uint8Array(1), run);
      await assert.rejects(reading, { code: 'OBJECT_NOT_FOUND' }, key);
      assert.equal(await fixture.store.stat(key, run), undefined);
    }
  } finally {
    server.close();
  }
});

/** A shell in which it may mount, where this machine allows that to anybody. */
const INSIDE = ['--user', '--map-root-user', '--mount', 'sh', '-c'];
const mayMount = spawnSync('unshare', [...INSIDE, 'mount -t tmpfs none /mnt']).status === 0;
const noMount = mayMount ? false : 'nobody may mount a small file system here';

type Outcome = {
  readonly first?: string | undefined;
  readonly code?: string;
  readonly drafts: number;
  readonly keys: string[];
};

/** What `local-store-child.ts` says of a store in a file system of its own, mounted with `options`. */
async function onSmallDisk(options: string, mode: 'fill' | 'unwritable'): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-small-'));
  try {
    const child = join(import.meta.dirname, 'small-disk-child.ts');
    const script = `mount -t tmpfs -o ${options} none "$1" && exec "$2" "$3" "$1" ${mode}`;
    const { stdout, stderr, status } = spawnSync(
      'unshare',
      [...INSIDE, script, 'sh', folder, process.execPath, child],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(status, 0, stderr);
    // The child prints exactly this.
    return JSON.parse(stdout) as Outcome;
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('a full disk is one clear error, leaves nothing behind and can be gone on from', { skip: noMount }, async () => {
  const outcome = await onSmallDisk('size=4m', 'fill');
  assert.equal(outcome.code, 'DISK_FULL');
  assert.equal(outcome.drafts, 0);
  assert.deepEqual(outcome.keys, ['small/1', 'small/2']);
});

test('no inode left is a full disk too', { skip: noMount }, async () => {
  const outcome = await onSmallDisk('size=64m,nr_inodes=6', 'fill');
  assert.equal(outcome.code, 'DISK_FULL');
});

test('a file system that became read-only is one clear error, and can be read', { skip: noMount }, async () => {
  const outcome = await onSmallDisk('size=4m', 'unwritable');
  assert.equal(outcome.code, 'REPOSITORY_UNREACHABLE');
  assert.deepEqual(outcome.keys, ['small/1']);
});
