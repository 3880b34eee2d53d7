import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { compareSnapshots } from '../../src/testing/tree/compare.ts';
import { snapshotTree } from '../../src/testing/tree/snapshot.ts';
import { listOf, markId, objectOf, openShop } from './shop.ts';
import type { Shop } from './shop.ts';

const FILES = 5;

function fill(shop: Shop, sizeBytes = 50_000): void {
  for (let number = 0; number < FILES; number++) {
    writeFileSync(shop.at('data', `file-${number}`), randomBytes(sizeBytes));
  }
}

/** The largest object under a folder of the repository. */
function largestObject(shop: Shop, folder: string): string {
  const files = readdirSync(shop.at('backups', folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
  const [largest] = files.toSorted((left, right) => readFileSync(right).byteLength - readFileSync(left).byteLength);
  assert.ok(largest !== undefined);
  return largest;
}

function replaceFile(path: string, bytes: Uint8Array): void {
  rmSync(path);
  writeFileSync(path, bytes);
}

test('damage is found, named and status 5; a restore never brings wrong bytes; what is whole can be had', async () => {
  await using shop = await openShop();
  // Larger than what is sealed together, so that not all is lost at once.
  fill(shop, 700_000);
  const mark = markId(shop.ok(['backup', '--name', 'before']));
  const pack = largestObject(shop, 'packs');
  const whole = readFileSync(pack);
  const broken = Buffer.from(whole);
  broken[60_000] = (broken[60_000] ?? 0) ^ 1;
  replaceFile(pack, broken);
  const verified = shop.run(['verify', '--data']);
  assert.equal(verified.status, 5, verified.err);
  const [damage] = listOf(verified.json, 'damage');
  assert.ok(pack.endsWith(String(damage?.['object'])), JSON.stringify(damage));
  assert.equal(damage?.['kind'], 'pack');
  assert.ok(String(damage?.['affects']).includes(mark));
  assert.equal(listOf(shop.ok(['runs']), 'runs')[0]?.['outcome'], 'damaged');
  const restore = ['restore', '--to', 'before', '--into', 'copy', '--yes'];
  const failed = shop.run(restore);
  assert.deepEqual([failed.status, failed.json['code']], [5, 'REPOSITORY_DAMAGED'], failed.err);
  assert.match(String(failed.json['hint']), /--discard.*--skip-damaged/);
  shop.ok(['restore', '--discard']);
  const rest = shop.run([...restore, '--skip-damaged']);
  assert.equal(rest.status, 5, rest.err);
  const [store] = listOf(rest.json, 'stores');
  const lost = listOf(store ?? {}, 'damaged').map(({ name }) => String(name));
  assert.ok(lost.length > 0 && lost.length < FILES && store?.['damagedCount'] === lost.length, lost.join());
  for (const name of readdirSync(shop.at('data')).filter((file) => !lost.includes(file))) {
    assert.deepEqual(readFileSync(shop.at('copy', 'uploads', name)), readFileSync(shop.at('data', name)), name);
  }
  assert.equal(readdirSync(shop.at('copy', 'uploads')).length, FILES - lost.length);
  replaceFile(pack, whole);
  shop.ok(['verify', '--data']);
  rmSync(pack);
  assert.equal(shop.run(['verify']).status, 5);
  assert.equal(shop.run(['cat', 'before', 'uploads', 'file-0']).status, 5);
});

test('a repository that was put back to an older state is noticed by a host that saw the newer one', async () => {
  await using shop = await openShop();
  fill(shop);
  shop.ok(['backup']);
  cpSync(shop.at('backups'), shop.at('older'), { recursive: true, preserveTimestamps: true });
  const { head } = shop.ok(['marks']);
  shop.ok(['marks', '--expect-head', String(head)]);
  writeFileSync(shop.at('data', 'more'), 'more');
  shop.ok(['backup']);
  assert.equal(shop.run(['marks', '--expect-head', String(head)]).status, 5);
  rmSync(shop.at('backups'), { recursive: true });
  cpSync(shop.at('older'), shop.at('backups'), { recursive: true, preserveTimestamps: true });
  for (const command of ['backup', 'forget', 'sweep --apply', 'pin latest']) {
    const { status, json } = shop.run(command.split(' '));
    assert.deepEqual([status, json['code']], [5, 'REPOSITORY_ROLLED_BACK'], command);
  }
  assert.equal(shop.run(['verify']).status, 5);
  assert.equal(shop.run(['doctor']).status, 9);
  // Nobody accepts by accident.
  const asked = shop.run(['doctor', '--accept-rollback']);
  assert.deepEqual([asked.status, asked.json['code']], [2, 'USAGE']);
  assert.equal(shop.run(['backup']).status, 5);
  // What is there can still be restored, with a warning.
  const restored = shop.ok(['restore', '--to', 'latest', '--into', 'copy', '--yes']);
  assert.notDeepEqual(restored['warnings'], []);
  // Another host can't know, and is told what there is.
  const fresh = shop.ok(['marks'], { env: { XDG_STATE_HOME: shop.at('fresh') } });
  assert.match(String(fresh['warnings']), /for the first time.*--expect-head/);
});

test('a host goes on with an older copy of the repository once that is accepted, and loses nothing that is still there', async () => {
  await using shop = await openShop();
  fill(shop);
  shop.ok(['backup']);
  cpSync(shop.at('backups'), shop.at('older'), { recursive: true, preserveTimestamps: true });
  writeFileSync(shop.at('data', 'more'), randomBytes(100_000));
  shop.ok(['backup']);
  rmSync(shop.at('backups'), { recursive: true });
  cpSync(shop.at('older'), shop.at('backups'), { recursive: true, preserveTimestamps: true });
  assert.match(String(shop.run(['backup']).json['hint']), /doctor --accept-rollback/);

  const accepted = shop.ok(['doctor', '--accept-rollback', '--yes']);
  assert.match(String(accepted['accepted']), /^the head of session .* is gone$/);
  assert.deepEqual(shop.ok(['doctor', '--accept-rollback'])['accepted'], [], 'once is enough');
  shop.ok(['backup']);
  assert.deepEqual(shop.ok(['verify', '--data'])['damage'], []);
  shop.ok(['restore', '--to', 'latest', '--into', 'copy', '--yes']);
  assert.deepEqual(compareSnapshots(snapshotTree(shop.at('data')), snapshotTree(shop.at('copy', 'uploads'))), []);
  // The next one is noticed as the first was.
  rmSync(shop.at('backups'), { recursive: true });
  cpSync(shop.at('older'), shop.at('backups'), { recursive: true, preserveTimestamps: true });
  assert.equal(shop.run(['backup']).json['code'], 'REPOSITORY_ROLLED_BACK');
});

test('a sweep frees what a killed backup left, and nothing else', async () => {
  await using shop = await openShop({ leaseMs: 300 });
  fill(shop);
  const kept = snapshotTree(shop.at('data'));
  shop.ok(['backup', '--name', 'kept']);
  writeFileSync(shop.at('data', 'large'), randomBytes(5_000_000));
  const { child, ended } = shop.start(['backup', '--limit-upload', '256KiB']);
  child.stdout.once('data', () => child.kill('SIGKILL'));
  await ended;
  // A pack of the killed run, or one that only a mark that is gone would need.
  cpSync(largestObject(shop, 'packs'), `${largestObject(shop, 'packs').slice(0, -64)}${'ab'.repeat(32)}`);
  const planned = shop.ok(['sweep']);
  assert.equal(planned['applied'], false);
  const swept = shop.ok(['sweep', '--apply', '--wait']);
  assert.equal(swept['applied'], true);
  assert.ok(Number(swept['freedBytes']) > 200_000, JSON.stringify(swept));
  assert.deepEqual(shop.ok(['verify', '--data'])['damage'], []);
  shop.ok(['restore', '--to', 'kept', '--into', 'copy', '--yes']);
  assert.deepEqual(compareSnapshots(kept, snapshotTree(shop.at('copy', 'uploads'))), []);
});

test('passphrases are added, opened with, listed and removed', async () => {
  await using shop = await openShop();
  fill(shop);
  shop.ok(['backup']);
  writeFileSync(shop.at('anna'), 'anna’s own\n', { mode: 0o600 });
  const added = objectOf(shop.ok(['keys', 'add', 'anna', '--new-passphrase-file', 'anna']), 'key');
  assert.deepEqual([added['name'], added['role'], added['kind']], ['anna', 'all', 'passphrase']);
  const asAnna = { env: { TIDEMARK_PASSPHRASE: undefined, TIDEMARK_PASSPHRASE_FILE: shop.at('anna') } };
  shop.ok(['marks'], asAnna);
  const keys = listOf(shop.ok(['keys', 'list']), 'keys');
  const names = keys.filter(({ kind }) => kind === 'passphrase').map(({ name }) => String(name));
  assert.deepEqual(new Set(names), new Set(['anna', 'test']));
  assert.ok(keys.every(({ createdAt }) => !Number.isNaN(Date.parse(String(createdAt)))));
  const unasked = shop.run(['keys', 'remove', 'anna']);
  assert.deepEqual([unasked.status, unasked.json['code']], [2, 'USAGE']);
  shop.ok(['marks'], asAnna);
  shop.ok(['keys', 'remove', 'anna', '--yes']);
  assert.equal(shop.run(['marks'], asAnna).status, 6);
});

test('a passphrase whose slot is damaged is named and can be removed, and hinders no other', async () => {
  await using shop = await openShop();
  writeFileSync(shop.at('anna'), 'anna’s own\n', { mode: 0o600 });
  const { id } = objectOf(shop.ok(['keys', 'add', 'anna', '--new-passphrase-file', 'anna']), 'key');
  writeFileSync(shop.at('backups', 'keys', String(id)), 'what is left of it');
  const listed = shop.ok(['keys', 'list']);
  assert.deepEqual(
    listOf(listed, 'keys').flatMap(({ kind, name, id: slot }) => (kind === 'credential' ? [] : [[kind, name ?? slot]])),
    [
      ['passphrase', 'test'],
      ['unreadable', id],
    ],
  );
  const told = new RegExp(`keys/${String(id)} is damaged: .*tidemark keys remove ${String(id)}`);
  assert.match(String(listed['warnings']), told);
  assert.match(String(shop.ok(['keys', 'add', 'anna', '--new-passphrase-file', 'anna'])['warnings']), told);
  shop.ok(['keys', 'remove', 'anna', '--yes']);
  const removed = objectOf(shop.ok(['keys', 'remove', String(id), '--yes']), 'key');
  assert.deepEqual([removed['id'], removed['kind']], [id, 'unreadable']);
  const after = shop.ok(['keys', 'list']);
  assert.deepEqual(
    [listOf(after, 'keys').filter(({ kind }) => kind !== 'credential').length, after['warnings']],
    [1, []],
  );
  assert.equal(shop.run(['keys', 'remove', 'test', '--yes']).status, 2);
});

test('marks are targets by id, by its beginning, by name and by time, and can be pinned', async () => {
  await using shop = await openShop();
  fill(shop);
  const first = markId(shop.ok(['backup', '--name', 'first']));
  const second = shop.ok(['backup']);
  const at = String(objectOf(second, 'mark')['at']);
  const planned = (target: string): string => markId(shop.ok(['plan', '--to', target]));
  for (const target of [first, 'first', first.slice(0, -1)]) assert.equal(planned(target), first, target);
  for (const target of ['latest', at, '1s ago'].slice(0, 2)) assert.equal(planned(target), markId(second), target);
  assert.equal(shop.run(['plan', '--to', '20']).status, 4);
  assert.equal(objectOf(shop.ok(['pin', 'first']), 'mark')['pinned'], true);
  assert.deepEqual(
    listOf(shop.ok(['marks']), 'marks').map(({ pinned }) => pinned),
    [true, false],
  );
  assert.equal(objectOf(shop.ok(['unpin', 'first']), 'mark')['pinned'], false);
  const kept = shop.ok(['forget', '--apply']);
  assert.deepEqual([kept['removed'], kept['applied']], [[], true]);
});

test('a host keeps its credential: it backs up without a passphrase and can’t read', async () => {
  await using shop = await openShop();
  fill(shop);
  shop.ok(['backup']);
  const without = { env: { TIDEMARK_PASSPHRASE: undefined } };
  writeFileSync(shop.at('data', 'more'), 'more');
  const backup = shop.ok(['backup'], without);
  assert.equal(listOf(backup, 'stores')[0]?.['newBytes'], 4);
  for (const command of ['marks', 'verify', 'restore --to latest --into copy --yes']) {
    const { status, json } = shop.run(command.split(' '), without);
    assert.deepEqual([status, json['code']], [2, 'SECRET_MISSING'], command);
  }
  const findings = listOf(shop.ok(['doctor'], without), 'findings');
  assert.ok(findings.some(({ code }) => code === 'NO_READER_KEY'));
  assert.equal(listOf(shop.ok(['marks']), 'marks').length, 2);
});
