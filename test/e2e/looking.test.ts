import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { listOf, openShop } from './shop.ts';

test('diff tells what became of another type', async () => {
  await using shop = await openShop();
  for (const name of ['opened', 'linked', 'same']) writeFileSync(shop.at('data', name), 'a file');
  mkdirSync(shop.at('data', 'closed'));
  shop.ok(['backup', '--name', 'before']);
  for (const name of ['opened', 'linked', 'closed']) rmSync(shop.at('data', name), { recursive: true });
  mkdirSync(shop.at('data', 'opened'));
  symlinkSync('same', shop.at('data', 'linked'));
  writeFileSync(shop.at('data', 'closed'), 'a file');
  shop.ok(['backup']);
  const differences = listOf(shop.ok(['diff', 'before', 'latest']), 'differences');
  assert.deepEqual(
    differences.map(({ name, change, type, typeBefore }) => [name, change, type, typeBefore]),
    [
      ['', 'attributes', 'folder', undefined],
      ['closed', 'changed', 'file', 'folder'],
      ['linked', 'changed', 'link', 'file'],
      ['opened', 'changed', 'folder', 'file'],
    ],
  );
  const { out } = shop.run(['diff', 'before', 'latest', '--quiet']);
  assert.match(
    out,
    /^T uploads {2}closed {2}folder → file\nT uploads {2}linked {2}file → link\nT uploads {2}opened\/ {2}file → folder$/m,
  );
});

test('ls shows the bits that make a program run as its owner or group, and who may remove', async () => {
  await using shop = await openShop();
  for (const [name, mode] of [
    ['owner', 0o4755],
    ['group', 0o2640],
  ] as const) {
    writeFileSync(shop.at('data', name), 'a program');
    chmodSync(shop.at('data', name), mode);
  }
  mkdirSync(shop.at('data', 'shared'));
  chmodSync(shop.at('data', 'shared'), 0o1777);
  shop.ok(['backup']);
  const { out } = shop.run(['ls', 'latest', 'uploads', '--quiet']);
  assert.match(out, /^-rw-r-S--- .* group\n-rwsr-xr-x .* owner\ndrwxrwxrwt .* shared\/$/m);
});
