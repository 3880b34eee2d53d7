import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCatalogue } from '../repository/catalogue.ts';
import { LogFixture, positionAt } from '../testing/log-fixture.ts';
import { findNearest } from './nearest.ts';
import type { NearestPlace } from './nearest.ts';

/** Token, second and whether it is covered, for each of these seconds. */
async function nearestOf(fixture: LogFixture, seconds: readonly number[]): Promise<readonly unknown[]> {
  const { repository } = fixture;
  const catalogue = await loadCatalogue(repository.owner, [], repository.run);
  const found: unknown[] = [];
  for (const second of seconds) {
    const wanted = { history: 'orders', timeMs: fixture.at(second) };
    const nearest = await findNearest({ access: repository.owner, catalogue }, wanted, repository.run);
    found.push(nearest && [nearest.position.resume, secondOf(fixture, nearest), nearest.isCovered]);
  }
  return found;
}

const secondOf = (fixture: LogFixture, { atMs }: NearestPlace): number => (atMs - fixture.at(0)) / 1000;

test('the newest commit at or before a time is found, within a segment as well', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.log('orders', {
    after: 1,
    commits: [
      [2, 20],
      [3, 22],
      [5, 30],
    ],
  });
  await fixture.log('orders', { after: 5, commits: [[6, 40]] });
  assert.deepEqual(await nearestOf(fixture, [9, 10, 19, 20, 21, 22.5, 30, 39, 40, 41]), [
    undefined,
    ['a1', 10, true],
    ['a1', 10, true],
    ['a2', 20, true],
    ['a2', 20, true],
    ['a3', 22, true],
    ['a5', 30, true],
    ['a5', 30, true],
    ['a6', 40, true],
    ['a6', 40, false],
  ]);
});

test('a mark that found the history still there covers the time up to it', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.log('orders', { after: 1, commits: [[2, 20]] });
  await fixture.mark(60, { positions: { orders: positionAt(2) } });
  assert.deepEqual(await nearestOf(fixture, [50, 61]), [
    ['a2', 20, true],
    ['a2', 20, false],
  ]);
});

test('across lineages the newer place is taken, and a time in a gap is not covered', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.log('orders', { after: 1, commits: [[2, 20]] });
  await fixture.base('orders', { at: 40, order: 1, lineage: 'b' });
  await fixture.log('orders', { lineage: 'b', after: 1, commits: [[2, 50]] });
  assert.deepEqual(await nearestOf(fixture, [15, 30, 45, 55]), [
    ['a1', 10, true],
    ['a2', 20, false],
    ['b1', 40, true],
    ['b2', 50, false],
  ]);
});

test('before a fuzzy base is whole nothing can be restored, and no log without a base', async () => {
  await using fixture = await LogFixture.create();
  await fixture.log('orders', {
    after: 1,
    commits: [
      [2, 5],
      [3, 8],
      [4, 12],
      [5, 20],
    ],
  });
  assert.deepEqual(await nearestOf(fixture, [15]), [undefined]);
  await fixture.base('orders', { at: 15, order: 4, logFrom: 3 });
  assert.deepEqual(await nearestOf(fixture, [14, 16, 25]), [undefined, ['a4', 15, true], ['a5', 20, false]]);
});
