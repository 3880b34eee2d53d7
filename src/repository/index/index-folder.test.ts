import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isTidemarkError } from '../../core/errors.ts';
import { addPack, idOf, IndexFixture, testRun } from '../../testing/chunk-index-fixture.ts';
import type { ChunkIndex } from './chunk-index.ts';

function has(index: ChunkIndex, chunk: string): boolean {
  return index.findPack(idOf(chunk)) >= 0;
}

async function addAndFlush(index: ChunkIndex, name: string): Promise<void> {
  addPack(index, `pack ${name}`, [`chunk ${name}`]);
  await index.flushAll(testRun);
}

test('two processes add to one folder; each sees the other after a reload, and what either merges away stays readable', async () => {
  await using fixture = await IndexFixture.create();
  await using one = await fixture.open();
  await using other = await fixture.open();
  const names: string[] = [];
  for (let round = 0; round < 8; round += 1) {
    for (const [index, name] of [
      [one, `one ${round}`],
      [other, `other ${round}`],
    ] as const) {
      await addAndFlush(index, name);
      names.push(name);
    }
    if (round === 3) await one.reload(testRun);
  }
  for (let round = 0; round < 8; round += 1) {
    assert.ok(has(one, `chunk one ${round}`));
    assert.ok(has(other, `chunk other ${round}`));
    assert.equal(has(other, `chunk one ${round}`), false);
  }
  await other.reload(testRun);
  for (const name of names) assert.ok(has(other, `chunk ${name}`), name);
  await using third = await fixture.open();
  for (const name of names) assert.ok(has(third, `chunk ${name}`), name);
});

test('of two that would merge the same runs the second one leaves it, nothing is lost and nothing is left over', async () => {
  for (const atOnce of [false, true]) {
    await using fixture = await IndexFixture.create();
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    {
      await using writer = await fixture.open();
      for (const name of names.slice(0, 4)) await addAndFlush(writer, name);
    }
    await using one = await fixture.open();
    await using other = await fixture.open();
    addPack(one, 'pack e', ['chunk e']);
    addPack(other, 'pack f', ['chunk f']);
    const flushed = one.flushAll(testRun);
    if (!atOnce) await flushed;
    await Promise.all([flushed, other.flushAll(testRun)]);
    for (const index of [one, other]) {
      await index.reload(testRun);
      assert.equal(index.statistics.records, names.length);
      for (const name of names) assert.ok(has(index, `chunk ${name}`), name);
    }
    const listed = readFileSync(join(fixture.folder, 'list'), 'utf8');
    for (const file of readdirSync(fixture.folder)) {
      assert.ok(!file.endsWith('.run') || listed.includes(file), `${file} is in the list`);
      assert.equal(file.endsWith('.part'), false, file);
    }
  }
});

test('records go on being read while their runs are merged away', async () => {
  await using fixture = await IndexFixture.create();
  await using index = await fixture.open();
  for (const name of ['a', 'b']) await addAndFlush(index, name);
  const records = index.records(testRun)[Symbol.asyncIterator]();
  const first = records.next();
  for (const name of ['c', 'd', 'e']) await addAndFlush(index, name);
  let count = 0;
  for (let batch = await first; batch.done !== true; batch = await records.next()) count += batch.value.count;
  assert.equal(count, 2);
});

test('what a process left that died between any two steps is removed, and nothing else', async () => {
  await using fixture = await IndexFixture.create();
  await using alive = await fixture.open({ memoryRecords: 1 });
  await addAndFlush(alive, 'a');
  const before = new Set(readdirSync(fixture.folder));
  // A run that is a part still, in a process that lives.
  addPack(alive, 'pack b', ['chunk b']);
  addPack(alive, 'pack c', ['chunk c']);
  const parts = readdirSync(fixture.folder).filter((file) => !before.has(file));
  assert.equal(parts.length, 1);
  const [run] = [...before].filter((file) => file.endsWith('.run'));
  const content = readFileSync(join(fixture.folder, run ?? ''));
  const left = [
    '0123456789abcdef-1.part',
    '0123456789abcdef.owner',
    'fedcba9876543210-7.part',
    'fedcba9876543210.run',
    '.list.00.tidemark-partial',
  ];
  for (const file of left) writeFileSync(join(fixture.folder, file), content.subarray(0, content.byteLength / 2));
  await using next = await fixture.open();
  const after = readdirSync(fixture.folder);
  for (const file of left) assert.equal(after.includes(file), false, file);
  for (const file of [...before, ...parts]) assert.ok(after.includes(file), file);
  assert.ok(has(next, 'chunk a'));
  await alive.flushAll(testRun);
  await next.reload(testRun);
  for (const name of ['a', 'b', 'c']) assert.ok(has(next, `chunk ${name}`), name);
});

test('a run that the list names and that is gone is dropped', async () => {
  await using fixture = await IndexFixture.create();
  {
    await using index = await fixture.open();
    for (const name of ['a', 'b']) await addAndFlush(index, name);
  }
  const [run] = readdirSync(fixture.folder).filter((file) => file.endsWith('.run'));
  rmSync(join(fixture.folder, run ?? ''));
  await using index = await fixture.open();
  assert.equal(Number(has(index, 'chunk a')) + Number(has(index, 'chunk b')), 1);
  assert.ok(fixture.logged.some((message) => message.includes('damaged')));
});

test('an index that was not flushed leaves the folder as it was', async () => {
  await using fixture = await IndexFixture.create();
  {
    await using index = await fixture.open();
    await addAndFlush(index, 'a');
  }
  const before = readdirSync(fixture.folder);
  {
    await using index = await fixture.open({ memoryRecords: 1 });
    for (const name of ['b', 'c', 'd']) addPack(index, `pack ${name}`, [`chunk ${name}`]);
    assert.ok(has(index, 'chunk b'));
  }
  assert.deepEqual(readdirSync(fixture.folder), before);
  await using index = await fixture.open();
  assert.equal(has(index, 'chunk b'), false);
});

test('where the folder is in the way a temporary one serves, and is removed', async () => {
  await using fixture = await IndexFixture.create();
  writeFileSync(fixture.folder, 'a file');
  {
    await using index = await fixture.open();
    await addAndFlush(index, 'a');
    assert.ok(has(index, 'chunk a'));
    assert.equal(readdirSync(fixture.runtime.temporaryFolder).length, 2);
  }
  assert.deepEqual(readdirSync(fixture.runtime.temporaryFolder), ['index']);
  assert.ok(fixture.logged.some((message) => message.includes('temporary')));
});

test('a folder that can not be written is left alone', {
  skip: process.getuid?.() === 0 && 'root may write everywhere',
}, async () => {
  await using fixture = await IndexFixture.create();
  mkdirSync(fixture.folder);
  chmodSync(fixture.folder, 0o500);
  await using index = await fixture.open();
  await addAndFlush(index, 'a');
  assert.deepEqual(readdirSync(fixture.folder), []);
});

test('an aborted run ends a flush, and the index goes on', async () => {
  await using fixture = await IndexFixture.create();
  await using index = await fixture.open();
  addPack(index, 'pack a', ['chunk a']);
  const reason = new Error('enough');
  await assert.rejects(index.flushAll({ signal: AbortSignal.abort(reason) }), reason);
  assert.ok(has(index, 'chunk a'));
  await index.flushAll(testRun);
  await using next = await fixture.open();
  assert.ok(has(next, 'chunk a'));
});

test('a folder that vanishes is one clear error, and what was added is still found', async () => {
  await using fixture = await IndexFixture.create();
  await using index = await fixture.open();
  addPack(index, 'pack a', ['chunk a']);
  rmSync(fixture.folder, { recursive: true });
  await assert.rejects(index.flushAll(testRun), (error: unknown) => isTidemarkError(error, 'FAILED'));
  assert.ok(has(index, 'chunk a'));
});
