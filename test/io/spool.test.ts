import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { isTidemarkError } from '../../src/core/errors.ts';
import type { Run } from '../../src/core/run.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import { openSpool } from '../../src/io/spool.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import { mountSmall, whyNoMount } from '../restore/restore-file-system.ts';
import { bodyOf } from './spool-body.ts';

const ROUNDS = 25;
const run: Run = { signal: new AbortController().signal };

/** What writers said that they have done, in all rounds. */
type Told = { readonly labels: Map<number, string>; released: number };

function note(line: string, told: Told): void {
  const [kind, number = '', ...labels] = line.split(' ');
  if (kind === 'release') {
    told.released = Math.max(told.released, Number(number));
    return;
  }
  for (const [index, label] of labels.entries()) told.labels.set(Number(number) - labels.length + 1 + index, label);
}

/** Kills a writer after `lines` lines and a moment of its own work. */
async function writeUntilKilled(folder: string, prefix: string, told: Told, after: { lines: number; spins: number }) {
  const script = join(import.meta.dirname, 'spool-child.ts');
  const writer = spawn(process.execPath, [script, folder, prefix], { stdio: ['ignore', 'pipe', 'inherit'] });
  let lines = 0;
  for await (const line of createInterface({ input: writer.stdout })) {
    note(line, told);
    lines += 1;
    if (lines !== after.lines) continue;
    for (let spin = 0; spin < after.spins; spin += 1) await new Promise(setImmediate);
    writer.kill('SIGKILL');
  }
  if (writer.exitCode === null && writer.signalCode === null) await once(writer, 'exit');
  assert.equal(writer.signalCode, 'SIGKILL');
}

test('after kill -9 at any moment all that was confirmed and not released is there, in order and once', async (t) => {
  const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed}`);
  const random = createSeededRandom(seed);
  await using folder = temporaryFolder();
  const told: Told = { labels: new Map(), released: 0 };
  /** The label of each number that was ever read: none is given twice. */
  const seen = new Map<number, string>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const after = { lines: 1 + random.integer(200), spins: random.integer(300) };
    await writeUntilKilled(folder.at('spool'), `${round}`, told, after);
    await using spool = await openSpool({ folder: folder.at('spool'), maxBytes: 2 ** 22, random: randomBytes }, run);
    const found: number[] = [];
    for await (const batch of spool.read(undefined, run)) {
      for (const { sequence, label, body } of batch) {
        const name = Buffer.from(label).toString();
        assert.equal(name, told.labels.get(sequence) ?? name, `record ${sequence}`);
        assert.equal(name, seen.get(sequence) ?? name, `record ${sequence}`);
        assert.ok(Buffer.from(body).equals(bodyOf(name)), `the body of record ${sequence}`);
        seen.set(sequence, name);
        found.push(sequence);
      }
    }
    const first = found[0] ?? spool.lastSequence + 1;
    assert.ok(first <= told.released + 1, `${first} is the first, and no more than ${told.released} were released`);
    assert.deepEqual(
      found,
      Array.from({ length: spool.lastSequence - first + 1 }, (_, index) => first + index),
    );
    for (const sequence of told.labels.keys()) assert.ok(sequence <= spool.lastSequence, `${sequence} was confirmed`);
  }
  assert.equal(new Set(seen.values()).size, seen.size, 'no record is there twice');
  t.diagnostic(`${told.labels.size} records were confirmed, ${told.released} released, ${seen.size} read`);
});

test('on a disk that is full the spool refuses, keeps what it has, and goes on once there is room', {
  skip: whyNoMount(),
}, async () => {
  using disk = mountSmall(300_000);
  const body = [randomBytes(5000)];
  const appended: string[] = [];
  {
    await using spool = await openSpool({ folder: disk.at('spool'), maxBytes: 2 ** 30, random: randomBytes }, run);
    writeFileSync(disk.at('other'), Buffer.alloc(160_000));
    for (let round = 0; round < 4; round += 1) {
      let refused = 0;
      for (let count = 0; refused < 3; count += 1) {
        const label = `${round} ${count}`;
        try {
          await spool.append([{ label: Buffer.from(label), body }], run);
          appended.push(label);
        } catch (error) {
          assert.ok(isTidemarkError(error, 'DISK_FULL'), String(error));
          refused += 1;
        }
      }
      assert.equal(spool.lastSequence, appended.length);
      truncateSync(disk.at('other'), 120_000 - round * 40_000);
      await spool.append([{ label: Buffer.from(`room ${round}`), body }], run);
      appended.push(`room ${round}`);
    }
  }
  await using again = await openSpool({ folder: disk.at('spool'), maxBytes: 2 ** 30, random: randomBytes }, run);
  const found: string[] = [];
  for await (const batch of again.read(undefined, run)) {
    found.push(...batch.map(({ label }) => Buffer.from(label).toString()));
  }
  assert.deepEqual(found, appended);
});
