import assert from 'node:assert/strict';
import { all, assertHolds, createMany, listAll, listKeys, text } from './check.ts';
import type { CheckContext, ObjectStoreCheck } from './check.ts';

/** The slash lies between `.` and `0`: an order by folders, or by names within them, puts these elsewhere. */
const TRICKY = [
  'a-',
  'a-b/c',
  'a-c',
  'a.',
  'a.b/a',
  'a.c',
  'a/b',
  'a/b-/x',
  'a/b.c',
  'a/b0',
  'a/c/d',
  'a/c-d',
  'a/c.d',
  'a/c0',
  'a0',
  'a00/a',
  'a_/a',
  'aa/a',
  'ab',
  'b/0',
  'b/00',
  'b/0a/0',
  'b/a',
  'z',
  '0',
  '00/0',
  '9',
];

function inByteOrder(keys: readonly string[]): string[] {
  return [...keys].sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
}

async function ordersWholeKeys({ fixture, store, run }: CheckContext): Promise<void> {
  await all(TRICKY.toReversed().map((key) => store.create(key, [text(key)], run)));
  await fixture.settleListings?.();
  const sorted = inByteOrder(TRICKY);
  assert.deepEqual(await listKeys(store, { prefix: '' }, run), sorted);
  const prefixes = [
    'a',
    'a/',
    'a/b',
    'a/b-',
    'a/b-/',
    'a/b-/x',
    'a/c',
    'a/c/',
    'a-',
    'a-b',
    'a-b/',
    'a.',
    'a0',
    'aa',
    'b',
    'b/0',
    'b/0a',
    'c',
    'a/d',
    'zz',
    'z/',
  ];
  for (const prefix of prefixes) {
    const expected = sorted.filter((key) => key.startsWith(prefix));
    assert.deepEqual(await listKeys(store, { prefix }, run), expected, `with the prefix ${prefix}`);
    for (const after of [
      '',
      'a',
      'a-',
      'a.b',
      'a/',
      'a/b',
      'a/b-',
      'a/b-/x',
      'a/c',
      'a/c/',
      'a/c/d',
      'a0',
      'aa',
      'zzz',
      '0',
    ]) {
      const rest = expected.filter((key) => key > after);
      assert.deepEqual(await listKeys(store, { prefix, after }, run), rest, `with the prefix ${prefix} after ${after}`);
    }
  }
}

async function listsNothing({ fixture, store, run }: CheckContext): Promise<void> {
  assert.deepEqual(await listKeys(store, { prefix: '' }, run), []);
  assert.deepEqual(await listKeys(store, { prefix: 'a/b' }, run), []);
  await store.create('a/c', [], run);
  await fixture.settleListings?.();
  assert.deepEqual(await listKeys(store, { prefix: 'a/b' }, run), []);
  assert.deepEqual(await listKeys(store, { prefix: 'a/c/' }, run), [], 'an object is no folder');
  assert.deepEqual(await listKeys(store, { prefix: 'a/c' }, run), ['a/c'], 'a whole key is its own prefix');
}

type Many = CheckContext & { readonly sorted: readonly string[] };

async function listsMany(context: CheckContext): Promise<void> {
  const { fixture, store, run } = context;
  const keys = Array.from({ length: 2500 }, (_, index) => {
    const name = String((index * 7919) % 2500).padStart(4, '0');
    return index % 2 === 0 ? `many/${name}` : `many/f${index % 13}/${name}`;
  });
  await createMany(store, ['man', 'many0', ...keys], run);
  await fixture.settleListings?.();
  const many = { ...context, sorted: inByteOrder(keys) };
  await listsFromAnyKey(many);
  await endsWithTheSignal(many);
  await toleratesChangesMeanwhile(many);
  await store.delete(keys, run);
  await fixture.settleListings?.();
  assert.deepEqual(await listKeys(store, { prefix: '' }, run), ['man', 'many/f12/zzz', 'many/000', 'many0'].sort());
}

async function listsFromAnyKey({ store, sorted, run }: Many): Promise<void> {
  assert.deepEqual(await listKeys(store, { prefix: 'many/' }, run), sorted);
  for (let from = 0; from < sorted.length; from += 611) {
    const after = sorted[from] ?? '';
    assert.deepEqual(await listKeys(store, { prefix: 'many/', after }, run), sorted.slice(from + 1), `after ${after}`);
  }
  for await (const batch of store.list('many/', '', run)) {
    assert.equal(batch[0]?.key, sorted[0], 'the first batch begins with the first key');
    break;
  }
}

async function endsWithTheSignal({ store, run }: Many): Promise<void> {
  const stop = new AbortController();
  const reason = new Error('enough listed');
  let batches = 0;
  const listing = async (): Promise<void> => {
    for await (const batch of store.list('many/', '', { signal: AbortSignal.any([stop.signal, run.signal]) })) {
      assert.ok(batch.length > 0);
      batches += 1;
      stop.abort(reason);
    }
  };
  await assert.rejects(listing(), (error) => error === reason);
  assert.equal(batches, 1);
}

async function toleratesChangesMeanwhile({ store, sorted, run }: Many): Promise<void> {
  const gone = new Set(sorted.filter((_, index) => index >= 1200 && index % 2 === 0));
  const seen: string[] = [];
  for await (const batch of store.list('many/', '', run)) {
    if (seen.length === 0) {
      await store.delete([...gone], run);
      await createMany(store, ['many/f12/zzz', 'many/000'], run);
    }
    seen.push(...batch.map((info) => info.key));
  }
  assert.deepEqual(seen, inByteOrder([...new Set(seen)]), 'ascending, none twice');
  const found = new Set(seen);
  for (const key of sorted) assert.ok(gone.has(key) || found.has(key), `${key} was there all the time`);
}

async function showsAtOnce({ fixture, store, capabilities, run }: CheckContext): Promise<void> {
  await using other = await fixture.openAgain();
  for (let round = 0; round < 5; round += 1) {
    const key = `shown/${round}`;
    await store.create(key, [text('x')], run);
    if (!capabilities.listsAtOnce) await fixture.settleListings?.();
    assert.deepEqual(await listKeys(other, { prefix: 'shown/' }, run), [key], 'a create is listed');
    await other.delete([key], run);
    if (!capabilities.listsAtOnce) await fixture.settleListings?.();
    assert.deepEqual(await listKeys(store, { prefix: 'shown/' }, run), [], 'a delete is listed');
  }
}

async function deletesWhatIsThere({ fixture, store, run }: CheckContext): Promise<void> {
  await using other = await fixture.openAgain();
  const keys = ['gone/a', 'gone/b/c', 'gone/b/d', 'stays/a'];
  await createMany(store, keys, run);
  await store.read('gone/a', 0, new Uint8Array(1), run);
  await store.delete(['gone/a', 'gone/b/c', 'gone/b/d', 'gone/never', 'never/was', 'gone/a/below'], run);
  for (const key of keys.slice(0, 3)) {
    for (const handle of [store, other]) {
      assert.equal(await handle.stat(key, run), undefined, `${key} is gone`);
      await assert.rejects(handle.read(key, 0, new Uint8Array(1), run), { code: 'OBJECT_NOT_FOUND' });
    }
  }
  await assertHolds(store, 'stays/a', text('stays/a'), run);
  await store.delete([], run);
  await store.delete(['gone/a', 'gone/a'], run);
  await store.create('gone/a', [text('anew')], run);
  await other.create('gone/b/c', [text('anew')], run);
  await assertHolds(store, 'gone/a', text('anew'), run);
  await assertHolds(store, 'gone/b/c', text('anew'), run);
  await fixture.settleListings?.();
  assert.deepEqual(await listKeys(store, { prefix: '' }, run), ['gone/a', 'gone/b/c', 'stays/a']);
  assert.equal((await listAll(store, { prefix: 'gone/a' }, run))[0]?.sizeBytes, 4);
}

/** Folders that become empty and are needed again at that very moment. */
async function createsBesideDeletes({ fixture, store, run }: CheckContext): Promise<void> {
  await using other = await fixture.openAgain();
  const churn = async (handle: CheckContext['store'], name: string): Promise<void> => {
    for (let round = 0; round < 25; round += 1) {
      const key = `churn/deep/folder/${name}`;
      await handle.create(key, [text(name)], run);
      await assertHolds(handle, key, text(name), run);
      await handle.delete([key], run);
    }
  };
  await all([churn(store, 'a'), churn(other, 'b'), churn(store, 'c'), churn(other, 'd')]);
  await fixture.settleListings?.();
  assert.deepEqual(await listKeys(store, { prefix: '' }, run), []);
}

export const listChecks: readonly ObjectStoreCheck[] = [
  { title: 'a listing is in bytewise order of whole keys, from any prefix and after any key', verify: ordersWholeKeys },
  { title: 'a listing of nothing is empty', verify: listsNothing },
  {
    title: '2,500 objects are listed in batches, from any key, until the signal, whatever changes meanwhile',
    verify: listsMany,
  },
  { title: 'creates and deletes are listed at once, where the store says so', verify: showsAtOnce },
  { title: 'a delete removes what is there and tolerates what is not', verify: deletesWhatIsThere },
  { title: 'creates and deletes in one folder don’t disturb each other', verify: createsBesideDeletes },
];
