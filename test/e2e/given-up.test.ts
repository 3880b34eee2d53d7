import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { listOf, openShop } from './shop.ts';
import type { Shop } from './shop.ts';

const REDIS = { sentinels: [], expiry: 'remaining', source: 'psync' };
const NOBODY = 'redis://127.0.0.1:1';
const NEW = '.data.tidemark-new-cut';
const ASIDE = '.data.tidemark-aside-cut';
const JOURNAL = '.data.tidemark-journal-cut';

/** Where this host remembers restores. */
function restoresOf(shop: Shop): string {
  const [home = ''] = readdirSync(shop.at('state', 'tidemark')).filter((name) => name.length === 32);
  return shop.at('state', 'tidemark', home, 'restores');
}

/** What a restore of `uploads` leaves that is killed right before the exchange. Returns what is remembered of it. */
function cutOffShop(shop: Shop): Record<string, unknown> {
  writeFileSync(shop.at('data', 'a'), 'restored');
  shop.ok(['backup']);
  shop.ok(['restore', '--to', 'latest', '--into', 'copy', '--yes']);
  writeFileSync(shop.at('data', 'a'), 'live');
  const folder = restoresOf(shop);
  const [name = ''] = readdirSync(folder).filter((file) => file.endsWith('.json'));
  // Written by the command that just ended.
  const remembered = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Record<string, unknown>;
  shop.ok(['restore', '--discard', '--yes']);
  renameSync(shop.at('copy', 'uploads'), shop.at(NEW));
  const [coming, going] = [NEW, 'data'].map((path) => statSync(shop.at(path), { bigint: true }).ino.toString());
  writeFileSync(
    shop.at(JOURNAL),
    JSON.stringify({ version: 1, state: 'exchanging', purpose: 'restore', coming, going }),
  );
  const stores = listOf(remembered, 'stores').map((store) => ({ ...store, into: undefined, shownAs: undefined }));
  const cut = { ...remembered, id: 'cut', phase: 'swapping', stores };
  writeFileSync(join(folder, 'cut.json'), JSON.stringify(cut));
  return cut;
}

test('a restore of files is given up by its name when what was to come in is gone, and the live folder stays as it is', async () => {
  await using shop = await openShop();
  cutOffShop(shop);
  rmSync(shop.at(NEW), { recursive: true });

  const resumed = shop.run(['restore', '--resume']);
  assert.deepEqual([resumed.status, resumed.json['code']], [2, 'RESTORE_CONFLICT']);
  assert.match(String(resumed.json['message']), /what was to take the place of .*\/data is gone/);
  const refused = shop.run(['restore', '--to', 'latest', '--into', 'other', '--yes']);
  for (const { json } of [resumed, refused]) {
    assert.match(String(json['hint']), /--discard uploads`.*\/data is as it was before the restore/);
    assert.doesNotMatch(String(json['hint']), /--resume/);
  }
  assert.equal(shop.run(['restore', '--discard', '--yes']).json['code'], 'RESTORE_UNFINISHED', 'it has to be named');

  const [given] = listOf(shop.ok(['restore', '--discard', 'uploads']), 'stores');
  assert.match(String(given?.['state']), /\/data is as it was before the restore$/);
  assert.equal(readFileSync(shop.at('data', 'a'), 'utf8'), 'live');
  assert.ok(!existsSync(shop.at(JOURNAL)));
  shop.ok(['restore', '--to', 'latest', '--into', 'other', '--yes']);
});

test('giving up between two renames deletes neither tree and says where what was there is', async () => {
  await using shop = await openShop();
  cutOffShop(shop);
  rmSync(shop.at(NEW), { recursive: true });
  renameSync(shop.at('data'), shop.at(ASIDE));
  const [given] = listOf(shop.ok(['restore', '--discard', 'uploads']), 'stores');
  assert.equal(given?.['state'], `nothing is at ${shop.at('data')}; beside it ${ASIDE} stays`);
  assert.equal(readFileSync(shop.at(ASIDE, 'a'), 'utf8'), 'live');
});

test('a restore of files whose notes beside were deleted as well is given up', async () => {
  await using shop = await openShop();
  cutOffShop(shop);
  for (const name of [NEW, JOURNAL]) rmSync(shop.at(name), { recursive: true });
  assert.match(String(shop.run(['restore', '--resume']).json['hint']), /--discard uploads`/);
  shop.ok(['restore', '--discard', 'uploads']);
  assert.equal(readFileSync(shop.at('data', 'a'), 'utf8'), 'live');
});

test('a restore is finished when what was there before went away by itself', async () => {
  for (const isExchanged of [true, false]) {
    await using shop = await openShop();
    cutOffShop(shop);
    rmSync(shop.at('data'), { recursive: true });
    if (isExchanged) renameSync(shop.at(NEW), shop.at('data'));
    const resumed = shop.run(['restore', '--resume']);
    assert.equal(resumed.status, 0, resumed.err);
    assert.match(resumed.err, /what was there before is gone/);
    assert.equal(listOf(resumed.json, 'stores')[0]?.['keptAside'], undefined);
    assert.equal(readFileSync(shop.at('data', 'a'), 'utf8'), 'restored');
  }
});

test('a server that does not come back is given up by its name, and keeps no other restore waiting; a folder that can be finished is not', async () => {
  await using shop = await openShop();
  const cut = cutOffShop(shop);
  const folder = restoresOf(shop);
  const [uploads] = listOf(cut, 'stores');
  const server = { store: 'cache', kind: 'redis', scheme: 'redis', target: '//127.0.0.1:1', options: REDIS };
  writeFileSync(join(folder, 'cut.json'), JSON.stringify({ ...cut, stores: [{ ...uploads, ...server }, uploads] }));
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
  shop.ok(['restore', '--resume']);
  shop.ok(['restore', '--discard', '--yes']);
  assert.deepEqual(readdirSync(work), ['kept-0.rdb'], 'nor when all else of that restore is');
});
