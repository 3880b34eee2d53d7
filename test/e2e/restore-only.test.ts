import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { listOf, openShop } from './shop.ts';

const manifest =
  'application: shop\nrepository: ./backups\nstores:\n  uploads: files:./data\n  config: files:./config\n';

test('--only brings back what matches; a store that holds nothing of it stays as it is, and is named', async () => {
  await using shop = await openShop({ manifest });
  mkdirSync(shop.at('config'));
  writeFileSync(shop.at('data', 'lost'), 'once');
  writeFileSync(shop.at('config', 'app.conf'), 'then');
  shop.ok(['backup']);
  writeFileSync(shop.at('data', 'lost'), 'spoiled');
  writeFileSync(shop.at('config', 'app.conf'), 'now');
  const result = shop.ok(['restore', '--to', 'latest', '--only', 'lost', '--yes']);
  assert.deepEqual(
    listOf(result, 'stores').map(({ store }) => store),
    ['uploads'],
  );
  assert.match(String(result['warnings']), /config.*--only/);
  assert.equal(readFileSync(shop.at('data', 'lost'), 'utf8'), 'once');
  assert.equal(readFileSync(shop.at('config', 'app.conf'), 'utf8'), 'now');
  shop.ok(['restore', '--undo']);
  assert.equal(readFileSync(shop.at('data', 'lost'), 'utf8'), 'spoiled');
  shop.ok(['restore', '--discard', '--yes']);
});

test('--only that nothing matches is status 4, leaves nothing behind and says nothing of going on', async () => {
  await using shop = await openShop({ manifest });
  mkdirSync(shop.at('config'));
  writeFileSync(shop.at('data', 'kept'), 'kept');
  shop.ok(['backup', '--allow-empty', 'config']);
  const before = readdirSync(shop.folder.path);
  const failed = shop.run(['restore', '--to', 'latest', '--only', 'never-there', '--yes']);
  assert.deepEqual([failed.status, failed.json['code']], [4, 'ENTRY_NOT_FOUND'], failed.err);
  assert.doesNotMatch(String(failed.json['hint']), /--resume|--discard/);
  assert.deepEqual(readdirSync(shop.folder.path), before);
  assert.equal(shop.run(['restore', '--discard']).json['code'], 'NOTHING_TO_RESUME');
  shop.ok(['restore', '--to', 'latest', '--only', 'kept', '--yes']);
});
