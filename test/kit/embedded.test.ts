import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import type { EmbeddedStore } from '../../src/connectors/embedded/connector.ts';
import { openShop, PASSPHRASE } from '../e2e/shop.ts';
import { runKit } from './run-kit.ts';

const MANIFEST = 'application: shop\nrepository: ./backups\nstores:\n  catalog: embedded:./catalog.db\n';
const LARGE = 'a long description. '.repeat(1_000);
const FAR_MS = 4_000_000_000_000;

function told(store: EmbeddedStore): readonly string[] {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  return [...store.range()].map(({ key, value, expiresAtMs }) => `${hex(key)} ${hex(value)} ${expiresAtMs ?? ''}`);
}

test('the kit lists and restores an embedded store, as a file that the application opens', async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  using store = openEmbedded(shop.at('catalog.db'));
  store.transaction((transaction) => {
    for (let index = 0; index < 300; index++) transaction.put(`product/${index}`, `price ${index}`);
    transaction.put('description', LARGE);
    transaction.put('empty', '');
    transaction.put('session', 'x', { expiresAtMs: FAR_MS });
    transaction.put(Buffer.from([0xff, 0, 1]), Buffer.from([0, 0xff]));
  });
  shop.ok(['backup']);
  const kit = (...args: readonly string[]) => runKit(args, { passphrase: PASSPHRASE });
  const listed = kit('ls', shop.at('backups'), 'latest', 'catalog');
  assert.equal(listed.status, 0, listed.err);
  assert.match(listed.out, /20000 description\n/);
  assert.match(listed.out, /1 session {2}expires 2096-10-02/);
  assert.equal(kit('ls', shop.at('backups'), 'latest', 'catalog', 'product/29').out.trim().split('\n').length, 11);
  assert.equal(kit('ls', shop.at('backups'), 'latest', 'catalog', 'none').status, 4);

  const restored = kit('restore', shop.at('backups'), 'latest', shop.at('all'));
  assert.equal(restored.status, 0, restored.err);
  {
    using copy = openEmbedded(shop.at('all', 'catalog'), { mustExist: true });
    assert.deepEqual(told(copy), told(store));
    assert.ok((copy.put('new', 'one') ?? 0) > 1);
  }
  assert.equal(kit('restore', shop.at('backups'), 'latest', shop.at('some'), '--only', 'product/').status, 0);
  using some = openEmbedded(shop.at('some', 'catalog'), { mustExist: true });
  assert.equal([...some.range()].length, 300);
  assert.equal(kit('verify', shop.at('backups')).status, 0);
});

test('the kit restores an embedded store that holds nothing, and what --only names is not in it', async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  using _store = openEmbedded(shop.at('catalog.db'));
  shop.ok(['backup', '--allow-empty', 'catalog']);
  const kit = (...args: readonly string[]) => runKit(args, { passphrase: PASSPHRASE });
  assert.equal(kit('ls', shop.at('backups'), 'latest', 'catalog').status, 0);
  const restored = kit('restore', shop.at('backups'), 'latest', shop.at('all'));
  assert.equal(restored.status, 0, restored.err);
  using copy = openEmbedded(shop.at('all', 'catalog'), { mustExist: true });
  assert.deepEqual(told(copy), []);
  assert.equal(kit('restore', shop.at('backups'), 'latest', shop.at('some'), '--only', 'a').status, 4);
});
