import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { listOf, openShop } from './shop.ts';

test('the demo tells a story that is true, and leaves nothing', async () => {
  await using shop = await openShop({ create: false });
  mkdirSync(shop.at('tmp'));
  const before = readdirSync(shop.folder.path);
  const demo = shop.ok(['demo'], { env: { TMPDIR: shop.at('tmp'), TIDEMARK_PASSPHRASE: undefined } });
  const story = listOf(demo, 'story');
  const commands = story.filter(({ kind }) => kind === 'command').map(({ text }) => String(text).split(' ')[1]);
  assert.deepEqual(commands, ['init', 'backup', 'backup', 'diff', 'verify', 'restore', 'restore']);
  assert.equal(story.filter(({ text }) => String(text).startsWith('compared with ')).length, 2);
  assert.deepEqual(demo['warnings'], []);
  const warning = story.findIndex(({ text }) => /^warning: .*for the first time/.test(String(text)));
  assert.match(String(story[warning + 1]?.['text']), /^A machine that has seen nothing yet can’t tell/);
  assert.equal(existsSync(String(demo['folder'])), false);
  assert.deepEqual(readdirSync(shop.folder.path), before);
  assert.deepEqual(readdirSync(shop.at('tmp')), []);
});
