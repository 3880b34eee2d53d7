/**
 * Adds packs to the local index in the folder of its first argument until it is killed, merging as it goes. The
 * second argument begins the names. Prints the number of each pack once it is flushed; now and then it takes up what
 * other processes wrote.
 */
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import process from 'node:process';
import type { Run } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { openChunkIndex } from '../../src/repository/index/chunk-index.ts';
import { addPack } from '../../src/testing/chunk-index-fixture.ts';

const [, , folder = '', prefix = ''] = process.argv;
const run: Run = { signal: new AbortController().signal };
const logger = { log: () => undefined };
const runtime = { clock: createSystemClock(), random: randomBytes, logger, temporaryFolder: tmpdir() };
const index = await openChunkIndex({ folder, identity: 'crash', runtime, memoryRecords: 40 }, run);

for (let pack = 0; ; pack += 1) {
  const name = `${prefix}${pack}`;
  addPack(
    index,
    `pack ${name}`,
    Array.from({ length: 20 }, (_, at) => `chunk ${name} ${at}`),
  );
  if (pack % 7 === 6) await index.reload(run);
  if (pack % 3 === 2) {
    await index.flushAll(run);
    process.stdout.write(`${pack}\n`);
  }
}
