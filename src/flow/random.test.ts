import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { createSeededRandom } from './random.ts';

test('the same seed gives the same numbers, another seed others', () => {
  const draw = (seed: number | string): unknown => {
    const random = createSeededRandom(seed);
    return [
      random.next(),
      random.integer(1000),
      random.bytes(7),
      random.pick(['a', 'b', 'c']),
      random.shuffle([1, 2, 3, 4]),
    ];
  };
  assert.deepEqual(draw(42), draw(42));
  assert.deepEqual(draw('42'), draw(42));
  assert.notDeepEqual(draw(42), draw(43));
});

test('the numbers of a seed never change, so that a printed seed stays useful', () => {
  const random = createSeededRandom('tidemark');
  assert.equal(Buffer.from(random.bytes(12)).toString('hex'), '20ab347ac44d2b0a9a56bf41');
  assert.deepEqual([random.integer(10), random.integer(10), random.integer(10)], [6, 9, 2]);
});

test('a fork depends on seed and label only', () => {
  const used = createSeededRandom(1);
  used.bytes(100);
  const fork = (label: string): Uint8Array => createSeededRandom(1).fork(label).bytes(16);
  assert.deepEqual(used.fork('writer').bytes(16), fork('writer'));
  assert.notDeepEqual(fork('writer'), fork('sweeper'));
  assert.notDeepEqual(fork('writer'), createSeededRandom(1).bytes(16));
});

test('numbers stay inside their bounds and a shuffle keeps every item', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 2 ** 32 }), fc.array(fc.nat()), (seed, below, items) => {
      const random = createSeededRandom(seed);
      for (let count = 0; count < 20; count += 1) {
        const integer = random.integer(below);
        assert.ok(Number.isInteger(integer) && integer >= 0 && integer < below);
        const fraction = random.next();
        assert.ok(fraction >= 0 && fraction < 1);
      }
      const before = [...items];
      const ascending = (left: number, right: number): number => left - right;
      assert.deepEqual(random.shuffle(items).toSorted(ascending), items.toSorted(ascending));
      assert.deepEqual(items, before);
      assert.equal(random.bytes(below % 50).byteLength, below % 50);
    }),
  );
});

test('every value is equally likely', () => {
  const random = createSeededRandom(7);
  const draws = 60_000;
  const counts = [0, 0, 0, 0, 0, 0];
  for (let count = 0; count < draws; count += 1) {
    const value = random.integer(counts.length);
    counts[value] = (counts[value] ?? 0) + 1;
  }
  const expected = draws / counts.length;
  const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  // 5 degrees of freedom: exceeded once in a thousand seeds.
  assert.ok(chiSquare < 20.5, `chi square ${chiSquare}`);
});

test('a bound that does not divide 2^32 favours no value', () => {
  const random = createSeededRandom(7);
  const third = 2 ** 30;
  const low = Array.from({ length: 10_000 }, () => random.integer(3 * third)).filter((value) => value < third).length;
  assert.ok(Math.abs(low - 3333) < 180, `${low}`);
});

test('a chance is as often true as it says', () => {
  const random = createSeededRandom(7);
  const hits = Array.from({ length: 10_000 }, () => random.chance(0.2)).filter(Boolean).length;
  assert.ok(Math.abs(hits - 2000) < 150, `${hits}`);
  assert.ok(!random.chance(0) && random.chance(1));
});
