import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compareBytes } from '../../core/bytes.ts';
import { must } from '../../core/must.ts';
import { PackSets } from './pack-sets.ts';

const idOf = (number: number): Uint8Array => createHash('sha256').update(`${number}`).digest();

function idsOf(numbers: readonly number[]): Uint8Array {
  return Buffer.concat(numbers.map(idOf).toSorted(compareBytes));
}

const aSet = fc.uniqueArray(fc.nat(60), { maxLength: 40 });
const someSets = fc.array(aSet, { maxLength: 12 });

test('sets come back as they were, also from what was written down, and where only some are kept', () => {
  fc.assert(
    fc.property(someSets, someSets, fc.nat(3), (early, late, every) => {
      const first = PackSets.of(new Uint8Array(0));
      const put = early.map((numbers) => must(first.put(idsOf(numbers)), 'ids that ascend'));
      const wanted = early.filter((_, at) => at % (every + 1) === 0);
      const { sets, moved } = first.only(put.filter((_, at) => at % (every + 1) === 0));
      assert.equal(sets.ids.byteLength, 32 * new Set(wanted.flat()).size);
      const again = PackSets.of(sets.ids);
      const added = late.map((numbers) => must(again.put(idsOf(numbers)), 'ids that ascend'));
      const check = (numbers: readonly number[], set: Uint8Array | undefined, within: PackSets): void => {
        assert.deepEqual(Buffer.from(within.get(must(set, 'a set'))), Buffer.from(idsOf(numbers)));
      };
      for (const [at, numbers] of early.entries()) check(numbers, put[at], first);
      for (const [at, numbers] of wanted.entries()) check(numbers, moved[at], again);
      for (const [at, numbers] of late.entries()) check(numbers, added[at], again);
    }),
  );
});

test('what would not come back as it was is not taken', () => {
  const sets = PackSets.of(new Uint8Array(0));
  const [one, other] = [idOf(1), idOf(2)].toSorted(compareBytes);
  const ids = [must(one, 'an id'), must(other, 'an id')];
  assert.equal(sets.put(Buffer.concat(ids.toReversed())), undefined);
  assert.equal(sets.put(Buffer.concat([...ids, ...ids.slice(1)])), undefined);
  assert.equal(sets.put(Buffer.concat([...ids, Buffer.alloc(1)])), undefined);
  assert.equal(sets.ids.byteLength, 0);
});

test('of sets that grow by a pack each, another one takes a few bytes', () => {
  const sets = PackSets.of(new Uint8Array(0));
  for (let size = 1; size <= 500; size += 1) {
    const set = sets.put(idsOf(Array.from({ length: size }, (_, number) => number)));
    assert.ok((set?.byteLength ?? Infinity) <= 3);
  }
});
