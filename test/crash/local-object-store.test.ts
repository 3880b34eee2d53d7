import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, utimesSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { Run, Runtime } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import { openLocalObjectStore } from '../../src/objects/local/object-store.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';

const run: Run = { signal: new AbortController().signal };
const logger = { log: () => undefined };
const runtime: Runtime = { clock: createSystemClock(), random: randomBytes, logger, temporaryFolder: tmpdir() };
const ROUNDS = 25;

type Writer = ChildProcessByStdio<null, Readable, null>;

/** Creates objects whose key is the digest of their bytes, without end, and prints each key that is done. */
function startWriter(folder: string): Writer {
  const script = join(import.meta.dirname, 'local-object-store-child.ts');
  return spawn(process.execPath, [script, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function assertWhole(store: ObjectStore, key: string, sizeBytes: number): Promise<void> {
  const bytes = new Uint8Array(sizeBytes);
  assert.equal(await store.read(key, 0, bytes, run), sizeBytes);
  const digest = createHash('sha256').update(bytes).digest('hex');
  assert.equal(digest, key.split('/').at(-1), `${key} is whole`);
}

async function checkAll(store: ObjectStore, checked: Set<string>): Promise<void> {
  for await (const batch of store.list('', '', run)) {
    for (const { key, sizeBytes } of batch) {
      if (checked.has(key)) continue;
      await assertWhole(store, key, sizeBytes);
      checked.add(key);
    }
  }
}

/** Keys as the writer tells them, until it is killed after `lines` of them and a moment of its own work. */
async function killAfter(writer: Writer, lines: number, spins: number): Promise<readonly string[]> {
  const told: string[] = [];
  for await (const line of createInterface({ input: writer.stdout })) {
    told.push(line);
    if (told.length !== lines) continue;
    // Not at a create's end only: the writer goes on while this process turns its loop.
    for (let spin = 0; spin < spins; spin += 1) await new Promise(setImmediate);
    writer.kill('SIGKILL');
  }
  if (writer.exitCode === null && writer.signalCode === null) await once(writer, 'exit');
  assert.equal(writer.signalCode, 'SIGKILL');
  return told;
}

test('a writer killed at any moment leaves whole objects, and drafts that the next one removes', async (t) => {
  const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed}`);
  const random = createSeededRandom(seed);
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-crash-'));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(folder, { recursive: true }));
  await using store = await openLocalObjectStore({ folder, runtime }, run);
  const checked = new Set<string>();
  let drafts = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const told = await killAfter(startWriter(folder), 1 + random.integer(6), random.integer(400));
    await checkAll(store, checked);
    for (const key of told) assert.ok(checked.has(key), `${key} was told to be there`);
    drafts = Math.max(drafts, readdirSync(join(folder, '.tmp')).length);
  }
  assert.ok(checked.size >= ROUNDS, 'the writers got something done');
  assert.ok(drafts > 0, 'at least one was killed amid a create');
  const longAgo = Date.now() / 1000 - 7200;
  for (const name of readdirSync(join(folder, '.tmp'))) utimesSync(join(folder, '.tmp', name), longAgo, longAgo);
  await using next = await openLocalObjectStore({ folder, runtime }, run);
  await next.create('next', [Buffer.from('works')], run);
  assert.deepEqual(await readdir(join(folder, '.tmp')), []);
  assert.equal(await readFile(join(folder, 'next'), 'utf8'), 'works');
  for (const key of checked) assert.ok((await next.stat(key, run)) !== undefined, `${key} is still there`);
});
