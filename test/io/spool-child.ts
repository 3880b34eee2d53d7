/**
 * Appends to the spool in the folder of its first argument until it is killed, and reads and releases as it goes. The second argument
 * begins the labels, each of which is used once. Prints `append LAST LABEL…` when an append is done, `release UPTO` before it releases.
 */
import { randomBytes, randomInt } from 'node:crypto';
import process from 'node:process';
import type { Run } from '../../src/core/run.ts';
import { openSpool } from '../../src/io/spool.ts';
import { bodyOf } from './spool-body.ts';

const [, , folder = '', prefix = ''] = process.argv;
const run: Run = { signal: new AbortController().signal };
await using spool = await openSpool({ folder, maxBytes: 2 ** 22, fileBytes: 2 ** 16, random: randomBytes }, run);
let labels = 0;

async function appendWithoutEnd(): Promise<never> {
  for (;;) {
    const names = Array.from({ length: 1 + randomInt(5) }, () => `${prefix}-${(labels += 1)}`);
    const entries = names.map((name) => {
      const body = bodyOf(name);
      return { label: Buffer.from(name), body: [body.subarray(0, 10), body.subarray(10)] };
    });
    const last = await spool.append(entries, run);
    process.stdout.write(`append ${last} ${names.join(' ')}\n`);
  }
}

async function readWithoutEnd(): Promise<never> {
  let last = 0;
  for (;;) {
    for await (const batch of spool.read(last, run)) last = batch.at(-1)?.sequence ?? last;
    const upTo = Math.max(0, last - randomInt(100));
    // Said for sure: what a slow reader leaves no room for would be lost with the process.
    await new Promise((resolve) => process.stdout.write(`release ${upTo}\n`, resolve));
    await spool.release(upTo, run);
    await new Promise(setImmediate);
  }
}

await Promise.all([appendWithoutEnd(), appendWithoutEnd(), appendWithoutEnd(), readWithoutEnd()]);
