import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { createSeededRandom } from '../../src/flow/random.ts';
import { withDerivedCredential } from '../../src/repository/access.ts';
import { sweep } from '../../src/repository/sweep.ts';
import { listOf, markId } from '../e2e/shop.ts';
import type { Shop } from '../e2e/shop.ts';
import { assertNoGarbage, assertSound, contentBytes } from './repository-state.ts';
import type { Contents, Found } from './repository-state.ts';
import { age, change, contentsOf, openSmallShop, run, withFound } from './small-shop.ts';

const isFull = process.env['TIDEMARK_TEST_LEVEL'] === 'full';
/** Of each command in the quick run; all steps in the full one. */
const QUICK_STEPS = 3;
const SEED = Number(process.env['TIDEMARK_TEST_SEED'] ?? Date.now() % 1_000_000);
const random = createSeededRandom(SEED);

/** What a backup, a repository and this host's memory of it consist of. */
const FOLDERS = ['data', 'backups', 'state'];

function copyAll(shop: Shop, from: string, to: string): void {
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
async function atEveryStep(shop: Shop, args: readonly string[], check: () => Promise<void>): Promise<number> {
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

test(`a backup that is killed before any durable step loses nothing, and the next one uses what it stored (seed ${SEED})`, async () => {
  await using shop = await openSmallShop();
  change(shop, 12, random);
  const first = markId(shop.ok(['backup']));
  const marks = new Map([[first, contentsOf(shop)]]);
  change(shop, 8, random);
  const second = contentsOf(shop);
  copyAll(shop, '.', 'clean');
  shop.ok(['backup']);
  let whole = 0;
  await withFound(shop, async (found) => {
    whole = await contentBytes(found);
  });
  copyAll(shop, 'clean', '.');
  const steps = await atEveryStep(shop, ['backup'], async () => {
    await withFound(shop, (found) => assertSound(found, marks, second));
    const next = markId(shop.ok(['backup']));
    await withFound(shop, async (found) => {
      assert.equal(await contentBytes(found), whole, 'nothing is stored twice');
      await assertSound(found, new Map([...marks, [next, second]]), second);
    });
  });
  assert.ok(steps > 50, `${steps} steps`);
});

/** Two marks, of which retention gives up the first. Returns what is kept. */
function twoMarks(shop: Shop): ReadonlyMap<string, Contents> {
  change(shop, 12, random);
  shop.ok(['backup']);
  age(shop);
  change(shop, 8, random);
  return new Map([[markId(shop.ok(['backup'])), contentsOf(shop)]]);
}

/** Sweeps until nothing is left to do. */
async function sweepAll(shop: Shop, { access, remembered }: Found): Promise<void> {
  const options = { role: 'maintainer', name: 'test', stores: [] } as const;
  const maintainer = await withDerivedCredential(access, options, run);
  const info = { application: 'shop', host: 'test', command: 'sweep', tool: 'test' };
  for (let pass = 0; pass < 10; pass++) {
    age(shop);
    const { condemned, removed } = await sweep({ access: maintainer, remembered, info, apply: true }, run);
    if (condemned.length + removed.length === 0) return;
  }
  assert.fail('sweeping does not come to an end');
}

test(`a forget that is killed before any durable step is done by the next one (seed ${SEED})`, async () => {
  await using shop = await openSmallShop();
  const kept = twoMarks(shop);
  const steps = await atEveryStep(shop, ['forget', '--apply'], async () => {
    shop.ok(['forget', '--apply']);
    await withFound(shop, (found) => assertSound(found, kept));
    assert.equal(listOf(shop.ok(['marks']), 'marks').length, 1);
  });
  assert.ok(steps > 10, `${steps} steps`);
});

for (const [pass, what] of ['condemns', 'deletes'].entries()) {
  test(`a sweep that ${what} and is killed before any durable step is finished by the next ones (seed ${SEED})`, async () => {
    await using shop = await openSmallShop();
    const kept = twoMarks(shop);
    shop.ok(['forget', '--apply']);
    age(shop);
    for (let done = 0; done < pass; done++) {
      shop.ok(['sweep', '--apply']);
      age(shop);
    }
    const steps = await atEveryStep(shop, ['sweep', '--apply'], async () => {
      await withFound(shop, (found) => assertSound(found, kept));
      shop.ok(['sweep', '--apply']);
      await withFound(shop, async (found) => {
        await sweepAll(shop, found);
        await assertNoGarbage(found);
        await assertSound(found, kept);
      });
    });
    assert.ok(steps > 10, `${steps} steps`);
  });
}
