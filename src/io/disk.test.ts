import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { inspectFileSystem, isRemoteType, onSameDevice } from './disk.ts';

test('a file system tells its room', async () => {
  await using folder = temporaryFolder();
  const { freeBytes, totalBytes, freeInodes } = await inspectFileSystem(folder.path);
  assert.ok(freeBytes > 0 && freeBytes <= totalBytes);
  assert.ok(freeInodes === undefined || freeInodes > 0);
  await assert.rejects(inspectFileSystem(folder.at('absent')), { code: 'ENOENT' });
});

test('a path that is not UTF-8 is taken as bytes', async () => {
  await using folder = temporaryFolder();
  const path = Buffer.concat([Buffer.from(`${folder.path}/`), Buffer.from([0xff])]);
  writeFileSync(path, '');
  const { totalBytes } = await inspectFileSystem(new Uint8Array(path));
  assert.equal(totalBytes, (await inspectFileSystem(folder.path)).totalBytes);
  assert.ok(await onSameDevice(new Uint8Array(path), folder.path));
});

test('another file system is another device', async (t) => {
  if (process.platform !== 'linux') {
    t.skip('/proc is a file system of its own only on Linux');
    return;
  }
  await using folder = temporaryFolder();
  assert.ok(!(await onSameDevice('/proc', folder.path)));
});

test('a file system whose clock may be another machine’s is known, also where its number is negative', () => {
  const [nfs, smb, lustre, gpfs, gfs2] = [0x6969, 0xff534d42 | 0, 0x0bd00bd0, 0x47504653, 0x01161970];
  for (const type of [nfs, smb, lustre, gpfs, gfs2]) assert.ok(isRemoteType(type), type.toString(16));
  const [ext4, btrfs, tmpfs, overlay] = [0xef53, 0x9123683e | 0, 0x01021994, 0x794c7630];
  for (const type of [ext4, btrfs, tmpfs, overlay]) assert.ok(!isRemoteType(type), type.toString(16));
});
