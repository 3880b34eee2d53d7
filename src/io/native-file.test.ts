import assert from 'node:assert/strict';
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { cloneFile, copyRange, dataExtents, syncFileSystem, tryLockFile } from './native-file.ts';

type OpenFile = Disposable & { readonly fd: number };

function openFile(path: string, flags: string): OpenFile {
  const fd = openSync(path, flags);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

const BLOCK = 4096;

test('the data of a sparse file lies in its extents, and the holes between them read as zeros', async () => {
  await using folder = temporaryFolder();
  let count = 0;
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 8 }), fc.nat(50 * BLOCK), (blocks, sizeBytes) => {
      using file = openFile(folder.at(`file-${count++}`), 'w+');
      for (const block of blocks) writeSync(file.fd, Buffer.alloc(100, 1), 0, 100, block * 2 * BLOCK);
      ftruncateSync(file.fd, sizeBytes);
      const extents = dataExtents(file.fd, sizeBytes);
      let end = 0;
      for (const extent of extents) {
        assert.ok(extent.offset >= end && extent.sizeBytes > 0);
        end = extent.offset + extent.sizeBytes;
      }
      assert.ok(end <= sizeBytes);
      const content = readFileSync(folder.at(`file-${count - 1}`));
      for (const extent of extents) content.fill(0, extent.offset, extent.offset + extent.sizeBytes);
      assert.ok(!content.includes(1), 'what is outside of the extents is a hole');
      const dataBytes = extents.reduce((sum, extent) => sum + extent.sizeBytes, 0);
      assert.ok(dataBytes <= new Set(blocks).size * BLOCK, 'a hole is no data');
    }),
    { numRuns: 50 },
  );
});

test('a dense file has one extent, an empty one none, and a hole at the end is none', async () => {
  await using folder = temporaryFolder();
  using file = openFile(folder.at('file'), 'w+');
  assert.deepEqual(dataExtents(file.fd, 0), []);
  writeSync(file.fd, Buffer.alloc(3 * BLOCK, 1));
  assert.deepEqual(dataExtents(file.fd, 3 * BLOCK), [{ offset: 0, sizeBytes: 3 * BLOCK }]);
  assert.deepEqual(dataExtents(file.fd, 100), [{ offset: 0, sizeBytes: 100 }]);
  ftruncateSync(file.fd, 2 ** 33);
  assert.deepEqual(dataExtents(file.fd, 2 ** 33), [{ offset: 0, sizeBytes: 3 * BLOCK }]);
});

test('a file that has become shorter than it was said to be has the extents that are left', async () => {
  await using folder = temporaryFolder();
  using file = openFile(folder.at('file'), 'w+');
  writeSync(file.fd, Buffer.alloc(BLOCK, 1));
  assert.deepEqual(dataExtents(file.fd, 5 * BLOCK), [{ offset: 0, sizeBytes: BLOCK }]);
});

test('data behind the size that is asked for is left out', async () => {
  await using folder = temporaryFolder();
  using file = openFile(folder.at('file'), 'w+');
  writeSync(file.fd, Buffer.alloc(BLOCK, 1), 0, BLOCK, 64 * BLOCK);
  assert.deepEqual(dataExtents(file.fd, BLOCK), []);
});

test('a range is copied to the same place, and the end of the source ends it', async () => {
  await using folder = temporaryFolder();
  writeFileSync(folder.at('from'), Buffer.from('0123456789'));
  using from = openFile(folder.at('from'), 'r');
  using to = openFile(folder.at('to'), 'w+');
  ftruncateSync(to.fd, 6);
  const copied = copyRange({ from: from.fd, to: to.fd, offset: 2, sizeBytes: 3 });
  assert.equal(copied, 3);
  assert.equal(readFileSync(folder.at('to'), 'latin1'), '\0\x00234\0');
  assert.equal(copyRange({ from: from.fd, to: to.fd, offset: 8, sizeBytes: 100 }), 2);
  assert.equal(readFileSync(folder.at('to'), 'latin1'), '\0\x00234\0\0\x0089');
});

test('a copy that can’t be is an error', async () => {
  await using folder = temporaryFolder();
  using file = openFile(folder.at('file'), 'w+');
  const range = { to: file.fd, offset: 0, sizeBytes: 1 };
  assert.throws(() => copyRange({ ...range, from: -1 }), { code: 'EBADF', syscall: 'copy_file_range' });
  assert.throws(() => cloneFile(-1, file.fd), { code: 'EBADF' });
});

test('a clone has the same content, or nothing has happened', async () => {
  await using folder = temporaryFolder();
  const content = Buffer.alloc(2 * BLOCK + 5, 7);
  writeFileSync(folder.at('from'), content);
  using from = openFile(folder.at('from'), 'r');
  using to = openFile(folder.at('to'), 'w+');
  const cloned = cloneFile(from.fd, to.fd);
  assert.deepEqual(readFileSync(folder.at('to')), cloned ? content : Buffer.alloc(0));
});

test('only one descriptor has the lock of a file, until it is closed', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('lock');
  using second = openFile(path, 'w+');
  {
    using first = openFile(path, 'r');
    assert.ok(tryLockFile(first.fd));
    assert.ok(tryLockFile(first.fd));
    assert.ok(!tryLockFile(second.fd));
  }
  assert.ok(tryLockFile(second.fd));
  assert.throws(() => tryLockFile(-1), { code: 'EBADF', syscall: 'flock' });
});

test('a file system is synced by any file on it', async () => {
  await using folder = temporaryFolder();
  using file = openFile(folder.at('file'), 'w');
  writeSync(file.fd, 'x');
  await syncFileSystem(file.fd);
  assert.equal(fstatSync(file.fd).size, 1);
  await assert.rejects(syncFileSystem(-1), { code: 'EBADF', syscall: 'syncfs' });
});
