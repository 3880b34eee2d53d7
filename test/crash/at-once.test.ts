import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSeededRandom } from '../../src/flow/random.ts';
import { listOf, markId } from '../e2e/shop.ts';
import type { Ended } from '../e2e/shop.ts';
import { assertSound } from './repository-state.ts';
import type { Contents } from './repository-state.ts';
import { age, change, contentsOf, openSmallShop, withFound } from './small-shop.ts';

const ROUNDS = process.env['TIDEMARK_TEST_LEVEL'] === 'full' ? 6 : 2;

test('processes of several hosts write, verify, forget and sweep one repository at once', async () => {
  const random = createSeededRandom('at once');
  await using shop = await openSmallShop();
  const host = (name: string) => ({ env: { XDG_STATE_HOME: shop.at(name) } });
  const contents = new Map<string, Contents>();
  for (let number = 0; number < 3; number++) {
    change(shop, 12, random);
    contents.set(markId(shop.ok(['backup'])), contentsOf(shop));
    age(shop);
  }
  let deleted = 0;
  for (let round = 0; round < ROUNDS; round++) {
    // What one sweep condemned long ago is what the next one deletes while the others work.
    shop.ok(['forget', '--apply']);
    age(shop);
    shop.ok(['sweep', '--apply']);
    age(shop);
    change(shop, 6, random);
    const started = [
      shop.start(['backup'], host('first')),
      shop.start(['sweep', '--apply'], host('second')),
      shop.start(['verify', '--data'], host('third')),
      shop.start(['backup'], host('fourth')),
      shop.start(['forget', '--apply'], host('second')),
      shop.start(['sweep', '--apply'], host('first')),
    ];
    const ended = await Promise.all(started.map((each) => each.ended));
    assert.deepEqual(
      ended.map(({ status, err }) => (status === 0 ? '' : err)),
      ended.map(() => ''),
    );
    deleted += ended.flatMap(removedBy).length;
    const made = ended.filter(({ json }) => json['mark'] !== undefined).map(({ json }) => markId(json));
    assert.equal(made.length, 2);
    for (const id of made) contents.set(id, contentsOf(shop));
    const kept = new Set(listOf(shop.ok(['marks']), 'marks').map(({ id }) => String(id)));
    for (const id of made) assert.ok(kept.has(id), `mark ${id}`);
    const marks = new Map([...contents].filter(([id]) => kept.has(id)));
    await withFound(shop, (found) => assertSound(found, marks));
    age(shop);
  }
  assert.ok(deleted > 0, 'something was deleted meanwhile');
});

function removedBy({ json }: Ended): readonly unknown[] {
  const { removed } = json;
  return Array.isArray(removed) ? removed.filter((key) => String(key).includes('/')) : [];
}
