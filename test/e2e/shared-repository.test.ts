import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { listOf, markId, objectOf, openShop, until } from './shop.ts';
import type { Shop } from './shop.ts';

const SHOP = 'application: shop\nrepository: ./backups\nstores:\n  uploads: files:./data\n';
const WIKI = 'application: wiki\nrepository: ./backups\nstores:\n  pages: files:./pages\n';
const shop = (...args: readonly string[]): readonly string[] => [...args, '-f', 'tidemark.yaml'];
const wiki = (...args: readonly string[]): readonly string[] => [...args, '-f', 'wiki.yaml'];

type Backed = { readonly first: string; readonly second: string };

/** Two applications in one repository, backed up one after another: of the second is the newest mark. */
function backUpBoth(two: Shop): Backed {
  mkdirSync(two.at('pages'));
  writeFileSync(two.at('wiki.yaml'), WIKI);
  writeFileSync(two.at('data', 'cat'), 'an upload');
  writeFileSync(two.at('pages', 'home'), 'a page');
  const first = markId(two.ok(shop('backup')));
  return { first, second: markId(two.ok(wiki('backup'))) };
}

const storesOf = (result: Readonly<Record<string, unknown>>): readonly unknown[] =>
  listOf(result, 'stores').map(({ store }) => store);

test('an application is restored to its own newest mark, whoever else backs up into its repository', async () => {
  await using two = await openShop({ manifest: SHOP });
  const { first, second } = backUpBoth(two);
  const restored = two.ok(shop('restore', '--to', 'latest', '--into', './out', '--yes'));
  assert.deepEqual([markId(restored), storesOf(restored), restored['warnings']], [first, ['uploads'], []]);
  assert.equal(readFileSync(two.at('out', 'uploads', 'cat'), 'utf8'), 'an upload');
  assert.ok(!existsSync(two.at('out', 'pages')));
  for (const plan of [
    shop('plan', '--to', 'latest'),
    shop('plan', '--to', '0s ago'),
    shop('plan', 'uploads', '--to', 'latest'),
  ]) {
    const planned = two.ok(plan);
    assert.deepEqual([markId(planned), listOf(planned, 'stores')[0]?.['lostAfterMs']], [first, 0], plan.join(' '));
  }
  assert.equal(markId(two.ok(wiki('plan', '--to', 'latest'))), second);
  assert.equal(two.run(shop('cat', 'latest', 'uploads', 'cat')).out, 'an upload');
  assert.equal(two.run(shop('cat', 'latest', 'pages', 'home')).out, 'a page');
  const diff = two.ok(shop('diff', first, 'latest'));
  assert.deepEqual([objectOf(diff, 'to')['id'], diff['warnings']], [first, []]);
  assert.equal(listOf(two.ok(shop('find', 'cat', '--mark', 'latest')), 'found').length, 1);
  assert.equal(markId(two.ok(shop('pin', 'latest'))), first);
  assert.equal(objectOf(two.ok(shop('status')), 'lastMark')['id'], first);
});

test('stores that a mark does not have are named when they may be meant', async () => {
  await using two = await openShop({ manifest: SHOP });
  const { first, second } = backUpBoth(two);
  const warned = (args: readonly string[]): string => String(two.ok([...args, '--into', './out'])['warnings']);
  assert.match(warned(shop('plan', '--to', second)), /has none of the stores of the manifest \(uploads\), but pages/);
  assert.match(
    warned(['plan', '--repository', './backups', '--to', 'latest']),
    new RegExp(`mark ${second} does not have uploads, which mark ${first} has`),
  );
  writeFileSync(two.at('tidemark.yaml'), `${SHOP}  photos: files:./photos\n`);
  const grown = two.ok(shop('restore', '--to', 'latest', '--into', './out', '--yes'));
  assert.deepEqual([markId(grown), storesOf(grown)], [first, ['uploads']]);
  assert.match(String(grown['warnings']), new RegExp(`mark ${first} does not have photos, which the manifest names`));
  writeFileSync(two.at('tidemark.yaml'), SHOP.replace('uploads:', 'photos:'));
  const none = two.run(shop('restore', '--to', 'latest', '--into', './none', '--yes'));
  assert.deepEqual([none.status, none.json['code']], [4, 'TARGET_OUTSIDE_WINDOW'], none.err);
  assert.match(String(none.json['hint']), /are of pages, uploads/);
});

test('what another application has under the same name is not restored over the own store', async () => {
  await using two = await openShop({ manifest: SHOP });
  mkdirSync(two.at('pages'));
  writeFileSync(two.at('wiki.yaml'), WIKI.replace('pages: ', 'uploads: '));
  writeFileSync(two.at('data', 'cat'), 'an upload');
  writeFileSync(two.at('pages', 'home'), 'a page');
  two.ok(shop('backup'));
  two.ok(wiki('backup', '--take-over', 'uploads'));
  const refused = two.run(shop('restore', '--to', 'latest', '--yes'));
  assert.equal(refused.status, 2, refused.err);
  assert.match(refused.err, /uploads: it was backed up by the application wiki, and this is shop/);
  assert.equal(readFileSync(two.at('data', 'cat'), 'utf8'), 'an upload');
  two.ok(shop('restore', '--to', 'latest', '--into', './out', '--yes'));
  assert.equal(readFileSync(two.at('out', 'uploads', 'home'), 'utf8'), 'a page');
});

test('an application does not back up a store under a name that another one has, unless it takes it over', async () => {
  await using two = await openShop({ manifest: SHOP });
  mkdirSync(two.at('pages'));
  writeFileSync(two.at('wiki.yaml'), `${WIKI}  uploads: files:./data\n`);
  writeFileSync(two.at('data', 'cat'), 'an upload');
  writeFileSync(two.at('pages', 'home'), 'a page');
  const first = markId(two.ok(shop('backup')));
  // First where this host only has the credential that it keeps, which is shop's.
  const withoutKey = { env: { TIDEMARK_PASSPHRASE: undefined } };
  for (const [args, options] of [[['backup', 'pages'], withoutKey], [['backup']], [['up']]] as const) {
    const refused = two.run(wiki(...args), options);
    assert.deepEqual([refused.status, refused.json['code']], [2, 'STORE_NAME_TAKEN'], refused.err);
    assert.match(refused.err, /uploads: the application shop backs up a store of this name into this repository/);
    assert.match(refused.err, /tidemark backup --take-over uploads/);
  }
  assert.equal(listOf(two.ok(shop('marks')), 'marks').at(-1)?.['id'], first);
  const found = listOf(two.run(wiki('doctor')).json, 'findings').filter(({ code }) => code === 'STORE_NAME_TAKEN');
  assert.deepEqual(
    found.map(({ store, severity }) => [store, severity]),
    [['uploads', 'error']],
  );
  two.ok(shop('backup'));
  two.ok(wiki('backup', '--take-over', 'uploads'));
  two.ok(wiki('backup'));
  const back = two.run(shop('backup'));
  assert.deepEqual([back.status, back.json['code']], [2, 'STORE_NAME_TAKEN'], back.err);
});

test('an up of another application is not asked for marks and backups', async () => {
  await using two = await openShop({ manifest: SHOP });
  backUpBoth(two);
  const up = two.start(shop('up'));
  await until('it answers', () => two.run(shop('status')).json['up'] !== undefined);
  for (const args of [wiki('mark'), wiki('backup')]) {
    const refused = two.run(args);
    assert.deepEqual([refused.status, refused.json['code']], [8, 'BUSY'], refused.err);
    assert.match(refused.err, /records shop into this repository, not wiki/);
  }
  two.ok(shop('backup'));
  up.child.kill('SIGINT');
  await up.ended;
});
