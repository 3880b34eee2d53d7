import assert from 'node:assert/strict';
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { setTimes } from '../../src/io/native-time.ts';
import { snapshotTree } from '../../src/testing/tree/snapshot.ts';
import { compareSnapshots } from '../../src/testing/tree/compare.ts';
import { listOf, markId, objectOf, openShop } from './shop.ts';
import type { Shop } from './shop.ts';

function fill(shop: Shop): void {
  mkdirSync(shop.at('data', 'photos', '2026'), { recursive: true });
  writeFileSync(shop.at('data', 'notes.txt'), 'first\n');
  writeFileSync(shop.at('data', 'photos', '2026', 'cat.jpg'), Buffer.alloc(100_000, 'meow'));
  writeFileSync(shop.at('data', 'empty'), '');
  symlinkSync('notes.txt', shop.at('data', 'link'));
}

/** Every file of the repository with its bytes. */
function repositoryState(shop: Shop): readonly string[] {
  return [...snapshotTree(shop.at('backups'))].map(([path, { content }]) => `${path} ${content}`);
}

test('times far from now come back to the nanosecond', async () => {
  await using shop = await openShop();
  fill(shop);
  const times = {
    'notes.txt': 12_307_161_600_000_000_001n,
    empty: -2_000_000_000_999_999_999n,
    link: 12_307_161_601n * 1_000_000_000n,
  };
  for (const [name, mtimeNs] of Object.entries(times)) setTimes(Buffer.from(shop.at('data', name)), { mtimeNs });
  shop.ok(['backup']);
  const [store] = listOf(shop.ok(['restore', '--to', 'latest', '--into', 'out', '--yes']), 'stores');
  assert.deepEqual(store?.['notes'], []);
  for (const [name, mtimeNs] of Object.entries(times)) {
    assert.equal(lstatSync(shop.at('out', 'uploads', name), { bigint: true }).mtimeNs, mtimeNs, name);
  }
});

test('init makes a repository once, and writes a manifest where there is none', async () => {
  await using shop = await openShop({ create: false });
  const created = shop.ok(['init']);
  const repository = objectOf(created, 'repository');
  assert.deepEqual([created['created'], repository['url'], repository['formatVersion']], [true, shop.at('backups'), 1]);
  assert.match(String(repository['id']), /^[0-9a-f]{32}$/);
  const again = shop.ok(['init']);
  assert.deepEqual([again['created'], objectOf(again, 'repository')['id']], [false, repository['id']]);
  mkdirSync(shop.at('New Shop!'));
  const here = { cwd: shop.at('New Shop!') };
  assert.equal(shop.ok(['init'], here)['manifest'], shop.at('New Shop!', 'tidemark.yaml'));
  assert.deepEqual(readdirSync(shop.at('New Shop!')), ['tidemark.yaml']);
  assert.match(readFileSync(shop.at('New Shop!', 'tidemark.yaml'), 'utf8'), /^application: new-shop$/m);
  const unfilled = shop.run(['init'], here);
  assert.deepEqual([unfilled.status, unfilled.json['code']], [2, 'CONFIG_INVALID']);
});

test('backup, change, backup, look, verify, restore: with the fields that scripts rely on', async () => {
  await using shop = await openShop();
  fill(shop);
  const first = shop.ok(['backup', '--name', 'first', '--tag', 'nightly']);
  const mark = objectOf(first, 'mark');
  assert.match(String(mark['id']), /^[a-z0-9-]+$/);
  assert.match(String(mark['at']), /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/);
  assert.deepEqual(
    [mark['name'], mark['class'], mark['state'], mark['partial'], mark['tags'], typeof mark['skewMs']],
    ['first', 'clock', 'complete', [], ['nightly'], 'number'],
  );
  const [store] = listOf(first, 'stores');
  assert.deepEqual(
    [store?.['store'], store?.['exact'], store?.['entries'], store?.['bytes'], store?.['newBytes'], store?.['skipped']],
    ['uploads', 'observation', 7, 100_006, 100_006, []],
  );
  assert.ok(typeof first['durationMs'] === 'number' && Array.isArray(first['warnings']));

  const before = snapshotTree(shop.at('data'));
  appendFileSync(shop.at('data', 'notes.txt'), 'second\n');
  rmSync(shop.at('data', 'photos'), { recursive: true });
  const second = shop.ok(['backup']);
  assert.equal(listOf(second, 'stores')[0]?.['newBytes'], 13);

  const marks = listOf(shop.ok(['marks']), 'marks');
  assert.deepEqual(
    marks.map(({ id }) => id),
    [markId(first), markId(second)],
  );
  assert.deepEqual(listOf(shop.ok(['marks', '--tag', 'nightly']), 'marks').length, 1);
  assert.deepEqual(
    listOf(shop.ok(['diff', 'first', 'latest']), 'differences').map(({ name, change }) => [name, change]),
    [
      ['', 'attributes'],
      ['notes.txt', 'changed'],
      ['photos', 'removed'],
      ['photos/2026', 'removed'],
      ['photos/2026/cat.jpg', 'removed'],
    ],
  );
  assert.deepEqual(
    listOf(shop.ok(['ls', 'first', 'uploads']), 'entries').map(({ name, type, target }) => [name, type, target]),
    [
      ['empty', 'file', undefined],
      ['link', 'link', 'notes.txt'],
      ['notes.txt', 'file', undefined],
      ['photos', 'folder', undefined],
    ],
  );
  assert.equal(listOf(shop.ok(['ls', 'first', 'uploads', 'photos', '--recursive']), 'entries').length, 2);
  assert.equal(shop.run(['cat', 'latest', 'uploads', 'notes.txt']).out, 'first\nsecond\n');
  assert.equal(shop.run(['cat', 'latest', 'uploads', 'empty']).out, '');
  assert.deepEqual(
    listOf(shop.ok(['find', '*.jpg', 'notes.txt']), 'found').map(({ name, marks: held }) => [name, held]),
    [
      ['notes.txt', [markId(first)]],
      ['notes.txt', [markId(second)]],
      ['photos/2026/cat.jpg', [markId(first)]],
    ],
  );

  const stats = shop.ok(['stats']);
  assert.deepEqual([stats['marks'], stats['bases'], listOf(stats, 'stores')[0]?.['entries']], [2, 2, 4]);
  const verified = shop.ok(['verify', '--data']);
  assert.deepEqual([objectOf(verified, 'checked')['bases'], verified['damage']], [2, []]);

  const plan = shop.ok(['plan', '--to', 'first']);
  const [planned] = listOf(plan, 'stores');
  assert.deepEqual(
    [planned?.['store'], planned?.['order'], planned?.['segments'], planned?.['into'], plan['blockers']],
    ['uploads', 1, 0, shop.at('data'), []],
  );
  assert.ok(Number(planned?.['lostAfterMs']) > 0 && Number(planned?.['freeBytes']) > 0);
  const restored = shop.ok(['restore', '--to', 'first', '--yes']);
  const [result] = listOf(restored, 'stores');
  assert.deepEqual(
    [result?.['store'], result?.['into'], result?.['verified'], result?.['entries'], result?.['bytes']],
    ['uploads', shop.at('data'), true, 7, 100_006],
  );
  assert.deepEqual(compareSnapshots(before, snapshotTree(shop.at('data'))), []);
  assert.ok(readdirSync(String(result?.['keptAside'])).includes('notes.txt'));

  const undone = shop.ok(['restore', '--undo']);
  assert.deepEqual([undone['action'], listOf(undone, 'stores')[0]?.['holds']], ['undone', 'before']);
  assert.equal(readFileSync(shop.at('data', 'notes.txt'), 'utf8'), 'first\nsecond\n');
  const unasked = shop.run(['restore', '--discard']);
  assert.deepEqual([unasked.status, unasked.json['code']], [2, 'USAGE']);
  const kept = String(listOf(undone, 'stores')[0]?.['keptAside']);
  assert.ok(String(unasked.json['message']).includes(kept), 'what would go is named');
  assert.ok(readdirSync(kept).length > 0, 'and still there');
  shop.ok(['restore', '--discard', '--yes']);
  assert.deepEqual(
    readdirSync(shop.folder.path).filter((name) => name.startsWith('.')),
    [],
  );
  assert.equal(shop.run(['restore', '--discard']).status, 4);

  const runs = listOf(shop.ok(['runs']), 'runs').map(({ command, outcome }) => [command, outcome]);
  assert.deepEqual(runs.slice(0, 4), [
    ['restore', 'done'],
    ['verify', 'done'],
    ['backup', 'done'],
    ['backup', 'done'],
  ]);
  assert.equal(shop.run(['doctor']).status, 0);
});

test('with nothing but the repository and the passphrase everything can be had back', async () => {
  await using shop = await openShop();
  fill(shop);
  const before = snapshotTree(shop.at('data'));
  shop.ok(['backup']);
  for (const lost of ['data', 'tidemark.yaml', 'state']) rmSync(shop.at(lost), { recursive: true });
  mkdirSync(shop.at('new'));
  const here = { cwd: shop.at('new') };
  const repository = ['--repository', '../backups'];
  assert.equal(shop.run(['restore', '--to', 'latest', '--yes', ...repository], here).status, 2);
  const [mark] = listOf(shop.ok(['marks', ...repository], here), 'marks');
  assert.equal(mark?.['state'], 'complete');
  const restored = shop.ok(['restore', '--to', 'latest', '--into', '.', '--yes', ...repository], here);
  assert.equal(listOf(restored, 'stores')[0]?.['into'], shop.at('new', 'uploads'));
  assert.deepEqual(compareSnapshots(before, snapshotTree(shop.at('new', 'uploads'))), []);
  shop.ok(['restore', '--to', 'latest', '--into', 'uploads=../elsewhere', '--yes', ...repository], here);
  assert.deepEqual(compareSnapshots(before, snapshotTree(shop.at('elsewhere'))), []);
});

test('a dry run tells what would be stored and writes nothing', async () => {
  await using shop = await openShop();
  fill(shop);
  const before = repositoryState(shop);
  const dry = shop.ok(['backup', '--dry-run']);
  assert.deepEqual([dry['mark'], dry['dryRun']], [undefined, true]);
  assert.ok(!('base' in (listOf(dry, 'stores')[0] ?? {})), 'no base is named that will never be');
  assert.equal(listOf(dry, 'stores')[0]?.['newBytes'], 100_006);
  assert.deepEqual(repositoryState(shop), before);
  shop.ok(['backup']);
  writeFileSync(shop.at('data', 'more'), 'more');
  const after = repositoryState(shop);
  assert.equal(listOf(shop.ok(['backup', '--dry-run']), 'stores')[0]?.['newBytes'], 4);
  for (const command of ['forget', 'sweep', 'plan --to latest', 'diff latest latest', 'find x', 'stats', 'marks']) {
    shop.ok(command.split(' '));
  }
  assert.deepEqual(repositoryState(shop), after);
});

test('what is in a mark is restored in part, elsewhere, or over what is there', async () => {
  await using shop = await openShop();
  fill(shop);
  shop.ok(['backup']);
  writeFileSync(shop.at('data', 'notes.txt'), 'changed\n');
  rmSync(shop.at('data', 'photos'), { recursive: true });
  shop.ok(['restore', '--to', 'latest', '--only', '/photos/', '--yes']);
  assert.equal(readFileSync(shop.at('data', 'notes.txt'), 'utf8'), 'changed\n');
  assert.equal(readFileSync(shop.at('data', 'photos', '2026', 'cat.jpg')).byteLength, 100_000);
  shop.ok(['restore', '--to', 'latest', '--into', 'copy', '--only', 'notes.txt', '--yes']);
  assert.deepEqual(readdirSync(shop.at('copy', 'uploads')), ['notes.txt']);
  rmSync(shop.at('copy'), { recursive: true });
  for (const args of [
    ['restore', '--undo'],
    ['restore', '--undo'],
  ]) {
    assert.equal(shop.run(args).status, 4);
  }
  shop.ok(['restore', '--to', 'latest', '--into', 'copy', '--only', 'notes.txt', '--yes']);
  // What is there already is treated as the store's own place is.
  writeFileSync(shop.at('copy', 'uploads', 'mine'), 'mine');
  const again = shop.ok(['restore', '--to', 'latest', '--into', 'copy', '--yes']);
  const aside = String(listOf(again, 'stores')[0]?.['keptAside']);
  assert.deepEqual(readdirSync(aside).toSorted(), ['mine', 'notes.txt']);
  assert.deepEqual(readdirSync(shop.at('copy', 'uploads')).toSorted(), ['empty', 'link', 'notes.txt', 'photos']);
});

test('a restore asks, and in a pipe it wants --yes; what can’t be is said with status 2', async () => {
  await using shop = await openShop();
  fill(shop);
  shop.ok(['backup']);
  const cases: readonly (readonly [args: string, code: string])[] = [
    ['restore --to latest', 'USAGE'],
    ['restore', 'USAGE'],
    ['restore --to latest --resume', 'USAGE'],
    ['restore --undo --only x', 'USAGE'],
    ['restore --to latest --yes --into uplods=x', 'USAGE'],
    ['restore --to latest --yes --into a --into b', 'USAGE'],
    ['restore --to latest --yes --into ', 'USAGE'],
    ['restore --to latest --yes --into uploads=', 'USAGE'],
    ['restore --to latest --yes --into uploads=files:', 'USAGE'],
    ['restore --to latest --yes --into uploads=s3:x', 'USAGE'],
    ['restore --to latest --yes --into backups', 'RESTORE_CONFLICT'],
    ['restore --to latest --yes --into uploads=.', 'RESTORE_CONFLICT'],
    ['restore --to latest --yes --into uploads=tidemark.yaml', 'RESTORE_CONFLICT'],
  ];
  for (const [args, code] of cases) {
    const { status, json, err } = shop.run(args.split(' '));
    assert.deepEqual([status, json['type'], json['code']], [2, 'error', code], `${args}: ${err}`);
  }
  assert.equal(shop.run(['restore', '--resume']).json['code'], 'NOTHING_TO_RESUME');
  assert.equal(shop.run(['restore', '--undo']).status, 4);
});
