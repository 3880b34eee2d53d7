import assert from 'node:assert/strict';
import { test } from 'node:test';
import { positionAt } from '../testing/repository-fixture.ts';
import { PlainMemory } from './plain-memory.ts';
import type { SegmentPlace } from './plain-memory.ts';

function place(after: number, upTo: number): SegmentPlace {
  return { history: 'orders', after: positionAt(after), upTo: positionAt(upTo) };
}

test('the newest pieces are kept as long as there is room, those put again once and as the newest', () => {
  const memory = new PlainMemory(100);
  const pieces = new Uint8Array(40);
  memory.put(place(0, 1), pieces);
  memory.put(place(1, 2), pieces);
  memory.put(place(0, 1), pieces);
  memory.put(place(0, 1), pieces);
  const kept = (): readonly boolean[] => [0, 1, 2].map((at) => memory.find(place(at, at + 1)) !== undefined);
  assert.deepEqual(kept(), [true, true, false]);
  memory.put(place(2, 3), pieces);
  assert.deepEqual(kept(), [true, false, true]);
  memory.put(place(3, 4), new Uint8Array(101));
  assert.deepEqual([...kept(), memory.find(place(3, 4))], [false, false, false, undefined]);
  memory.put(place(0, 1), pieces);
  assert.deepEqual(kept(), [true, false, false]);
});
