import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withDerivedCredential } from '../../src/repository/access.ts';
import { sweep } from '../../src/repository/sweep.ts';
import { listOf, markId } from '../e2e/shop.ts';
import type { Shop } from '../e2e/shop.ts';
import { atEveryStep, random, SEED } from './at-every-step.ts';
import { assertNoGarbage, assertSound } from './repository-state.ts';
import type { Contents, Found } from './repository-state.ts';
import { age, change, contentsOf, openSmallShop, run, withFound } from './small-shop.ts';

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
