import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import type { MarkRecord } from '../../src/repository/catalogue.ts';
import { listOf } from '../e2e/shop.ts';
import type { Shop } from '../e2e/shop.ts';
import { checkAll, missingIn, valueAt } from './check.ts';
import { LONGER, markAtRandom, openWorld, stateOf, STORES, until, untilRecording } from './world.ts';

/** Written to by the test alone. */
const NOTES = `${STORES}  notes: embedded:./notes.db\n`;
const ALL = ['orders', 'catalog', 'uploads', 'notes'];

function moveStore(shop: Shop, from: string, to: string): void {
  for (const suffix of ['', '-wal', '-shm']) renameSync(shop.at(`${from}${suffix}`), shop.at(`${to}${suffix}`));
}

function lacksOnly(store: string): (record: MarkRecord) => boolean {
  return ({ mark }) => mark.missing.length === 0 || mark.missing.join() === store;
}

test('a store that is locked by its writer, or away for a while, disturbs no other, and is followed on once it is back', async (t) => {
  await using world = await openWorld(NOTES);
  const { shop } = world;
  t.diagnostic(`seed ${world.seed}`);
  using notes = openEmbedded(shop.at('notes.db'));
  notes.put('note', 'before');
  const up = world.startUp();
  world.startWriter();
  await untilRecording(world, ...ALL);
  {
    using lock = new DatabaseSync(shop.at('notes.db'));
    lock.exec('BEGIN EXCLUSIVE');
    for (const id of await markAtRandom(world, LONGER)) assert.deepEqual(await missingIn(world, id), []);
    lock.exec('ROLLBACK');
  }
  moveStore(shop, 'notes.db', 'away.db');
  await until('it is told that the store is away', async () => (await stateOf(world, 'notes')) === 'retrying');
  const during = await markAtRandom(world, LONGER);
  notes.put('note', 'while it was away');
  moveStore(shop, 'away.db', 'notes.db');
  await untilRecording(world, ...ALL);
  const after = await world.mark();
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  assert.equal(status, 0, err);
  const { marks, gaps, bases } = await checkAll(world, model, { promised: during });
  assert.deepEqual(gaps, []);
  assert.deepEqual(ALL.map(bases), [1, 1, 1, 1]);
  assert.ok(marks.every(lacksOnly('notes')), 'other stores were in every mark');
  assert.ok(during.length > 0);
  assert.equal(await valueAt(world, String(after), 'notes', 'note'), 'while it was away');
});

test('another store in the place of one that is written to all the time is noticed: a gap is noted, and a new base taken', async (t) => {
  await using world = await openWorld(NOTES);
  const { shop } = world;
  t.diagnostic(`seed ${world.seed}`);
  using notes = openEmbedded(shop.at('notes.db'));
  notes.put('note', 'of the first store');
  const up = world.startUp();
  world.startWriter();
  await untilRecording(world, ...ALL);
  notes.put('note', 'the last of the first store');
  const before = await world.mark();
  {
    using other = openEmbedded(shop.at('other.db'));
    other.put('note', 'of another store');
  }
  for (const suffix of ['', '-wal', '-shm']) renameSync(shop.at(`notes.db${suffix}`), shop.at(`old.db${suffix}`));
  renameSync(shop.at('other.db'), shop.at('notes.db'));
  using other = openEmbedded(shop.at('notes.db'));
  let count = 0;
  await until('the other store is recorded', async () => {
    for (let writes = 0; writes < 10; writes++) {
      other.put('count', String(++count));
      await sleep(10);
    }
    const id = await world.mark();
    return id !== undefined && (await valueAt(world, id, 'notes', 'note')) === 'of another store';
  });
  other.put('note', 'the newest');
  const after = await world.mark();
  const model = await world.stopWriter();
  const { status, err } = await world.stop(up);
  assert.equal(status, 3, err);
  const { gaps, bases } = await checkAll(world, model);
  assert.deepEqual(
    gaps.map(({ store }) => store),
    ['notes'],
  );
  assert.deepEqual(ALL.map(bases), [1, 1, 1, 2]);
  assert.equal(await valueAt(world, String(before), 'notes', 'note'), 'the last of the first store');
  assert.equal(await valueAt(world, String(after), 'notes', 'note'), 'the newest');
});

test('after a restore in place a gap is noted, and the restored stores are recorded from a new base on', async (t) => {
  await using world = await openWorld(NOTES);
  const { shop } = world;
  t.diagnostic(`seed ${world.seed}`);
  using notes = openEmbedded(shop.at('notes.db'));
  notes.put('note', 'good');
  const up = world.startUp();
  world.startWriter();
  await untilRecording(world, ...ALL);
  const good = await world.mark();
  const model = await world.stopWriter();
  notes.put('note', 'bad');
  const bad = await world.mark();
  for (const id of [good, bad]) assert.deepEqual(await missingIn(world, String(id)), [], `of ${id}`);
  const restoringMs = Date.now();
  shop.ok(['restore', '--to', String(good), '--yes']);
  assert.equal(notes.getText('note'), 'good');
  notes.put('note', 'better');
  await until('all stores are recorded anew', async () => {
    const id = await world.mark();
    return id !== undefined && (await missingIn(world, id)).length === 0 && gapsOf(shop) === ALL.length;
  });
  const after = await world.mark();
  const { status, err } = await world.stop(up);
  assert.equal(status, 3, err);
  await checkAll(world, model, { skip: ({ mark }) => mark.atMs >= restoringMs });
  for (const [mark, text] of [
    [good, 'good'],
    [bad, 'bad'],
    [after, 'better'],
  ] as const) {
    assert.equal(await valueAt(world, String(mark), 'notes', 'note'), text);
  }
  assert.equal(
    await valueAt(world, String(after), 'orders', 'counter'),
    await valueAt(world, String(good), 'orders', 'counter'),
  );
});

/** How many stores have a gap, as `timeline` shows it. */
function gapsOf(shop: Shop): number {
  const timeline = shop.run(['timeline']);
  return listOf(timeline.json, 'stores').filter(({ gaps }) => Array.isArray(gaps) && gaps.length > 0).length;
}
