import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { openShop } from './shop.ts';

const REPORTS = [
  'config check',
  'backup',
  'verify --data',
  'pin latest',
  'unpin latest',
  'restore --to latest --yes',
  'restore --undo',
  'restore --discard --yes',
  'forget --apply',
  'sweep --apply',
] as const;

const SHOWN = [
  'marks',
  'plan --to latest',
  'ls latest uploads',
  'backup --dry-run',
  'runs',
  'forget',
  'stats',
] as const;

test('with --quiet work that went well prints nothing, and what was asked to be shown is shown', async () => {
  await using shop = await openShop();
  writeFileSync(shop.at('data', 'file'), 'content');
  for (const line of REPORTS) {
    const { status, out, err } = shop.run([...line.split(' '), '--quiet']);
    assert.deepEqual([status, out, err], [0, '', ''], line);
  }
  for (const line of SHOWN) {
    const { status, out, err } = shop.run([...line.split(' '), '--quiet']);
    assert.deepEqual([status, err], [0, ''], line);
    assert.notEqual(out, '', line);
  }
});

test('with --quiet what is missing from a backup is told on standard error, and damage is told', async () => {
  await using shop = await openShop();
  const name = 'x'.repeat(250);
  const script = `for _ in $(seq 17); do mkdir ${name} && cd ${name} || exit 1; done; echo x > file`;
  assert.equal(spawnSync('bash', ['-c', script], { cwd: shop.at('data') }).status, 0);
  const backup = shop.run(['backup', '--quiet']);
  assert.deepEqual([backup.status, backup.out], [3, '']);
  assert.match(backup.err, /^uploads:\n  too long x+… \d+ characters …x+.*: /);
  assert.ok(backup.err.length < 1000);
  rmSync(shop.at('backups', 'packs'), { recursive: true });
  const verified = shop.run(['verify', '--quiet']);
  assert.equal(verified.status, 5);
  assert.match(verified.out, /^damaged /);
});
