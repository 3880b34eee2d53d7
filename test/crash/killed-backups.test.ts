import assert from 'node:assert/strict';
import { test } from 'node:test';
import { markId } from '../e2e/shop.ts';
import { atEveryStep, copyAll, random, SEED } from './at-every-step.ts';
import { assertSound, contentBytes } from './repository-state.ts';
import { change, contentsOf, openSmallShop, withFound } from './small-shop.ts';

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
