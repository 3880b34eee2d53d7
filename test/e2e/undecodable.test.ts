import assert from 'node:assert/strict';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { listOf, markId, openShop } from './shop.ts';
import type { Shop } from './shop.ts';

const BAD_ENTRIES = `--import ${new URL('bad-entries.ts', import.meta.url).href}`;
const BAD_MODE = 0o751;

function put(shop: Shop, name: string, text: string, mode = 0o640): void {
  writeFileSync(shop.at('data', name), text, { mode });
}

/** A backup by a program with a fault: it stores what can't be decoded of a file, and of a folder. Returns its mark. */
async function openSpoilt(): Promise<Shop & { readonly spoilt: string }> {
  const shop = await openShop();
  put(shop, 'before', 'before');
  put(shop, 'file', 'spoilt', BAD_MODE);
  mkdirSync(shop.at('data', 'folder'), { mode: BAD_MODE });
  put(shop, 'folder/inner', 'inner');
  const spoilt = markId(shop.ok(['backup'], { env: { NODE_OPTIONS: BAD_ENTRIES } }));
  return { ...shop, spoilt, [Symbol.asyncDispose]: () => shop[Symbol.asyncDispose]() };
}

function alarms(shop: Shop): string {
  const told = listOf(shop.ok(['status']), 'alarms').filter(({ code }) => code === 'DAMAGE_FOUND');
  return told.map(({ store, message }) => `${String(store)}: ${String(message)}`).join('\n');
}

test('entries that can’t be decoded are damage, told until the next backup has stored them anew', async () => {
  await using shop = await openSpoilt();
  for (const depth of [[], ['--data']]) {
    const verified = shop.run(['verify', ...depth]);
    assert.equal(verified.status, 5, verified.err);
    const damage = listOf(verified.json, 'damage');
    const [{ object, kind, message, affects } = {}] = damage;
    assert.equal(damage.length, 1, JSON.stringify(damage));
    assert.match(String(object), /^manifests\//);
    assert.equal(kind, 'entry');
    assert.match(String(message), /^what is stored of uploads:file can’t be decoded, so that a restore fails at it: /);
    assert.deepEqual(affects, [`${shop.spoilt} uploads`, 'uploads:file', 'uploads:folder']);
  }
  assert.equal(listOf(shop.ok(['runs']), 'runs')[0]?.['outcome'], 'damaged');
  assert.match(alarms(shop), /^uploads: its newest backup needs 1 object that is damaged/);
  assert.equal(shop.run(['status', '--check']).status, 9);

  // Nothing has changed, and what was stored is not taken over.
  const cured = markId(shop.ok(['backup']));
  assert.match(alarms(shop), /^uploads: older marks need 1 object that is damaged.*; its newest backup does not$/);
  const verified = shop.run(['verify', '--data']);
  assert.equal(verified.status, 5);
  assert.ok(!JSON.stringify(verified.json['damage']).includes(cured), JSON.stringify(verified.json));
  shop.ok(['restore', '--to', cured, '--into', 'copy', '--yes']);
  for (const name of ['file', 'folder']) {
    assert.equal(statSync(shop.at('copy', 'uploads', name)).mode & 0o777, BAD_MODE, name);
  }
  assert.equal(readFileSync(shop.at('copy', 'uploads', 'file'), 'utf8'), 'spoilt');
});

test('a restore names an entry that can’t be decoded, and --skip-damaged leaves it out and brings all the rest', async () => {
  await using shop = await openSpoilt();
  const restore = ['restore', '--to', shop.spoilt, '--into', 'copy', '--yes'];
  const failed = shop.run(restore);
  assert.deepEqual([failed.status, failed.json['code']], [5, 'REPOSITORY_DAMAGED'], failed.err);
  assert.match(String(failed.json['message']), /^file: /);
  assert.match(String(failed.json['hint']), /--discard.*--skip-damaged/);
  shop.ok(['restore', '--discard']);

  const rest = shop.run([...restore, '--skip-damaged']);
  assert.equal(rest.status, 5, rest.err);
  const [store] = listOf(rest.json, 'stores');
  const lost = listOf(store ?? {}, 'damaged').map(({ name }) => String(name));
  assert.deepEqual([lost, store?.['damagedCount']], [['file', 'folder'], 2]);
  const found = readdirSync(shop.at('copy', 'uploads'), { recursive: true, encoding: 'utf8' });
  assert.deepEqual(new Set(found), new Set(['before', 'folder', 'folder/inner']));
  assert.equal(readFileSync(shop.at('copy', 'uploads', 'folder', 'inner'), 'utf8'), 'inner');
  assert.equal(lstatSync(shop.at('copy', 'uploads', 'folder')).mode & 0o777, 0o700, 'what it was is not known');
});

test('--only is restored without what can’t be decoded of it', async () => {
  await using shop = await openSpoilt();
  const restore = ['restore', '--to', shop.spoilt, '--into', 'copy', '--yes', '--skip-damaged', '--only'];
  assert.equal(shop.run([...restore, '/folder/inner']).status, 5);
  assert.equal(readFileSync(shop.at('copy', 'uploads', 'folder', 'inner'), 'utf8'), 'inner');
  assert.ok(!existsSync(shop.at('copy', 'uploads', 'before')));
});
