import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import type { EmbeddedStore } from '../../src/connectors/embedded/connector.ts';
import { listOf, openShop } from './shop.ts';
import type { Shop } from './shop.ts';

const MANIFEST =
  'application: shop\nrepository: ./backups\nstores:\n  uploads: files:./data\n  catalog: embedded:./catalog.db\n';
const LARGE = 'a long description. '.repeat(1_000);

function fill(store: EmbeddedStore): void {
  store.transaction((transaction) => {
    for (let index = 0; index < 500; index++) transaction.put(`product/${index}`, `price ${index}`);
    transaction.put('description', LARGE);
    transaction.put('product/7/colour', 'red');
  });
}

/** Flips a byte in the middle of the largest pack, which is one of the large values. */
function damageLargestPack(shop: Shop): void {
  const packs = readdirSync(shop.at('backups', 'packs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => `${parentPath}/${name}`)
    .toSorted((left, right) => statSync(right).size - statSync(left).size);
  const [path = ''] = packs;
  const bytes = readFileSync(path);
  // Within the first of the two values, and far from where the other one begins.
  const place = bytes.byteLength >> 2;
  bytes.writeUInt8((bytes[place] ?? 0) ^ 1, place);
  rmSync(path);
  writeFileSync(path, bytes);
}

function textsOf(store: EmbeddedStore): Map<string, string> {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
  return new Map([...store.range()].map(({ key, value }) => [text(key), text(value)]));
}

test('an embedded store is backed up with a folder while it is written to, looked into, restored in place and put back', async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  writeFileSync(shop.at('data', 'file'), 'good');
  using store = openEmbedded(shop.at('catalog.db'));
  fill(store);
  const good = textsOf(store);
  const { stores } = shop.ok(['backup']) as { readonly stores: readonly Readonly<Record<string, unknown>>[] };
  const taken = stores.find(({ store: name }) => name === 'catalog');
  assert.deepEqual([taken?.['exact'], taken?.['entries']], ['position', 502]);

  assert.equal(shop.run(['cat', 'latest', 'catalog', 'description']).out, LARGE);
  assert.equal(shop.run(['cat', 'latest', 'catalog', 'product/7']).out, 'price 7');
  const top = listOf(shop.ok(['ls', 'latest', 'catalog']), 'entries').map(({ name, type }) => [name, type]);
  assert.deepEqual(top, [
    ['description', 'file'],
    ['product', 'folder'],
  ]);

  store.put('product/7', 'spoiled');
  store.delete('description');
  writeFileSync(shop.at('data', 'file'), 'spoiled');
  shop.ok(['backup']);
  const [first, second] = listOf(shop.ok(['marks']), 'marks')
    .map(({ id }) => String(id))
    .toSorted();
  const changes = listOf(shop.ok(['diff', first ?? '', second ?? '', 'catalog']), 'differences');
  assert.deepEqual(
    changes.map(({ name, change }) => [name, change]),
    [
      ['description', 'removed'],
      ['product/7', 'changed'],
    ],
  );

  shop.ok(['restore', '--to', first ?? '', '--yes']);
  assert.deepEqual(textsOf(store), good);
  assert.equal(readFileSync(shop.at('data', 'file'), 'utf8'), 'good');
  shop.ok(['restore', '--undo']);
  assert.equal(store.getText('product/7'), 'spoiled');
  assert.equal(readFileSync(shop.at('data', 'file'), 'utf8'), 'spoiled');
  shop.ok(['restore', '--discard', '--yes']);

  shop.ok(['restore', '--to', first ?? '', '--into', 'elsewhere', '--yes']);
  using copy = openEmbedded(shop.at('elsewhere', 'catalog'), { mustExist: true });
  assert.deepEqual(textsOf(copy), good);
  assert.equal(shop.ok(['verify', '--data'])['damage']?.toString(), '');
});

test('a value that is damaged in the repository is left out by --skip-damaged, all others come back', async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  writeFileSync(shop.at('data', 'file'), 'good');
  using store = openEmbedded(shop.at('catalog.db'));
  store.put('large', randomBytes(2_000_000));
  store.put('other', randomBytes(2_000_000));
  store.put('small', 'kept');
  shop.ok(['backup']);
  const good = textsOf(store);
  damageLargestPack(shop);
  const failed = shop.run(['restore', '--to', 'latest', 'catalog', '--yes']);
  assert.equal(failed.status, 5, failed.err);
  shop.ok(['restore', '--discard']);
  const salvaged = shop.run(['restore', '--to', 'latest', 'catalog', '--skip-damaged', '--yes']);
  assert.equal(salvaged.status, 5, salvaged.err);
  const [{ damaged = [] } = {}] = listOf(salvaged.json, 'stores');
  const [lost] = (damaged as readonly { readonly name: string }[]).map(({ name }) => name);
  assert.equal(lost === 'large' || lost === 'other', true, salvaged.out);
  good.delete(lost ?? '');
  assert.deepEqual(textsOf(store), good);
});

test('what was damaged before a restore can’t be put back, and stands in nobody’s way', async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  writeFileSync(shop.at('data', 'file'), 'good');
  {
    using store = openEmbedded(shop.at('catalog.db'));
    store.put('k', 'good');
  }
  shop.ok(['backup']);
  writeFileSync(shop.at('catalog.db'), 'no database. '.repeat(1_000));
  shop.ok(['restore', '--to', 'latest', 'catalog', '--yes']);
  const undone = shop.run(['restore', '--undo']);
  assert.deepEqual([undone.status, undone.json['code']], [4, 'NOTHING_TO_RESUME'], undone.err);
  assert.match(undone.err, /kept aside as .* is damaged/);
  shop.ok(['restore', '--to', 'latest', 'catalog', '--yes']);
  shop.ok(['restore', '--discard', '--yes']);
  using store = openEmbedded(shop.at('catalog.db'));
  assert.equal(store.getText('k'), 'good');
});

test('a store whose file is not there is a store that can’t be reached', async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  writeFileSync(shop.at('data', 'file'), 'good');
  const failed = shop.run(['backup', 'catalog']);
  assert.deepEqual([failed.status, failed.json['code']], [7, 'STORE_UNREACHABLE'], failed.err);
  writeFileSync(shop.at('catalog.db'), 'something else '.repeat(1_000));
  assert.match(shop.run(['backup', 'catalog']).err, /catalog\.db is not an embedded store/);
  assert.equal(shop.run(['doctor']).status, 9);
});
