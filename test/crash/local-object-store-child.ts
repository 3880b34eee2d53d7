/** Creates objects in the folder of its first argument until it is killed: several at once, some of them large. */
import { createHash, randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import process from 'node:process';
import type { Run } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { openLocalObjectStore } from '../../src/objects/local/object-store.ts';

const [, , folder = ''] = process.argv;
const run: Run = { signal: new AbortController().signal };
const logger = { log: () => undefined };
const runtime = { clock: createSystemClock(), random: randomBytes, logger, temporaryFolder: tmpdir() };
const store = await openLocalObjectStore({ folder, runtime }, run);

async function createWithoutEnd(sizeBytes: number): Promise<never> {
  for (;;) {
    const bytes = randomBytes(sizeBytes);
    const digest = createHash('sha256').update(bytes).digest('hex');
    const key = `objects/${digest.slice(0, 2)}/${digest}`;
    await store.create(key, [bytes.subarray(0, sizeBytes / 2), bytes.subarray(sizeBytes / 2)], run);
    process.stdout.write(`${key}\n`);
  }
}

await Promise.all([1 << 10, 1 << 16, 1 << 20, 1 << 22].map(createWithoutEnd));
