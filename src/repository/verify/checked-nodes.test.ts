import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CheckedNodes } from './checked-nodes.ts';
import type { CheckedNode } from './checked-nodes.ts';

const idOf = (number: number): Uint8Array => Buffer.alloc(32, number);
const node = (entries: number, packs = 1): CheckedNode => ({
  shape: 'node 0',
  entries,
  bytes: 0,
  chunks: 0,
  first: Buffer.from('a'),
  last: Buffer.from('b'),
  packs: new Uint32Array(packs),
});

test('remembers the nodes that were used last, within its limit', () => {
  const checked = new CheckedNodes(10_000);
  for (let number = 0; number < 100; number++) {
    checked.set(idOf(number), node(number));
    assert.equal(checked.get(idOf(0))?.entries, 0, 'what is used stays');
  }
  const kept = Array.from({ length: 100 }, (_, number) => checked.get(idOf(number))).filter(
    (found) => found !== undefined,
  );
  assert.ok(kept.length > 5 && kept.length < 20, `${kept.length} are kept`);
  assert.equal(checked.get(idOf(99))?.entries, 99);
  assert.equal(checked.get(idOf(1)), undefined);
});

test('a node that needs many packs takes more room, and one that is set again takes it once', () => {
  const checked = new CheckedNodes(10_000);
  for (let round = 0; round < 50; round++) checked.set(idOf(1), node(round, 1000));
  assert.equal(checked.get(idOf(1))?.entries, 49);
  checked.set(idOf(2), node(2, 1000));
  checked.set(idOf(3), node(3, 1000));
  assert.equal(checked.get(idOf(1)), undefined);
  assert.equal(checked.get(idOf(3))?.entries, 3);
});
