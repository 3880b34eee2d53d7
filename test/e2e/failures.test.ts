import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { needs } from '../servers/needs.ts';
import { startRedis } from '../servers/redis.ts';
import { isRoot, listOf, markId, objectOf, openShop } from './shop.ts';
import type { Shop } from './shop.ts';

const NOBODY = 65_534;
const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] as const;

/** Why another user can't run the product here, or false when one can. */
function noOtherUser(): string | false {
  if (!isRoot) return 'only root can become another user';
  const [program, ...args] = AS_NOBODY;
  const { status } = spawnSync(program, [
    ...args,
    process.execPath,
    new URL('../../src/cli/main.ts', import.meta.url).pathname,
    'version',
  ]);
  return status === 0 ? false : 'another user can’t reach node or this folder';
}

async function filledShop(): Promise<Shop> {
  const shop = await openShop();
  writeFileSync(shop.at('data', 'file'), 'content');
  return shop;
}

test(
  'a password of a store that is not there is asked for by its own names, not by those of the passphrase',
  needs('redis-server', 'redis-cli'),
  async () => {
    await using server = await startRedis({ password: 'secret' });
    const cache = `cache: { url: 'redis://127.0.0.1:${server.port}', passwordEnv: CACHE_PASSWORD }`;
    await using shop = await openShop({ manifest: `application: shop\nrepository: ./backups\nstores:\n  ${cache}\n` });
    const { status, json, err } = shop.run(['backup']);
    assert.deepEqual([status, json['code']], [2, 'SECRET_MISSING'], err);
    assert.match(err, /the password of cache: the variable CACHE_PASSWORD is not set/);
    assert.match(err, /passwordEnv or passwordCommand of this store/);
    assert.doesNotMatch(err, /passphrase/i);
  },
);

test('with --json an error tells what was warned of before it as well', async () => {
  await using shop = await filledShop();
  shop.ok(['backup']);
  rmSync(shop.at('state'), { recursive: true });
  const { status, json, err } = shop.run(['plan', '--to', 'nothing']);
  assert.deepEqual([status, json['type'], json['code']], [4, 'error', 'TARGET_UNKNOWN'], err);
  const { warnings } = json;
  assert.ok(Array.isArray(warnings) && warnings.length === 1, JSON.stringify(json));
  assert.match(String(warnings[0]), /^this host sees the repository for the first time/);
});

test('each thing that can be wrong has its one error, status and hint', async () => {
  await using shop = await filledShop();
  shop.ok(['backup', '--name', 'first']);
  const cases: readonly {
    readonly args: string;
    readonly env?: Readonly<Record<string, string | undefined>>;
    readonly status: number;
    readonly code: string;
  }[] = [
    { args: 'marks', env: { TIDEMARK_PASSPHRASE: 'wrong' }, status: 6, code: 'KEY_REFUSED' },
    { args: 'init', env: { TIDEMARK_PASSPHRASE: 'wrong' }, status: 6, code: 'KEY_REFUSED' },
    { args: 'marks', env: { TIDEMARK_PASSPHRASE: undefined }, status: 2, code: 'SECRET_MISSING' },
    { args: 'marks', env: { TIDEMARK_PASSPHRASE_FILE: '/nowhere' }, status: 2, code: 'SECRET_MISSING' },
    { args: 'marks --repository nowhere', status: 7, code: 'REPOSITORY_NOT_FOUND' },
    { args: 'marks --repository data', status: 7, code: 'REPOSITORY_NOT_FOUND' },
    { args: 'init --repository data', status: 2, code: 'FOLDER_NOT_EMPTY' },
    { args: 'marks --expect-head 00', status: 5, code: 'REPOSITORY_ROLLED_BACK' },
    { args: 'plan --to 1999-01-01', status: 4, code: 'TARGET_OUTSIDE_WINDOW' },
    { args: 'plan --to nothing', status: 4, code: 'TARGET_UNKNOWN' },
    { args: 'plan --to latest nothing', status: 4, code: 'TARGET_UNKNOWN' },
    { args: 'ls latest uploads nothing', status: 4, code: 'ENTRY_NOT_FOUND' },
    { args: 'pin nothing', status: 4, code: 'TARGET_UNKNOWN' },
    { args: 'backup nothing', status: 2, code: 'USAGE' },
    { args: 'backup --allow-empty nothing', status: 2, code: 'USAGE' },
    { args: 'backup --name first', status: 2, code: 'USAGE' },
    { args: 'backup --name latest', status: 2, code: 'USAGE' },
    { args: 'backup --name 2026-11-20', status: 2, code: 'USAGE' },
    { args: 'backup --name Upper', status: 2, code: 'USAGE' },
    { args: 'backup --tag a,b', status: 2, code: 'USAGE' },
    { args: 'keys remove nothing', status: 2, code: 'USAGE' },
    { args: 'keys remove test --yes', status: 2, code: 'USAGE' },
    { args: 'keys add test --new-passphrase-file tidemark.yaml', status: 2, code: 'USAGE' },
    { args: 'keys add other --new-passphrase-file nothing', status: 2, code: 'SECRET_MISSING' },
    { args: 'verify --data --sample 10%', status: 2, code: 'USAGE' },
    { args: 'sweep --wait', status: 2, code: 'USAGE' },
    { args: 'backup -f nothing.yaml', status: 2, code: 'CONFIG_NOT_FOUND' },
    { args: 'init -f nothing/tidemark.yaml', status: 2, code: 'USAGE' },
    { args: 'init -f tidemark.yaml/tidemark.yaml', status: 2, code: 'USAGE' },
  ];
  for (const { args, env, status, code } of cases) {
    const ended = shop.run(args.split(' '), { env });
    assert.deepEqual(
      [ended.status, ended.json['type'], ended.json['code']],
      [status, 'error', code],
      `${args}: ${ended.err}`,
    );
    assert.match(ended.err, /^error: [^\n]+\nhint: [^\n]+\n$/, args);
  }
  assert.equal(listOf(shop.ok(['marks']), 'marks').length, 1);
});

test('a manifest that attacks is refused before anything starts', async () => {
  await using shop = await filledShop();
  const aliases = Array.from({ length: 30 }, (_, at) => `a${at}: &a${at} [*a${at - 1}, *a${at - 1}]`).slice(1);
  const manifests: readonly string[] = [
    '',
    '\0\x01\x02',
    `${'['.repeat(50_000)}`,
    `x: &a0 [1, 1]\n${aliases.join('\n')}\n`,
    'application: shop\nrepository: ./backups\nstores: { __proto__: { a: files:./data } }\n',
    'application: "\u001b[2Jshop"\nrepository: ./backups\nstores:\n  uploads: files:./data\n',
    'application: shop\nrepository: ./backups\nstores:\n  uploads: files:./data\n  uploads: files:./data\n',
    `application: shop\nrepository: ./backups\nstores:\n  uploads: files:./data\n# ${'x'.repeat(300_000)}\n`,
  ];
  for (const manifest of manifests) {
    writeFileSync(shop.at('hostile.yaml'), manifest);
    const { status, err, json } = shop.run(['backup', '-f', 'hostile.yaml']);
    assert.deepEqual([status, json['code']], [2, 'CONFIG_INVALID'], `${manifest.slice(0, 40)}: ${err}`);
    assert.doesNotMatch(err, /[\u0000-\u0009\u000b-\u001f]/);
  }
});

test('a repository of another format is left alone, with status 1', async () => {
  await using shop = await filledShop();
  const path = shop.at('backups', 'tidemark.json');
  const header = readFileSync(path, 'utf8');
  for (const [version, code] of [
    [7, 'REPOSITORY_NEWER'],
    [0, 'REPOSITORY_OLDER'],
  ] as const) {
    rmSync(path);
    writeFileSync(path, header.replace(/"version":\s*1/, `"version": ${version}`));
    for (const command of ['backup', 'marks', 'verify', 'init']) {
      const { status, json } = shop.run([command]);
      assert.deepEqual([status, json['code']], [1, code], command);
    }
  }
});

test('what is no file is a warning; what can’t be read makes the status 3', { skip: noOtherUser() }, async () => {
  await using shop = await filledShop();
  const server = createServer().listen(shop.at('data', 'socket'));
  await once(server, 'listening');
  assert.equal(spawnSync('mkfifo', [shop.at('data', 'fifo')]).status, 0);
  const first = shop.run(['backup']);
  assert.equal(first.status, 0, first.err);
  const skipped = listOf(listOf(first.json, 'stores')[0] ?? {}, 'skipped');
  assert.deepEqual(
    skipped.map(({ name, reason, incomplete }) => [name, reason, incomplete]),
    [
      ['fifo', 'special', false],
      ['socket', 'special', false],
    ],
  );
  server.close();
  writeFileSync(shop.at('data', 'secret'), 'x', { mode: 0o600 });
  openToOthers(shop);
  const own = { env: { XDG_STATE_HOME: shop.at('own-state') } };
  const second = shop.run(['backup'], { by: AS_NOBODY });
  assert.equal(second.status, 3, second.err);
  assert.equal(objectOf(second.json, 'mark')['state'], 'complete');
  const unreadable = listOf(listOf(second.json, 'stores')[0] ?? {}, 'skipped').filter(({ incomplete }) => incomplete);
  assert.deepEqual(
    unreadable.map(({ name, reason }) => [name, reason]),
    [['secret', 'unreadable']],
  );
  assert.equal(listOf(shop.ok(['runs'], own), 'runs')[0]?.['outcome'], 'incomplete');
  const restored = shop.ok(['restore', '--to', 'latest', '--into', 'copy', '--yes'], own);
  assert.equal(listOf(restored, 'stores')[0]?.['skippedCount'], 2);
});

/** The other user may write the repository and has a state folder. */
function openToOthers(shop: Shop): void {
  chmodSync(shop.folder.path, 0o755);
  spawnSync('chown', ['-R', `${NOBODY}:${NOBODY}`, shop.at('backups')]);
  rmSync(shop.at('state'), { recursive: true, force: true });
  mkdirSync(shop.at('state'));
  chownSync(shop.at('state'), NOBODY, NOBODY);
}

test('a repository that can’t be written to: no backup, but restores', { skip: noOtherUser() }, async () => {
  await using shop = await filledShop();
  shop.ok(['backup']);
  openToOthers(shop);
  const other = { by: AS_NOBODY };
  spawnSync('chown', ['-R', '0:0', shop.at('backups')]);
  spawnSync('chmod', ['-R', 'go=rX', shop.at('backups')]);
  const backup = shop.run(['backup'], other);
  assert.deepEqual([backup.status, backup.json['code']], [7, 'REPOSITORY_UNREACHABLE'], backup.err);
  chmodSync(shop.folder.path, 0o777);
  const restored = shop.run(['restore', '--to', 'latest', '--into', 'copy', '--yes'], other);
  assert.equal(restored.status, 0, restored.err);
  assert.match(String(restored.json['warnings']), /not written down/);
  assert.equal(readFileSync(shop.at('copy', 'uploads', 'file'), 'utf8'), 'content');
  const verified = shop.run(['verify', '--data'], other);
  assert.deepEqual([verified.status, verified.json['damage']], [0, []], verified.err);
  assert.equal(shop.run(['runs'], other).status, 0);
  chmodSync(shop.folder.path, 0o755);
  const plan = shop.run(['plan', '--to', 'latest', '--into', 'second'], other);
  assert.equal(plan.status, 9, plan.err);
  assert.deepEqual(plan.json['blockers'], [
    `uploads: nothing can be created in ${shop.folder.path}: this user may not write there`,
  ]);
  const findings = listOf(shop.run(['doctor'], other).json, 'findings');
  const codes = findings.map(({ code, severity }) => [code, severity]);
  assert.deepEqual(codes.slice(0, 2), [
    ['REPOSITORY_UNREACHABLE', 'error'],
    ['NEVER_PROVEN', 'warning'],
  ]);
});

test('a full disk is one error with status 1, and the next run goes on', {
  skip: !isRoot && 'only root can mount a small disk',
}, async (t) => {
  await using shop = await openShop({ create: false });
  mkdirSync(shop.at('backups'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', shop.at('backups')]);
  if (mounted.status !== 0) {
    t.skip('nothing can be mounted here');
    return;
  }
  try {
    shop.ok(['init']);
    writeFileSync(shop.at('data', 'small'), 'small');
    shop.ok(['backup']);
    writeFileSync(shop.at('data', 'large'), randomBytes(8_000_000));
    const { status, json, err } = shop.run(['backup']);
    assert.deepEqual([status, json['code']], [1, 'DISK_FULL'], err);
    spawnSync('mount', ['-o', 'remount,size=64m', shop.at('backups')]);
    shop.ok(['backup']);
    assert.deepEqual(shop.ok(['verify', '--data'])['damage'], []);
  } finally {
    spawnSync('umount', [shop.at('backups')]);
  }
});

test('where all stores are missing each is told', async () => {
  const stores = 'stores:\n  uploads: files:./uploads\n  photos: files:./photos\n';
  await using shop = await openShop({ manifest: `application: shop\nrepository: ./backups\n${stores}` });
  const { status, json, err } = shop.run(['backup']);
  assert.deepEqual([status, json['code']], [7, 'STORE_UNREACHABLE']);
  assert.match(err, /^error: uploads: .*not there; photos: .*not there\nhint:/);
});

test('a store that is missing fails; others are backed up and the mark is partial', async () => {
  const stores = 'stores:\n  uploads: files:./data\n  photos: files:./photos\n';
  await using shop = await openShop({ manifest: `application: shop\nrepository: ./backups\n${stores}` });
  writeFileSync(shop.at('data', 'file'), 'content');
  const partial = shop.run(['backup']);
  assert.equal(partial.status, 7, partial.err);
  const mark = objectOf(partial.json, 'mark');
  assert.deepEqual([mark['state'], mark['partial']], ['partial', ['photos']]);
  assert.deepEqual(
    listOf(partial.json, 'failed').map(({ store, code }) => [store, code]),
    [['photos', 'STORE_UNREACHABLE']],
  );
  assert.equal(shop.run(['plan', '--to', 'latest']).json['code'], 'TARGET_OUTSIDE_WINDOW');
  const restored = shop.run(['restore', '--to', markId(partial.json), '--into', 'copy', '--yes']);
  assert.equal(restored.status, 3, restored.err);
  const named = shop.run(['backup', 'uploads']);
  assert.deepEqual([named.status, objectOf(named.json, 'mark')['partial']], [3, ['photos']]);
  const again = shop.run(['plan', 'uploads', '--to', 'latest', '--into', 'copy']);
  assert.equal(markId(again.json), markId(named.json), again.err);
  const told = `mark ${markId(named.json)} has uploads; it is partial, without photos`;
  assert.deepEqual(again.json['warnings'], [told]);
  assert.deepEqual(shop.run(['ls', 'latest', 'uploads']).json['warnings'], [told]);
  const alone = shop.run(['backup', 'photos']);
  assert.deepEqual([alone.status, alone.json['code']], [7, 'STORE_UNREACHABLE']);
  mkdirSync(shop.at('photos'));
  writeFileSync(shop.at('photos', 'cat'), 'meow');
  const complete = shop.run(['backup', 'photos']);
  assert.deepEqual([complete.status, objectOf(complete.json, 'mark')['state']], [0, 'complete'], complete.err);
  assert.equal(shop.run(['doctor']).status, 0);
  renameSync(shop.at('photos'), shop.at('gone'));
  const { status, json } = shop.run(['doctor']);
  assert.equal(status, 9);
  assert.ok(listOf(json, 'findings').some(({ store, severity }) => store === 'photos' && severity === 'error'));
});

test('what doctor finds does not advise to run doctor', async () => {
  const stores =
    "  cache: redis://127.0.0.1:1\n  db: 'postgres://user@127.0.0.1:1/db'\n  keys: embedded:./nothing.db\n";
  await using shop = await openShop({ manifest: `application: shop\nrepository: ./backups\nstores:\n${stores}` });
  const findings = listOf(shop.run(['doctor']).json, 'findings');
  const broken = findings.filter(({ severity }) => severity === 'error').map(({ store }) => String(store));
  assert.deepEqual(new Set(broken), new Set(['cache', 'db', 'keys']));
  for (const { hint } of findings) assert.doesNotMatch(String(hint), /doctor/);
});

test('a store that is suddenly empty is an error until it is allowed', async () => {
  await using shop = await filledShop();
  shop.ok(['backup']);
  rmSync(shop.at('data', 'file'));
  const { status, json } = shop.run(['backup']);
  assert.deepEqual([status, json['code']], [1, 'BASE_COLLAPSED']);
  shop.ok(['backup', '--allow-empty', 'uploads']);
});

test('a repository inside a store is left out with a warning, and no restore moves it away', async () => {
  const manifest = 'application: shop\nrepository: ./data/backups\nstores:\n  uploads: files:./data\n';
  await using shop = await openShop({ manifest, create: false });
  writeFileSync(shop.at('data', 'file'), 'content');
  shop.ok(['init']);
  const backup = shop.ok(['backup']);
  assert.match(String(backup['warnings']), /backups lies in the folder and is left out/);
  assert.equal(listOf(backup, 'stores')[0]?.['entries'], 2);
  const restore = shop.run(['restore', '--to', 'latest', '--yes']);
  assert.deepEqual([restore.status, restore.json['code']], [2, 'RESTORE_CONFLICT']);
  shop.ok(['restore', '--to', 'latest', '--into', 'copy', '--yes']);
});
