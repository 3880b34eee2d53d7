import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { compileSelection } from './patterns.ts';
import { TreeScan } from './scan.ts';
import { SkippedList } from './skipped.ts';

test('a scan that keeps little of what it walks through lets others work in between', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('store/last'), { recursive: true });
  for (let number = 0; number < 500; number++) writeFileSync(folder.at('store', `f${number}`), '');
  writeFileSync(folder.at('store/last/wanted'), '');
  const scan = new TreeScan({
    root: folder.at('store'),
    selection: compileSelection({ include: ['wanted'], exclude: [] }),
    oneFileSystem: false,
    cacheDirTag: false,
    excluded: new Set(),
    skipped: new SkippedList(),
  });
  const names: string[] = [];
  let calls = 0;
  for (let items = scan.next(10); items !== undefined; items = scan.next(10)) {
    calls++;
    names.push(...items.map(({ found }) => found.name));
  }
  assert.deepEqual(names, ['', 'last', 'last\0wanted']);
  assert.ok(calls >= 10, `${calls} calls for 500 files`);
  assert.equal(scan.next(10), undefined);
});
