import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Run } from '../../src/core/run.ts';
import { openSpool } from '../../src/io/spool.ts';
import type { Spool } from '../../src/io/spool.ts';

/*
 * What goes through the spool in records of 1 KiB, appended 50 at a time by so many tasks at once, and what reading them
 * back does. Beside it the same bytes, 50 KiB at a time, written to the end of a plain file with an fdatasync each: what
 * the disk allows. One line of JSON each. `--folder DIR` chooses the disk.
 */

const RECORD_BYTES = 1024;
const BATCH = 50;
const APPENDS = 1000;
const TASKS = [1, 4, 16, 64] as const;

const run: Run = { signal: new AbortController().signal };
const record = { label: Buffer.from('history 1'), body: [randomBytes(RECORD_BYTES)] };
const batch = Array.from({ length: BATCH }, () => record);

function report(name: string, records: number, seconds: number, more: Readonly<Record<string, number>> = {}): void {
  const line = {
    name,
    ...more,
    records,
    recordsPerSecond: Math.round(records / seconds),
    mebibytesPerSecond: Number(((records * RECORD_BYTES) / seconds / 2 ** 20).toFixed(1)),
  };
  console.log(JSON.stringify(line));
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
}

async function measureDisk(path: string): Promise<void> {
  const bytes = randomBytes(BATCH * RECORD_BYTES);
  await using file = await open(path, 'w');
  const seconds = await secondsOf(async () => {
    for (let count = 0; count < APPENDS; count += 1) {
      await file.write(bytes, 0, bytes.byteLength, count * bytes.byteLength);
      await file.datasync();
    }
  });
  report('write and fdatasync', APPENDS * BATCH, seconds, { flushesPerSecond: Math.round(APPENDS / seconds) });
}

async function measureAppends(spool: Spool, tasks: number): Promise<void> {
  let left = APPENDS;
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await spool.append(batch, run);
    }
  };
  const seconds = await secondsOf(() => Promise.all(Array.from({ length: tasks }, work)));
  report('append', APPENDS * BATCH, seconds, { tasks, appendsPerSecond: Math.round(APPENDS / seconds) });
}

async function measureRead(spool: Spool): Promise<void> {
  let count = 0;
  const seconds = await secondsOf(async () => {
    for await (const records of spool.read(undefined, run)) count += records.length;
  });
  report('read', count, seconds);
}

const { values } = parseArgs({ options: { folder: { type: 'string', default: tmpdir() } } });
const root = mkdtempSync(join(values.folder, 'tidemark-spool-'));
try {
  await using spool = await openSpool({ folder: join(root, 'spool'), maxBytes: 2 ** 30, random: randomBytes }, run);
  for (const tasks of TASKS) {
    await measureDisk(join(root, 'plain'));
    await measureAppends(spool, tasks);
  }
  await measureRead(spool);
} finally {
  rmSync(root, { recursive: true });
}
