import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { listOf, markId, openShop } from './shop.ts';
import type { Shop } from './shop.ts';

const SIZE_BYTES = 3_000_000;

/** Changes a byte of the largest pack. */
function breakPack(shop: Shop): void {
  const packs = readdirSync(shop.at('backups', 'packs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
  const [path] = packs.toSorted((left, right) => statSync(right).size - statSync(left).size);
  assert.ok(path !== undefined);
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(1_000_000) ^ 1, 1_000_000);
  rmSync(path);
  writeFileSync(path, bytes);
}

async function openDamaged(): Promise<Shop & { readonly broken: string }> {
  const shop = await openShop();
  writeFileSync(shop.at('data', 'file'), randomBytes(SIZE_BYTES));
  const broken = markId(shop.ok(['backup']));
  breakPack(shop);
  assert.equal(shop.run(['verify', '--data']).status, 5);
  return { ...shop, broken, [Symbol.asyncDispose]: () => shop[Symbol.asyncDispose]() };
}

function damageTold(shop: Shop): string {
  const told = listOf(shop.ok(['status']), 'alarms').filter(({ code }) => code === 'DAMAGE_FOUND');
  return told.map(({ store, message }) => `${String(store)}: ${String(message)}`).join('\n');
}

/** Of the last `verify --data`: every base of the mark was read. */
function isProven(shop: Shop, mark: string): boolean {
  const verified = shop.run(['verify', '--data']);
  assert.equal(verified.status, 5, verified.err);
  return !listOf(verified.json, 'damage').some(({ affects }) => JSON.stringify(affects).includes(mark));
}

test('damage that was found is told until it is cured, and the next backup cures it from the store', async () => {
  await using shop = await openDamaged();
  assert.equal(shop.run(['status', '--check']).status, 9);
  assert.match(damageTold(shop), /^uploads: its newest backup needs 1 object that is damaged/);
  const found = shop.run(['doctor']);
  assert.equal(found.status, 9);
  const error = listOf(found.json, 'findings').find(({ code }) => code === 'DAMAGE_FOUND');
  assert.deepEqual([error?.['severity'], error?.['store']], ['error', 'uploads']);

  // Nothing of the file has changed: it is read again all the same.
  const cured = shop.ok(['backup']);
  assert.ok(Number(listOf(cured, 'stores')[0]?.['newBytes']) > 1_000_000, JSON.stringify(cured));
  assert.match(damageTold(shop), /^uploads: older marks need 1 object that is damaged.*; its newest backup does not$/);
  assert.ok(isProven(shop, markId(cured)));
  assert.match(damageTold(shop), /^uploads: older marks need/);
  assert.equal(shop.run(['status', '--check']).status, 9);
  shop.ok(['restore', '--to', markId(cured), '--into', 'copy', '--yes']);
  assert.deepEqual(readFileSync(shop.at('copy', 'uploads', 'file')), readFileSync(shop.at('data', 'file')));

  // What was stored anew is what later ones name.
  const now = new Date();
  utimesSync(shop.at('data', 'file'), now, now);
  const next = shop.ok(['backup']);
  assert.equal(Number(listOf(next, 'stores')[0]?.['newBytes']), 0);
  assert.ok(isProven(shop, markId(next)));
});

test('a host that keeps a writer’s credential alone stores anew what was found damaged elsewhere', async () => {
  await using shop = await openDamaged();
  const env = { TIDEMARK_PASSPHRASE: undefined };
  assert.equal(shop.run(['status', '--check'], { env }).status, 9);
  const cured = shop.ok(['backup'], { env });
  assert.ok(Number(listOf(cured, 'stores')[0]?.['newBytes']) > 1_000_000, JSON.stringify(cured));
  assert.ok(isProven(shop, markId(cured)));
});
