import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startedAhead } from './started-ahead.ts';

test('the work of each item begins so many places before it, and what fails is its own', async () => {
  const begun: number[] = [];
  const items = [1, 2, 3, 4, 5];
  const told: unknown[] = [];
  for (const { item, result } of startedAhead(items, 2, async (item) => {
    begun.push(item);
    if (item % 2 === 0) throw new Error(`no ${item}`);
    return item * 10;
  })) {
    told.push([begun.length, item, await result.catch((error: unknown) => String(error))]);
  }
  assert.deepEqual(told, [
    [3, 1, 10],
    [4, 2, 'Error: no 2'],
    [5, 3, 30],
    [5, 4, 'Error: no 4'],
    [5, 5, 50],
  ]);
  assert.deepEqual(begun, items);
});

test('what nobody waits for fails for nobody', async () => {
  for (const _ of startedAhead([1, 2], 1, () => Promise.reject(new Error('no')))) break;
  await new Promise((resolve) => setImmediate(resolve));
});
