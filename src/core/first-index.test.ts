import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstIndex } from './first-index.ts';

test('the first index is found in a list of any length, also before and behind all of it', () => {
  for (let count = 0; count < 20; count++) {
    for (let first = 0; first <= count; first++) {
      const asked: number[] = [];
      const holds = (index: number): boolean => {
        asked.push(index);
        return index >= first;
      };
      assert.equal(firstIndex(count, holds), first);
      assert.ok(asked.length <= Math.ceil(Math.log2(count + 1)) && asked.every((index) => index >= 0 && index < count));
    }
  }
});
