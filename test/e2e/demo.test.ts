import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { listOf, objectOf, openShop } from './shop.ts';

test('the demo tells a story that is true, and leaves nothing', async () => {
  await using shop = await openShop({ create: false });
  mkdirSync(shop.at('tmp'));
  const before = readdirSync(shop.folder.path);
  const demo = shop.ok(['demo'], { env: { TMPDIR: shop.at('tmp'), TIDEMARK_PASSPHRASE: undefined } });
  const story = listOf(demo, 'story');
  const commands = story.filter(({ kind }) => kind === 'command').map(({ text }) => String(text).split(' ')[1]);
  const typed = 'init up mark mark timeline plan restore restore restore restore verify';
  assert.equal(commands.join(' '), typed);
  assert.equal(story.filter(({ text }) => String(text).startsWith('the counters agree')).length, 3);
  assert.deepEqual(demo['warnings'], []);

  const marks = story.filter(({ kind }) => kind === 'mark').map((line) => objectOf(line, 'mark'));
  assert.deepEqual(
    marks.map(({ name, state, class: kind }) => [name, state, kind]),
    [
      ['end-of-day', 'complete', 'sealed'],
      ['before-clean-up', 'complete', 'clock'],
    ],
  );
  const [timeline = {}] = story.filter(({ kind }) => kind === 'timeline').map((line) => objectOf(line, 'timeline'));
  assert.deepEqual(
    listOf(timeline, 'stores').map(({ store, gaps }) => [store, gaps]),
    [
      ['catalog', []],
      ['orders', []],
      ['uploads', []],
    ],
  );
  const [plan = {}] = story.filter(({ kind }) => kind === 'plan').map((line) => objectOf(line, 'plan'));
  const chosen = objectOf(plan, 'mark');
  assert.equal(chosen['state'], 'complete');
  assert.ok(String(chosen['at']) > String(marks[1]?.['at']), 'the mark that is chosen is newer than the named one');

  assert.equal(existsSync(String(demo['folder'])), false);
  assert.deepEqual(readdirSync(shop.folder.path), before);
  assert.deepEqual(readdirSync(shop.at('tmp')), []);
});
