import assert from 'node:assert/strict';
import { BugError } from '../../core/must.ts';
import { all, assertHolds, assertRejects, listAll, pattern, text } from './check.ts';
import type { CheckContext, ObjectStoreCheck } from './check.ts';

const FILLER = 0xee;

async function readsRanges({ store, run }: CheckContext): Promise<void> {
  const SIZE = 70_001;
  const bytes = pattern(SIZE, 4);
  await store.create('ranges', [bytes], run);
  const offsets = [0, 1, 4096, 65_535, 65_536, SIZE - 2, SIZE - 1, SIZE, SIZE + 1, SIZE * 1000];
  const lengths = [0, 1, 2, 4096, 65_536, SIZE, SIZE + 10];
  for (const offset of offsets) {
    for (const length of lengths) {
      // A view into something larger: what lies around it must stay.
      const around = new Uint8Array(length + 16).fill(FILLER);
      const count = await store.read('ranges', offset, around.subarray(8, 8 + length), run);
      const expected = bytes.subarray(offset, offset + length);
      assert.equal(count, expected.byteLength, `bytes at ${offset} of ${length}`);
      assert.ok(
        Buffer.compare(around.subarray(8, 8 + count), expected) === 0,
        `the right bytes at ${offset} of ${length}`,
      );
      assert.ok(
        around.subarray(0, 8).every((byte) => byte === FILLER),
        'nothing is written before',
      );
      assert.ok(
        around.subarray(8 + length).every((byte) => byte === FILLER),
        'nothing is written behind',
      );
    }
  }
}

async function readsAtOnce({ store, run }: CheckContext): Promise<void> {
  const bytes = pattern(300_000, 5);
  await store.create('shared', [bytes], run);
  const reads = Array.from({ length: 64 }, async (_, index) => {
    const into = new Uint8Array(5000);
    const offset = (index * 7919) % 300_000;
    const count = await store.read('shared', offset, into, run);
    assert.ok(Buffer.compare(into.subarray(0, count), bytes.subarray(offset, offset + 5000)) === 0);
  });
  await all(reads);
}

async function tellsAbsence({ store, run }: CheckContext): Promise<void> {
  await store.create('folder/object', [text('x')], run);
  for (const key of [
    'nothing',
    'folder',
    'folder/other',
    'folder/object/below',
    'other/object',
    'folder/objec',
    'folder/object0',
  ]) {
    assert.equal(await store.stat(key, run), undefined, `${key} is absent`);
    await assertRejects(store.read(key, 0, new Uint8Array(1), run), 'OBJECT_NOT_FOUND');
    await assertRejects(store.read(key, 5, new Uint8Array(1), run), 'OBJECT_NOT_FOUND');
  }
  assert.equal((await store.stat('folder/object', run))?.sizeBytes, 1);
}

async function agreesOnFacts({ fixture, store, run }: CheckContext): Promise<void> {
  await store.create('facts/one', [text('12345')], run);
  await fixture.settleListings?.();
  const [listed] = await listAll(store, { prefix: 'facts/' }, run);
  assert.deepEqual(listed, await store.stat('facts/one', run));
  assert.equal(listed?.key, 'facts/one');
  assert.equal(listed.sizeBytes, 5);
}

const BAD_KEYS = [
  '',
  '/',
  '/a',
  'a/',
  'a//b',
  '.',
  '..',
  './a',
  '../a',
  'a/../b',
  'a/./b',
  '.tmp/a',
  '-a',
  '_a',
  'A',
  'a b',
  'a\\b',
  'a\0',
  'a\n',
  'ä',
  'a:b',
  'a*',
  'a%2f',
  '~a',
  'a'.repeat(129),
  'a/'.repeat(256) + 'b',
];

async function refusesBadKeys({ store, run }: CheckContext): Promise<void> {
  for (const key of BAD_KEYS) {
    const shown = JSON.stringify(key.slice(0, 20));
    await assert.rejects(store.create(key, [text('x')], run), BugError, `create ${shown}`);
    await assert.rejects(store.read(key, 0, new Uint8Array(1), run), BugError, `read ${shown}`);
    await assert.rejects(store.stat(key, run), BugError, `stat ${shown}`);
    await assert.rejects(store.delete(['fine', key], run), BugError, `delete ${shown}`);
  }
  for (const prefix of ['/', '.', '..', '../', 'a//', 'A', 'a b', './']) {
    await assert.rejects(listAll(store, { prefix }, run), BugError, `list ${JSON.stringify(prefix)}`);
  }
  for (const offset of [-1, 0.5, Number.NaN]) {
    await assert.rejects(store.read('fine', offset, new Uint8Array(1), run), BugError, `read at ${offset}`);
  }
}

async function takesLongKeys({ fixture, store, run }: CheckContext): Promise<void> {
  const part = `a${'.-_0'.repeat(40)}`.slice(0, 128);
  const keys = [
    '0',
    'a.',
    'a..b',
    `b${part.slice(1)}`,
    `${part}/${part}/${part}/${part.slice(0, 125)}`,
    'a/'.repeat(255) + 'b',
  ];
  for (const key of keys) await store.create(key, [text(key)], run);
  for (const key of keys) await assertHolds(store, key, text(key), run);
  await fixture.settleListings?.();
  assert.deepEqual(
    (await listAll(store, { prefix: '' }, run)).map((info) => info.key),
    [...keys].sort(),
  );
}

export const readChecks: readonly ObjectStoreCheck[] = [
  { title: 'a read fills exactly the range that is there', verify: readsRanges },
  { title: 'many reads of one object run at once', verify: readsAtOnce },
  { title: 'what is absent is told apart from what is empty', verify: tellsAbsence },
  { title: 'a listing and a look at the object agree', verify: agreesOnFacts },
  { title: 'keys, prefixes and offsets of another form are refused', verify: refusesBadKeys },
  { title: 'every key of the documented form can be had', verify: takesLongKeys },
];
