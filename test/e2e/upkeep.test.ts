import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { verifySample } from '../../src/agent/upkeep.ts';
import type { AlarmResult } from '../../src/app/results.ts';
import { openShopApplication, run } from '../oracle/opened.ts';
import { listOf, openShop } from './shop.ts';
import type { Shop } from './shop.ts';

/** Takes the largest pack away, and says how to put it back. */
function losePack(shop: Shop): () => void {
  const packs = readdirSync(shop.at('backups', 'packs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
  const [path] = packs.toSorted((left, right) => statSync(right).size - statSync(left).size);
  assert.ok(path !== undefined);
  renameSync(path, shop.at('lost'));
  return () => renameSync(shop.at('lost'), path);
}

/** What `up` alarms of and tells once it has verified a sample. */
async function verified(
  shop: Shop,
  { writesDown = true } = {},
): Promise<{ readonly alarms: readonly AlarmResult[]; readonly news: string }> {
  await using application = await openShopApplication(shop);
  if (!writesDown) Object.assign(application, { maintainerOrWarning: async () => undefined });
  const alarms = new Map<string, AlarmResult | undefined>();
  const news: string[] = [];
  await verifySample(
    {
      application,
      timezone: 'UTC',
      onNews: (message) => news.push(message),
      onAlarm: (code, alarm) => alarms.set(code, alarm),
    },
    run,
  );
  return { alarms: [...alarms.values()].flatMap((alarm) => alarm ?? []), news: news.join('\n') };
}

function codesOf(shop: Shop): readonly unknown[] {
  return listOf(shop.ok(['status']), 'alarms').map(({ code }) => code);
}

async function openBackedUp(): Promise<Shop> {
  const shop = await openShop();
  writeFileSync(shop.at('data', 'file'), randomBytes(1_000_000));
  shop.ok(['backup']);
  return shop;
}

test('damage that the sample of an up finds is alarming until it is mended, and no longer', async () => {
  await using shop = await openBackedUp();
  const putBack = losePack(shop);
  const { alarms, news } = await verified(shop);
  assert.match(news, /1 objects of the repository are damaged/);
  assert.deepEqual(alarms, []);
  assert.deepEqual(codesOf(shop), ['DAMAGE_FOUND']);
  putBack();
  shop.ok(['verify', '--data']);
  assert.deepEqual(codesOf(shop), []);
});

test('damage that could not be written down stays an alarm of the up', async () => {
  await using shop = await openBackedUp();
  losePack(shop);
  const { alarms } = await verified(shop, { writesDown: false });
  assert.deepEqual(
    alarms.map(({ code }) => code),
    ['DAMAGE'],
  );
  assert.deepEqual(codesOf(shop), []);
});
