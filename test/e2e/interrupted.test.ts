import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { compareSnapshots } from '../../src/testing/tree/compare.ts';
import { snapshotTree } from '../../src/testing/tree/snapshot.ts';
import { listOf, objectOf, openShop } from './shop.ts';
import type { Ended, Shop, Started } from './shop.ts';

/** More than is read at once: what is held back has to come in several pieces. */
const FILES = 120;
const FILE_BYTES = 100_000;

/** Files that take a while at `SLOW`. */
async function filledShop(): Promise<Shop> {
  const shop = await openShop();
  for (let number = 0; number < FILES; number++) {
    mkdirSync(shop.at('data', `folder-${number % 7}`), { recursive: true });
    writeFileSync(shop.at('data', `folder-${number % 7}`, `file-${number}`), randomBytes(FILE_BYTES));
  }
  return shop;
}

const SLOW_UPLOAD = ['--limit-upload', '512KiB'] as const;
const SLOW_DOWNLOAD = ['--limit-download', '512KiB'] as const;

/** Ends a command by a signal once it has told of progress so many times. */
async function endedBy({ child, ended }: Started, signal: NodeJS.Signals, afterLines = 1): Promise<Ended> {
  let seen = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    const before = seen;
    seen += chunk.toString().split('"type":"progress"').length - 1;
    // Once: the second interruption ends a process at once.
    if (before < afterLines && seen >= afterLines) child.kill(signal);
  });
  return await ended;
}

test('an interrupted backup ends with 130 and says so; a killed one says nothing; the next one goes on', async () => {
  await using shop = await filledShop();
  const interrupted = await endedBy(shop.start(['backup', ...SLOW_UPLOAD]), 'SIGINT');
  assert.deepEqual([interrupted.status, interrupted.json['code']], [130, 'INTERRUPTED'], interrupted.err);
  const terminated = await endedBy(shop.start(['backup', ...SLOW_UPLOAD]), 'SIGTERM');
  assert.equal(terminated.status, 143);
  const killed = await endedBy(shop.start(['backup', ...SLOW_UPLOAD]), 'SIGKILL', 2);
  assert.equal(killed.status, null);
  assert.deepEqual(listOf(shop.ok(['marks']), 'marks'), []);
  shop.ok(['backup']);
  assert.deepEqual(shop.ok(['verify', '--data'])['damage'], []);
  shop.ok(['restore', '--to', 'latest', '--into', 'copy', '--yes']);
  assert.deepEqual(compareSnapshots(snapshotTree(shop.at('data')), snapshotTree(shop.at('copy', 'uploads'))), []);
  const runs = listOf(shop.ok(['runs']), 'runs').filter(({ command }) => command === 'backup');
  assert.deepEqual(
    runs.map(({ outcome, code }) => [outcome, code]),
    [
      ['done', undefined],
      ['running', undefined],
      ['interrupted', 'INTERRUPTED'],
      ['interrupted', 'INTERRUPTED'],
    ],
  );
});

test('two backups of one store at once both succeed', async () => {
  await using shop = await filledShop();
  const both = await Promise.all([shop.start(['backup']).ended, shop.start(['backup']).ended]);
  for (const { status, err } of both) assert.equal(status, 0, err);
  assert.equal(listOf(shop.ok(['marks']), 'marks').length, 2);
  assert.deepEqual(shop.ok(['verify', '--data'])['damage'], []);
});

test('while a restore is at work, another one is told that it is busy and not that the first was cut off', async () => {
  await using shop = await filledShop();
  shop.ok(['backup']);
  const first = shop.start(['restore', '--to', 'latest', '--into', 'first', '--yes', ...SLOW_DOWNLOAD]);
  const [chunk] = (await once(first.child.stdout, 'data')) as readonly Buffer[];
  assert.match(String(chunk), /"progress"/);
  const second = shop.run(['restore', '--to', 'latest', '--into', 'second', '--yes']);
  assert.deepEqual([second.status, second.json['code']], [8, 'BUSY'], second.err);
  const plan = shop.run(['plan', '--to', 'latest', '--into', 'second']);
  assert.equal(plan.status, 9, plan.err);
  assert.match(String(plan.json['blockers']), /restoring on this host/);
  assert.doesNotMatch(shop.run(['doctor']).out, /cut off/);
  first.child.kill('SIGKILL');
  await first.ended;
  const third = shop.run(['restore', '--to', 'latest', '--into', 'second', '--yes']);
  assert.deepEqual([third.status, third.json['code']], [1, 'RESTORE_UNFINISHED'], third.err);
  shop.ok(['restore', '--discard']);
});

test('a killed restore has touched nothing live, is resumed or dropped, and can be undone', async () => {
  await using shop = await filledShop();
  const good = snapshotTree(shop.at('data'));
  shop.ok(['backup']);
  for (const folder of ['folder-1', 'folder-2']) rmSync(shop.at('data', folder), { recursive: true });
  writeFileSync(shop.at('data', 'mine'), 'mine');
  const live = snapshotTree(shop.at('data'));
  const restore = ['restore', '--to', 'latest', '--yes'] as const;
  const isLive = (): void => assert.deepEqual(compareSnapshots(live, snapshotTree(shop.at('data'))), []);

  assert.equal((await endedBy(shop.start([...restore, ...SLOW_DOWNLOAD]), 'SIGKILL')).status, null);
  isLive();
  const second = shop.run(restore);
  assert.deepEqual([second.status, second.json['code']], [1, 'RESTORE_UNFINISHED']);
  const plan = shop.run(['plan', '--to', 'latest']);
  assert.equal(plan.status, 9, plan.err);
  assert.match(String(plan.json['blockers']), /cut off; nothing live was touched.*--resume/);
  const doctor = shop.run(['doctor']);
  assert.ok(listOf(doctor.json, 'findings').some(({ code }) => code === 'RESTORE_UNFINISHED'));
  assert.deepEqual(shop.ok(['restore', '--discard'])['action'], 'discarded');
  assert.deepEqual(leftovers(shop), []);
  isLive();

  const interrupted = await endedBy(shop.start([...restore, ...SLOW_DOWNLOAD]), 'SIGINT');
  assert.equal(interrupted.status, 130);
  assert.match(String(interrupted.json['hint']), /^Nothing live was touched: `tidemark restore --resume` goes on/);
  assert.equal((await endedBy(shop.start(['restore', '--resume', ...SLOW_DOWNLOAD]), 'SIGKILL')).status, null);
  isLive();
  const resumed = shop.ok(['restore', '--resume']);
  assert.equal(objectOf(resumed, 'mark')['state'], 'complete');
  assert.deepEqual(compareSnapshots(good, snapshotTree(shop.at('data'))), []);
  assert.equal(shop.run(['restore', '--resume']).status, 4);
  shop.ok(['restore', '--undo']);
  isLive();
  shop.ok(['restore', '--undo']);
  assert.deepEqual(compareSnapshots(good, snapshotTree(shop.at('data'))), []);
});

function leftovers(shop: Shop): readonly string[] {
  return readdirSync(shop.folder.path).filter((name) => name.includes('tidemark-'));
}

test('one restore at a time on a host: another is told who is busy', async () => {
  await using shop = await filledShop();
  shop.ok(['backup']);
  const first = shop.start(['restore', '--to', 'latest', '--into', 'copy', '--yes', ...SLOW_DOWNLOAD]);
  let tried: Ended | undefined;
  first.child.stdout.once('data', () => {
    tried = shop.run(['restore', '--undo']);
    first.child.kill('SIGKILL');
  });
  await first.ended;
  assert.deepEqual([tried?.status, tried?.json['code']], [8, 'BUSY']);
  assert.match(String(tried?.json['message']), new RegExp(`process ${first.child.pid} `));
  // A lock does not outlive its process.
  shop.ok(['restore', '--discard']);
});

test('every command may come twice', async () => {
  await using shop = await filledShop();
  shop.ok(['init']);
  shop.ok(['backup', '--name', 'first']);
  const twice = [
    'backup',
    'pin first',
    'unpin first',
    'verify --data',
    'forget --apply',
    'sweep --apply',
    'restore --to first --yes',
    'restore --undo',
    'runs',
  ];
  for (const command of twice) {
    shop.ok(command.split(' '));
    shop.ok(command.split(' '));
  }
  assert.equal(shop.run(['doctor']).status, 0);
  assert.deepEqual(shop.ok(['verify'])['damage'], []);
});
