import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { Run, Runtime } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { openChunkIndex } from '../../src/repository/index/chunk-index.ts';
import type { ChunkIndex } from '../../src/repository/index/chunk-index.ts';
import { idOf, placeOf } from '../../src/testing/chunk-index-fixture.ts';

const ROUNDS = 6;
const run: Run = { signal: new AbortController().signal };
const damage: string[] = [];
const logger = { log: (_level: unknown, message: string) => void damage.push(message) };
const runtime: Runtime = { clock: createSystemClock(), random: randomBytes, logger, temporaryFolder: tmpdir() };

/**
 * The last pack that a writer said was flushed, before it was killed after `lines` of that and a moment of its own
 * work.
 */
async function writeUntilKilled(folder: string, prefix: string, lines: number, spins: number): Promise<number> {
  const script = join(import.meta.dirname, 'chunk-index-child.ts');
  const writer = spawn(process.execPath, [script, folder, prefix], { stdio: ['ignore', 'pipe', 'inherit'] });
  let told = 0;
  let last = -1;
  for await (const line of createInterface({ input: writer.stdout })) {
    told += 1;
    last = Number(line);
    if (told !== lines) continue;
    for (let spin = 0; spin < spins; spin += 1) await new Promise(setImmediate);
    writer.kill('SIGKILL');
  }
  if (writer.exitCode === null && writer.signalCode === null) await once(writer, 'exit');
  assert.equal(writer.signalCode, 'SIGKILL');
  return last;
}

function assertHolds(index: ChunkIndex, prefix: string, lastPack: number): void {
  for (let pack = 0; pack <= lastPack; pack += 1) {
    const number = index.packNumber(idOf(`pack ${prefix}${pack}`));
    for (let at = 0; at < 20; at += 1) {
      const place = index.find(idOf(`chunk ${prefix}${pack} ${at}`));
      assert.deepEqual(place, placeOf(number, at), `chunk ${at} of pack ${prefix}${pack}`);
    }
  }
}

test('what was flushed is there after kill -9 of two processes that share the folder, and what they left is removed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-crash-index-'));
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const lines = 1 + ((round * 5) % 11);
      const [one, other] = await Promise.all([
        writeUntilKilled(folder, `one ${round} `, lines, round * 40),
        writeUntilKilled(folder, `other ${round} `, lines + 2, round * 25),
      ]);
      await using index = await openChunkIndex({ folder, identity: 'crash', runtime }, run);
      assertHolds(index, `one ${round} `, one);
      assertHolds(index, `other ${round} `, other);
      assert.deepEqual(damage, []);
      const left = (await readdir(folder)).filter((file) => /\.part$|partial$/.test(file));
      assert.deepEqual(left, []);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
