import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCodes } from '../core/error-codes.ts';
import { TidemarkError } from '../core/errors.ts';
import { decisiveError, errorsIn, exitStatuses, exitStatusOf, mostSerious } from './exit-status.ts';

const damaged = new TidemarkError('REPOSITORY_DAMAGED', 'damaged');
const full = new TidemarkError('DISK_FULL', 'full');
const refused = new TidemarkError('KEY_REFUSED', 'refused');

test('where several apply the most serious is told: 5, 6, 7, 8, 4, 1, 3', () => {
  const order = [5, 6, 7, 8, 4, 1, 3];
  for (const [index, status] of order.entries()) {
    assert.equal(mostSerious([0, ...order.slice(index).reverse()]), status);
  }
  assert.equal(mostSerious([]), 0);
  assert.equal(mostSerious([0, 9, 0]), 9);
  assert.equal(mostSerious([130]), 130);
});

test('every code leads to a status that is documented', () => {
  const documented = exitStatuses.flatMap(([status]) => status.split(', '));
  for (const [code, { exit }] of Object.entries(errorCodes)) assert.ok(documented.includes(String(exit)), code);
});

test('errors that came together are told by the most serious', () => {
  const together = new AggregateError([full, new AggregateError([damaged, refused])]);
  assert.deepEqual(errorsIn(together), [full, damaged, refused]);
  assert.equal(exitStatusOf(together), 5);
  assert.equal(decisiveError(together), damaged);
  assert.deepEqual(errorsIn(new SuppressedError(full, refused)), [refused, full]);
  assert.equal(exitStatusOf(new SuppressedError(full, refused)), 6);
});

test('an error that nobody foresaw is a failure', () => {
  assert.equal(exitStatusOf(new TypeError('x')), 1);
  assert.equal(exitStatusOf('thrown text'), 1);
  assert.equal(decisiveError(new AggregateError([])) instanceof AggregateError, true);
});
