import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { inspectFileSystem, onSameDevice } from './disk.ts';

test('a file system tells its room and its type', async () => {
  await using folder = temporaryFolder();
  const { freeBytes, totalBytes, freeInodes, type } = await inspectFileSystem(folder.path);
  assert.ok(freeBytes > 0 && freeBytes <= totalBytes);
  assert.ok(freeInodes === undefined || freeInodes > 0);
  assert.match(type, /^[a-z0-9]+$/);
  await assert.rejects(inspectFileSystem(folder.at('absent')), { code: 'ENOENT' });
});

test('a path that is not UTF-8 is taken as bytes', async () => {
  await using folder = temporaryFolder();
  const path = Buffer.concat([Buffer.from(`${folder.path}/`), Buffer.from([0xff])]);
  writeFileSync(path, '');
  const status = await inspectFileSystem(new Uint8Array(path));
  assert.equal(status.type, (await inspectFileSystem(folder.path)).type);
  assert.ok(await onSameDevice(new Uint8Array(path), folder.path));
});

test('another file system is another device', async (t) => {
  if (process.platform !== 'linux') {
    t.skip('/proc is a file system of its own only on Linux');
    return;
  }
  await using folder = temporaryFolder();
  assert.ok(!(await onSameDevice('/proc', folder.path)));
  const { type, isRemote } = await inspectFileSystem('/proc');
  assert.deepEqual({ type, isRemote }, { type: '0x9fa0', isRemote: false });
});
