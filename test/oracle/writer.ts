/**
 * Does the steps of a script, from its first one on, in the folder of its first argument, until it is told to stop, and writes a line with the times of
 * each into the file of its third argument. While there is a file `pause`, it stands still between two steps, and `paused` is there.
 */
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import type { EmbeddedStore } from '../../src/connectors/embedded/connector.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import { Script } from './script.ts';
import type { Step, Write } from './script.ts';

const [, , folder = '', seed = '', log = '', gap = '5'] = process.argv;
const GAP_MS = Number(gap);
const PAUSE_STEP_MS = 5;
const OPTIONS = { durability: 'normal', busyTimeoutMs: 60_000 } as const;

const script = new Script(Number(seed));
const random = createSeededRandom(`${seed} pauses`);
using orders = openEmbedded(join(folder, 'orders.db'), OPTIONS);
using catalog = openEmbedded(join(folder, 'catalog.db'), OPTIONS);
const file = openSync(log, 'w');
let isStopped = false;
process.on('SIGTERM', () => {
  isStopped = true;
});

function apply(store: EmbeddedStore, writes: readonly Write[]): void {
  store.transaction((transaction) => {
    for (const [key, value] of writes) {
      if (value === undefined) transaction.delete(key);
      else transaction.put(key, value);
    }
  });
}

function writeFile(path: string, content: string): void {
  const target = join(folder, 'uploads', path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(`${target}.tmp`, content);
  renameSync(`${target}.tmp`, target);
}

function take(step: Step): readonly number[] {
  const times = [Date.now()];
  const done = (): void => {
    times.push(Date.now());
  };
  for (const [path, content] of step.files) {
    writeFile(path, content);
    done();
  }
  apply(orders, step.orders);
  done();
  apply(catalog, step.catalog);
  done();
  if (step.removal !== undefined) {
    apply(orders, step.removal.orders);
    done();
    rmSync(join(folder, 'uploads', step.removal.path));
    done();
  }
  return times;
}

async function standStill(): Promise<void> {
  const [pause, paused] = [join(folder, 'pause'), join(folder, 'paused')];
  if (!existsSync(pause)) return;
  writeFileSync(paused, '');
  while (existsSync(pause)) await sleep(PAUSE_STEP_MS);
  rmSync(paused, { force: true });
}

while (!isStopped) {
  await standStill();
  writeSync(file, `${JSON.stringify(take(script.next()))}\n`);
  // Now in a rush, now with pauses.
  if (random.chance(0.5)) await sleep(random.integer(2 * GAP_MS + 1));
  else if (random.chance(0.3)) await sleep(0);
}
closeSync(file);
