import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { createSeededRandom } from '../../src/flow/random.ts';
import { compareSnapshots } from '../../src/testing/tree/compare.ts';
import { editTree } from '../../src/testing/tree/edit.ts';
import { generateTree } from '../../src/testing/tree/generate.ts';
import { snapshotTree } from '../../src/testing/tree/snapshot.ts';
import type { Snapshot } from '../../src/testing/tree/snapshot.ts';
import { isRoot, listOf, markId, openShop } from './shop.ts';

const SEEDS = process.env['TIDEMARK_TEST_LEVEL'] === 'full' ? 6 : 1;
const BACKUPS = 4;
const EDITS = 25;
/** Whoever is not root gets everything as his own. */
const ignore = isRoot ? [] : (['owner'] as const);

type Kept = { readonly mark: string; readonly tree: Snapshot };

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`each mark of an odd tree restores to exactly what was there, beside and over it (seed ${seed})`, async () => {
    await using shop = await openShop();
    rmSync(shop.at('data'), { recursive: true });
    await generateTree(shop.at('data'), { seed, size: 150 });
    const kept: Kept[] = [];
    for (let number = 0; number < BACKUPS; number++) {
      if (number > 0) editTree(shop.at('data'), { seed: `${seed} ${number}`, edits: EDITS });
      const tree = snapshotTree(shop.at('data'));
      kept.push({ mark: markId(shop.ok(['backup'])), tree });
    }
    for (const { mark, tree } of kept) {
      shop.ok(['restore', '--to', mark, '--into', `copy-${mark}`, '--yes']);
      const restored = snapshotTree(shop.at(`copy-${mark}`, 'uploads'));
      assert.deepEqual(compareSnapshots(tree, restored, { ignore }), [], `seed ${seed}, mark ${mark}`);
    }
    editTree(shop.at('data'), { seed: `${seed} live`, edits: EDITS });
    const live = snapshotTree(shop.at('data'));
    const { mark, tree } = createSeededRandom(seed).pick(kept);
    const [result] = listOf(shop.ok(['restore', '--to', mark, '--yes']), 'stores');
    assert.deepEqual(compareSnapshots(tree, snapshotTree(shop.at('data')), { ignore }), [], `seed ${seed}: over it`);
    assert.ok(Number(result?.['reusedBytes']) > 0, 'what was there already is not fetched');
    const aside = snapshotTree(String(result?.['keptAside']));
    assert.deepEqual(compareSnapshots(live, aside), [], `seed ${seed}: kept aside`);
    shop.ok(['restore', '--undo']);
    assert.deepEqual(compareSnapshots(live, snapshotTree(shop.at('data'))), [], `seed ${seed}: undone`);
    assert.deepEqual(shop.ok(['verify', '--data'])['damage'], []);
  });
}
