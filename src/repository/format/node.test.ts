import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../core/errors.ts';
import { TreeWriter } from '../tree-writer.ts';
import { NodeBuilder, readNode } from './node.ts';

const MIB = 1024 * 1024;
const run = { signal: new AbortController().signal };

/** Names of `sizeBytes` that differ in their last bytes only, in order. */
function nameOf(number: number, sizeBytes: number): Uint8Array {
  const name = Buffer.alloc(sizeBytes, 'a');
  name.writeUInt32BE(number, sizeBytes - 4);
  return name;
}

test('a node whose few bytes stand for names without end is refused', () => {
  const builder = new NodeBuilder(0);
  for (let number = 0; number < 65; number += 1) {
    builder.leaf({ name: nameOf(number, MIB), attributes: new Uint8Array(0) });
  }
  const node = builder.take();
  assert.ok(node.byteLength < 2 * MIB);
  assert.throws(
    () => readNode(node, 'a node'),
    (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
  );
});

test('a tree of long names that are alike has nodes that can be read', async () => {
  const nodes: Uint8Array[] = [];
  const writer = new TreeWriter(new Uint8Array(32), async (_id, node) => {
    nodes.push(node);
  });
  const names = 1000;
  for (let number = 0; number < names; number += 1) {
    const adding = writer.add({ name: nameOf(number, 100_000), attributes: new Uint8Array(0) }, run);
    if (adding !== undefined) await adding;
  }
  await writer.finish(run);
  const leaves = nodes.map((node) => readNode(node, 'a node')).filter(({ level }) => level === 0);
  assert.ok(leaves.length > 1);
  assert.equal(
    leaves.reduce((sum, { leaves: items }) => sum + items.length, 0),
    names,
  );
});
