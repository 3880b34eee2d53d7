import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import { listOf, openShop, PASSPHRASE } from '../e2e/shop.ts';
import type { Shop } from '../e2e/shop.ts';
import { catalogIn, uploadsIn } from '../golden/logged-shop.ts';
import type { Moment } from '../golden/logged-shop.ts';
import { runKit } from './run-kit.ts';

const MANIFEST = `application: shop
repository: ./backups
marks: { every: 1s }
stores:
  uploads: files:./data
  catalog:
    url: embedded:./catalog.db
    references: [uploads]
`;
const LONGEST_MS = 90_000;
const MARKS = 6;
const CHECKED = 4;

function completeMarks(shop: Shop): readonly string[] {
  const marks = listOf(shop.ok(['marks']), 'marks');
  return marks.filter(({ state }) => state === 'complete').map(({ id }) => String(id));
}

function momentIn(shop: Shop, folder: string): Moment {
  using store = openEmbedded(shop.at(folder, 'catalog'), { mustExist: true });
  return { uploads: uploadsIn(shop.at(folder, 'uploads')), catalog: catalogIn(store) };
}

test('what `up` has recorded the kit restores as Tidemark does, at every mark', async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  using store = openEmbedded(shop.at('catalog.db'));
  store.put('first', 'value');
  mkdirSync(shop.at('data', 'letters'));
  writeFileSync(shop.at('data', 'letters', 'first'), 'a letter');
  const up = shop.start(['up']);
  const endMs = Date.now() + LONGEST_MS;
  for (let step = 0; completeMarks(shop).length < MARKS; step++) {
    assert.ok(Date.now() < endMs, 'it takes marks');
    writeFileSync(shop.at('data', 'letters', `letter ${step}`), randomBytes(2000));
    store.put(`letter/${step}`, `letters/letter ${step}`);
    store.put('large', randomBytes(20_000));
    if (step % 3 === 2) {
      store.delete(`letter/${step - 1}`);
      rmSync(shop.at('data', 'letters', `letter ${step - 1}`));
    }
    await sleep(300);
  }
  up.child.kill('SIGINT');
  const { status, err } = await up.ended;
  assert.ok(status === 0 || status === 130, err);

  const marks = completeMarks(shop);
  for (const [index, id] of marks.slice(-CHECKED).entries()) {
    shop.ok(['restore', '--to', id, '--into', shop.at(`own-${index}`), '--yes']);
    const ended = runKit(['restore', shop.at('backups'), id, shop.at(`kit-${index}`)], { passphrase: PASSPHRASE });
    assert.equal(ended.status, 0, ended.err);
    assert.deepEqual(momentIn(shop, `kit-${index}`), momentIn(shop, `own-${index}`), id);
  }
  const listed = runKit(['list', shop.at('backups')], { passphrase: PASSPHRASE });
  assert.deepEqual([listed.status, listed.err], [0, '']);
  assert.match(listed.out, /segments of its log up to/);
  const verified = runKit(['verify', shop.at('backups')], { passphrase: PASSPHRASE });
  assert.deepEqual([verified.status, verified.err], [0, '']);
  const checked = shop.ok(['verify', '--data']);
  assert.deepEqual(checked['damage'], []);
});
