import assert from 'node:assert/strict';
import { test } from 'node:test';
import { orderOf } from '../core/position.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import { LogFixture } from '../testing/log-fixture.ts';
import { findPosition } from './own-position.ts';
import type { PositionBetween } from './own-position.ts';

/** Of each order the token and second of its position, or the tokens around it. */
async function positionsOf(
  fixture: LogFixture,
  orders: readonly number[],
  between?: PositionBetween,
): Promise<readonly unknown[]> {
  const { repository } = fixture;
  const catalogue = await loadCatalogue(repository.owner, [], repository.run);
  const found: unknown[] = [];
  for (const order of orders) {
    const wanted = { history: 'orders', order: orderOf(order), between };
    const { found: at, near } = await findPosition({ access: repository.owner, catalogue }, wanted, repository.run);
    const told = at && [at.position.resume, (at.atMs - fixture.at(0)) / 1000];
    found.push(told ?? near.map(({ resume }) => resume).join(' '));
  }
  return found;
}

test('a position is found by its order: of a commit, or of a base; otherwise those around it are', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 3 });
  await fixture.log('orders', {
    after: 3,
    commits: [
      [5, 20],
      [8, 22],
    ],
  });
  await fixture.log('orders', { after: 8, commits: [[9, 30]] });
  assert.deepEqual(await positionsOf(fixture, [1, 3, 4, 5, 6, 8, 9, 10]), [
    '',
    ['a3', 10],
    'a3 a5',
    ['a5', 20],
    'a5 a8',
    ['a8', 22],
    ['a9', 30],
    '',
  ]);
});

test('a log of bytes stops at every order between its commits, at a position that its connector tells', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 3 });
  await fixture.log('orders', { after: 3, commits: [[9, 20]] });
  const between: PositionBetween = (order, { lineage, resume }) => ({
    lineage,
    order,
    resume: `${Number(order)} before ${resume}`,
  });
  assert.deepEqual(await positionsOf(fixture, [2, 3, 4, 9, 10], between), [
    '',
    ['a3', 10],
    ['4 before a9', 20],
    ['a9', 20],
    '',
  ]);
});

test('of lineages that all hold an order the newest counts, and what no base leads to does not', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.log('orders', { after: 1, commits: [[4, 20]] });
  await fixture.base('orders', { at: 30, order: 2, lineage: 'b' });
  await fixture.log('orders', { lineage: 'b', after: 2, commits: [[3, 40]] });
  await fixture.log('orders', { lineage: 'c', after: 0, commits: [[4, 50]] });
  assert.deepEqual(await positionsOf(fixture, [1, 2, 3, 4]), [
    ['a1', 10],
    ['b2', 30],
    ['b3', 40],
    ['a4', 20],
  ]);
});
