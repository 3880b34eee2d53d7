/**
 * Fills the file system at the folder in its first argument, or makes it read-only, and prints what became of the store there. It runs
 * where it may mount.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { isTidemarkError } from '../../src/core/errors.ts';
import type { Run } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { openLocalObjectStore } from '../../src/objects/local/object-store.ts';

const [, , folder = '', mode = ''] = process.argv;
const run: Run = { signal: new AbortController().signal };
const logger = { log: () => undefined };
const runtime = { clock: createSystemClock(), random: randomBytes, logger, temporaryFolder: tmpdir() };
await using store = await openLocalObjectStore({ folder, runtime }, run);

async function codeOf(create: Promise<void>): Promise<string | undefined> {
  const [result] = await Promise.allSettled([create]);
  if (result.status === 'fulfilled') return undefined;
  return isTidemarkError(result.reason) ? result.reason.code : String(result.reason);
}

const first = await codeOf(store.create('small/1', [Buffer.from('fits')], run));
if (mode === 'unwritable') spawnSync('mount', ['-o', 'remount,ro', folder]);
const code = await codeOf(
  store.create(
    'large/1',
    Array.from({ length: 16 }, () => randomBytes(1 << 20)),
    run,
  ),
);
if (mode === 'fill') await codeOf(store.create('small/2', [Buffer.from('fits again')], run));
const keys: string[] = [];
for await (const batch of store.list('', '', run)) keys.push(...batch.map((info) => info.key));
const scratch = join(folder, '.tmp');
const drafts = existsSync(scratch) ? readdirSync(scratch).length : 0;
process.stdout.write(JSON.stringify({ first, code, drafts, keys }));
