import { appendFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import { must } from '../../src/core/must.ts';

/*
 * Writes for a while in a process of its own. `load FILE BATCH SECONDS`: as fast as it can, in transactions of BATCH; prints puts a second.
 * `steady FILE EVERY_MS SECONDS`: one put every so often. `files FOLDER COUNT RATE SECONDS LOG`: overwrites one file after another at a rate, and
 * appends `NAME TIME` lines to LOG.
 */

const [mode, target = '', ...numbers] = process.argv.slice(2);
const [first = 1, second = 1, third = 1] = numbers.slice(0, 3).map(Number);
const KEYS = 200_000;

function load(): void {
  using store = openEmbedded(target);
  const startMs = performance.now();
  let puts = 0;
  while (performance.now() - startMs < second * 1_000) {
    store.transaction((transaction) => {
      for (let index = 0; index < first; index++) {
        puts++;
        transaction.put(`key/${(puts * 7_919) % KEYS}`, `value ${puts} ${'x'.repeat(puts % 100)}`);
      }
    });
  }
  console.log(puts / ((performance.now() - startMs) / 1_000));
}

async function steady(): Promise<void> {
  using store = openEmbedded(target);
  const untilMs = performance.now() + second * 1_000;
  for (let puts = 0; performance.now() < untilMs; puts++) {
    store.put(`steady/${puts % 1_000}`, String(puts));
    await sleep(first);
  }
}

async function files(): Promise<void> {
  const log = must(numbers[3], 'a log');
  const startMs = performance.now();
  let lines: string[] = [];
  for (let written = 0; performance.now() - startMs < third * 1_000; ) {
    const due = Math.floor(((performance.now() - startMs) / 1_000) * second);
    for (; written < due; written++) {
      const name = `${Math.floor((written % first) / 50)}/${written % first}`;
      writeFileSync(`${target}/${name}`, `changed ${written}`);
      lines.push(`${name} ${Date.now()}\n`);
    }
    appendFileSync(log, lines.join(''));
    lines = [];
    await sleep(10);
  }
}

if (mode === 'load') load();
else if (mode === 'steady') await steady();
else await files();
