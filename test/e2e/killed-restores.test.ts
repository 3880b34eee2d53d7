import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { createSeededRandom } from '../../src/flow/random.ts';
import { compareSnapshots } from '../../src/testing/tree/compare.ts';
import { snapshotTree } from '../../src/testing/tree/snapshot.ts';
import type { Snapshot } from '../../src/testing/tree/snapshot.ts';
import { openShop } from './shop.ts';
import type { Shop } from './shop.ts';

const KILLS = process.env['TIDEMARK_TEST_LEVEL'] === 'full' ? 25 : 2;
const SEED = Date.now() % 1_000_000;
const STORES = ['data', 'more'] as const;
const MANIFEST = 'application: shop\nrepository: ./backups\nstores:\n  uploads: files:./data\n  more: files:./more\n';

type State = readonly Snapshot[];

function stateOf(shop: Shop): State {
  return STORES.map((name) => snapshotTree(shop.at(name)));
}

function isSame(left: State, right: State): boolean {
  return left.every((tree, index) => compareSnapshots(tree, right[index] ?? new Map()).length === 0);
}

/** Whether the command was killed; otherwise it has ended well. */
async function killedAfter(shop: Shop, delayMs: number, args: readonly string[]): Promise<boolean> {
  const { child, ended } = shop.start(args);
  const timer = setTimeout(() => child.kill('SIGKILL'), delayMs);
  const { status, err } = await ended;
  clearTimeout(timer);
  assert.ok(status === null || status === 0, err);
  return status === null;
}

test(`a restore or an undo that is killed at any moment can be finished (seed ${SEED})`, async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  mkdirSync(shop.at('more'));
  for (let number = 0; number < 100; number++) {
    writeFileSync(shop.at('data', String(number)), randomBytes(1_000));
    writeFileSync(shop.at('more', String(number)), randomBytes(100));
  }
  shop.ok(['backup']);
  const good = stateOf(shop);
  for (const name of STORES) rmSync(shop.at(name, '7'));
  const live = stateOf(shop);
  const restore = ['restore', '--to', 'latest', '--yes'];
  const startMs = performance.now();
  shop.ok(restore);
  const wholeMs = performance.now() - startMs;
  shop.ok(['restore', '--undo']);
  shop.ok(['restore', '--discard', '--yes']);
  const random = createSeededRandom(SEED);
  for (let kill = 0; kill < KILLS; kill++) {
    if (await killedAfter(shop, wholeMs * (0.4 + 0.6 * random.next()), restore)) {
      const { status, err } = shop.run(['restore', '--resume']);
      // 4: it was killed before it had begun, or after it had ended.
      assert.ok(status === 0 || status === 4, err);
    }
    const isRestored = isSame(good, stateOf(shop));
    if (!isRestored) assert.ok(isSame(live, stateOf(shop)), `kill ${kill}: neither restored nor as it was`);
    if (isRestored) {
      const wasKilled = await killedAfter(shop, wholeMs * (0.1 + 0.6 * random.next()), ['restore', '--undo']);
      // The next one finishes what was begun; where nothing was left to finish it would restore once more.
      if (wasKilled && !isSame(live, stateOf(shop))) shop.ok(['restore', '--undo']);
      if (shop.run(['plan', '--to', 'latest']).json['blockers']?.toString() !== '') shop.ok(['restore', '--undo']);
      assert.ok(isSame(live, stateOf(shop)), `kill ${kill}: not undone`);
      shop.ok(['restore', '--discard', '--yes']);
    }
    const left = readdirSync(shop.folder.path).filter((name) => name.includes('tidemark-'));
    assert.deepEqual(left, [], `kill ${kill}`);
  }
});
