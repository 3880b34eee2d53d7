import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Mark } from '../repository/mark.ts';
import { positionAt } from '../testing/log-fixture.ts';
import { storeNotes } from './mark-stores.ts';
import type { MeantStores } from './mark-stores.ts';

function markOf(
  id: string,
  hour: number,
  { has, missing = [] }: { has: readonly string[]; missing?: readonly string[] },
) {
  const positions = Object.fromEntries(has.map((store) => [store, positionAt(1)]));
  const mark: Mark = { id, tags: [], class: 'clock', atMs: hour * 3_600_000, skewMs: 0, positions, bases: {}, missing };
  return { mark };
}

const shop = markOf('aaaa', 1, { has: ['db', 'files'] });
const cut = markOf('bbbb', 2, { has: ['db'], missing: ['files'] });
const wiki = markOf('cccc', 3, { has: ['wiki'] });
const grown = markOf('dddd', 4, { has: ['db'] });

function notes(chosen: typeof shop, meant: Partial<MeantStores>, marks = [shop, cut, wiki]): readonly string[] {
  return storeNotes(marks, chosen, { target: 'latest', stores: [], manifest: [], ...meant });
}

test('nothing is said of a mark that has what is meant', () => {
  assert.deepEqual(notes(shop, { manifest: ['db', 'files'] }), []);
  assert.deepEqual(notes(shop, { stores: ['files'] }), []);
  assert.deepEqual(notes(shop, { stores: ['db'] }, [shop, wiki]), []);
  assert.deepEqual(notes(shop, {}, [shop, cut]), []);
});

test('of a mark that was taken for the stores that are named it is told what else it is without', () => {
  assert.deepEqual(notes(cut, { stores: ['db'] }), ['mark bbbb has db; it is partial, without files']);
  assert.deepEqual(notes(cut, { stores: ['db'], target: 'bbbb' }), []);
});

test('the stores of the manifest that a mark does not have are named', () => {
  assert.deepEqual(notes(shop, { manifest: ['db', 'files', 'cache'] }), [
    'mark aaaa does not have cache, which the manifest names',
  ]);
  assert.deepEqual(notes(wiki, { manifest: ['db', 'files'], target: 'cccc' }), [
    'mark cccc has none of the stores of the manifest (db, files), but wiki',
  ]);
});

test('what a partial mark says to be missing is left to it', () => {
  assert.deepEqual(notes(cut, { manifest: ['db', 'files'], target: 'bbbb' }), []);
});

test('without a manifest the stores are named that only other marks have, each with its newest mark', () => {
  assert.deepEqual(notes(wiki, {}, [shop, cut, wiki, grown]).toReversed(), [
    'mark cccc does not have files, which mark aaaa has: name a store to go to the newest mark that has it',
    'mark cccc does not have db, which mark dddd has: name a store to go to the newest mark that has it',
  ]);
});

test('a newer mark without all of the stores is told, unless the mark was named', () => {
  const manifest = ['db', 'files'];
  const marks = [shop, cut, wiki, grown];
  assert.deepEqual(notes(shop, { manifest }, marks), ['mark dddd is newer, but does not have files']);
  assert.deepEqual(notes(shop, { manifest, upToMs: grown.mark.atMs - 1 }, marks), []);
  assert.deepEqual(notes(shop, { manifest, target: 'aaaa' }, marks), []);
});
