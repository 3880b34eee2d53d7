import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { Shop } from '../e2e/shop.ts';

const isFull = process.env['TIDEMARK_TEST_LEVEL'] === 'full';
/** Of each command in the quick run; all steps in the full one. */
const QUICK_STEPS = 3;
export const SEED = Number(process.env['TIDEMARK_TEST_SEED'] ?? Date.now() % 1_000_000);
export const random = createSeededRandom(SEED);

/** What a backup, a repository and this host's memory of it consist of. */
const FOLDERS = ['data', 'backups', 'state'];

export function copyAll(shop: Shop, from: string, to: string): void {
  for (const folder of FOLDERS) {
    rmSync(shop.at(to, folder), { recursive: true, force: true });
    cpSync(shop.at(from, folder), shop.at(to, folder), { recursive: true, preserveTimestamps: true });
  }
}

const hook = pathToFileURL(join(import.meta.dirname, 'kill-at-step.ts')).href;

/** The number of steps that it made, or undefined when it was killed before that one. */
function runUntil(shop: Shop, args: readonly string[], step: number): number | undefined {
  const env = {
    NODE_OPTIONS: `--import=${hook}`,
    TIDEMARK_KILL_AT: String(step),
    TIDEMARK_STEPS: shop.at('steps'),
  };
  const { status, err } = shop.run(args, { env });
  if (status === null) return undefined;
  assert.equal(status, 0, err);
  return Number(readFileSync(shop.at('steps'), 'utf8'));
}

/** Kills a command before each of its durable steps, always from the same state, and lets `check` go on from there. */
export async function atEveryStep(shop: Shop, args: readonly string[], check: () => Promise<void>): Promise<number> {
  copyAll(shop, '.', 'before');
  const count = runUntil(shop, args, -1) ?? 0;
  const all = Array.from({ length: count }, (_, step) => step);
  const chosen = isFull ? all : random.shuffle(all).slice(0, QUICK_STEPS);
  let killed = 0;
  for (const step of chosen) {
    copyAll(shop, 'before', '.');
    if (runUntil(shop, args, step) === undefined) killed += 1;
    try {
      await check();
    } catch (cause) {
      throw new Error(`tidemark ${args.join(' ')}, killed before step ${step}`, { cause });
    }
  }
  // How many there are may differ by a few from one run to the next.
  assert.ok(killed >= 0.9 * chosen.length, `${killed} of ${chosen.length} were killed`);
  return count;
}
