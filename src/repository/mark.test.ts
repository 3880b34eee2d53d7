import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeMark } from '../testing/fake-records.ts';
import { positionAt } from '../testing/repository-fixture.ts';
import { newestMark } from './mark.ts';

function newestId(marks: Parameters<typeof newestMark>[0]): string | undefined {
  return newestMark(marks)?.mark.id;
}

test('the newest mark is the last one, unless a clock was set back: then the one that stands furthest', () => {
  assert.equal(newestMark([]), undefined);
  assert.equal(newestId([fakeMark(1), fakeMark(2), fakeMark(3)]), 'mark-3');
  assert.equal(newestId([fakeMark(1), fakeMark(7), fakeMark(8), fakeMark(6)]), 'mark-8');
});

test('of marks of which none stands further than the other the later one is the newest', () => {
  const at = (id: string, orders: number, lineage: string): ReturnType<typeof fakeMark> =>
    fakeMark(orders, { id, positions: { orders: { ...positionAt(orders), lineage } } });
  assert.equal(newestId([at('before', 9, 'a'), at('after a restore', 1, 'b')]), 'after a restore');
  const crossed = (id: string, orders: number, catalog: number): ReturnType<typeof fakeMark> =>
    fakeMark(orders, { id, positions: { orders: positionAt(orders), catalog: positionAt(catalog) } });
  assert.equal(newestId([crossed('first', 2, 1), crossed('second', 1, 2)]), 'second');
});
