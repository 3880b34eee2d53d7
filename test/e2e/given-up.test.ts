import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { listOf, openShop } from './shop.ts';

const REDIS = { sentinels: [], expiry: 'remaining', source: 'psync' };
const FILES = { include: [], exclude: [], oneFileSystem: false, cacheDirTag: false };
const NOBODY = 'redis://127.0.0.1:1';

test('a server that does not come back is given up by its name, and keeps no other restore waiting; a folder is not', async () => {
  await using shop = await openShop();
  writeFileSync(shop.at('data', 'a'), 'x');
  shop.ok(['backup']);
  shop.ok(['restore', '--to', 'latest', '--into', 'copy', '--yes']);
  const [home = ''] = readdirSync(shop.at('state', 'tidemark')).filter((name) => name.length === 32);
  const folder = shop.at('state', 'tidemark', home, 'restores');
  const common = {
    position: { lineage: 'a', order: '0', resume: '0' },
    base: 'b',
    turn: 0,
    undoing: false,
    damagedCount: 0,
  };
  const cache = { store: 'cache', kind: 'redis', scheme: 'redis', target: '//127.0.0.1:1', options: REDIS, ...common };
  const uploads = { store: 'uploads', kind: 'files', target: shop.at('data'), options: FILES, ...common };
  const about = { id: 'cut', atMs: Date.now(), mark: 'm', only: [], skipDamaged: false, phase: 'swapping' };
  writeFileSync(join(folder, 'cut.json'), JSON.stringify({ ...about, stores: [cache, uploads] }));
  const work = join(folder, 'cut', 'cache');
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, 'kept-0.rdb'), 'what it held before');

  const refused = shop.run(['restore', '--to', 'latest', '--into', 'other', '--yes']);
  assert.equal(refused.json['code'], 'RESTORE_UNFINISHED');
  assert.match(String(refused.json['hint']), /--discard STORE/);
  for (const names of [[], ['uploads']]) {
    assert.equal(
      shop.run(['restore', '--discard', '--yes', ...names]).json['code'],
      'RESTORE_UNFINISHED',
      names.join(),
    );
  }
  const [given] = listOf(shop.ok(['restore', '--discard', '--yes', 'cache']), 'stores');
  assert.deepEqual([given?.['store'], given?.['into'], given?.['givenUp']], ['cache', NOBODY, work]);
  assert.deepEqual(readdirSync(work), ['kept-0.rdb'], 'what it held before is not deleted');
  assert.equal(shop.run(['restore', '--discard', '--yes', 'cache']).json['code'], 'NOTHING_TO_RESUME');
  assert.equal(shop.run(['restore', '--to', 'latest', '--into', 'other', '--yes']).json['code'], 'RESTORE_UNFINISHED');
});
