import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SmallPacks } from './small-packs.ts';
import type { SmallPack } from './small-packs.ts';

const MIB = 1024 * 1024;

function pack(id: string, { kind = 'content', sizeBytes = 100 }: Partial<SmallPack> = {}): SmallPack {
  return { id, kind, blocks: [], sizeBytes };
}

test('what stands for a pack is found through all joins, each once, however often they were split', () => {
  const packs = new SmallPacks();
  for (let round = 0; round < 100; round++) {
    packs.noteJoined([pack(`a${round}`), pack(`b${round}`)], [`a${round + 1}`, `b${round + 1}`]);
  }
  assert.deepEqual(packs.standFor(['a0', 'x', 'b7']), ['a100', 'b100', 'x']);
});

test('several of a kind are taken, once; one alone waits for others', () => {
  const packs = new SmallPacks();
  packs.add(pack('a'));
  packs.add(pack('n', { kind: 'node' }));
  assert.deepEqual([packs.take('content'), packs.take('node')], [[], []]);
  packs.add(pack('b'));
  assert.deepEqual(
    packs.take('content').map(({ id }) => id),
    ['a', 'b'],
  );
  assert.deepEqual([packs.take('content'), packs.take('node')], [[], []]);
});

test('it is full with 8 MiB, until they are taken', () => {
  const packs = new SmallPacks();
  for (let at = 0; at < 8; at++) {
    assert.ok(!packs.isFull);
    packs.add(pack(String(at), { sizeBytes: MIB }));
  }
  assert.ok(packs.isFull);
  packs.take('content');
  assert.ok(!packs.isFull);
});
