import assert from 'node:assert/strict';
import { closeSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import * as fc from 'fast-check';
import { compareBytes } from '../core/bytes.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { systemCode } from '../core/errors.ts';
import { listXattrs, readXattr, readXattrs, removeXattr, writeXattr } from './native-xattr.ts';
import type { Xattr, XattrTarget } from './native-xattr.ts';

const PREFIX = Buffer.from('user.');
const name = (text: string | Uint8Array): Uint8Array => Buffer.concat([PREFIX, Buffer.from(text)]);

function supported(t: TestContext, folder: string): boolean {
  try {
    const path = Buffer.from(join(folder, 'probe'));
    writeFileSync(path, '');
    writeXattr(path, name('probe'), new Uint8Array());
    return true;
  } catch (error) {
    if (systemCode(error) !== 'ENOTSUP') throw error;
    t.skip('the file system of the temporary folder takes no extended attributes');
    return false;
  }
}

const anyName = fc
  .uint8Array({ minLength: 1, maxLength: 30 })
  .map((bytes) => name(bytes.map((byte) => (byte === 0 ? 1 : byte))));
const anyXattrs = fc.uniqueArray(fc.record({ name: anyName, value: fc.uint8Array({ maxLength: 100 }) }), {
  maxLength: 5,
  selector: (xattr) => Buffer.from(xattr.name).toString('hex'),
});
const sorted = (xattrs: readonly Xattr[]): unknown =>
  xattrs
    .toSorted((left, right) => compareBytes(left.name, right.name))
    .map((xattr) => [Buffer.from(xattr.name).toString('latin1'), Buffer.from(xattr.value).toString('hex')]);

test('any bytes come back as names and values, by path and by descriptor', async (t) => {
  await using folder = temporaryFolder();
  if (!supported(t, folder.path)) return;
  let count = 0;
  fc.assert(
    fc.property(anyXattrs, fc.boolean(), fc.boolean(), (xattrs, writesByPath, readsByPath) => {
      const path = Buffer.concat([
        Buffer.from(folder.at('file-')),
        Buffer.from([0xff, 0x80]),
        Buffer.from(`${count++}`),
      ]);
      const file = openSync(path, 'w');
      try {
        const target: XattrTarget = writesByPath ? path : file;
        const source: XattrTarget = readsByPath ? path : file;
        for (const xattr of xattrs) writeXattr(target, xattr.name, xattr.value);
        assert.deepEqual(sorted(readXattrs(source)), sorted(xattrs));
        for (const xattr of xattrs) removeXattr(target, xattr.name);
        assert.deepEqual(listXattrs(source), []);
      } finally {
        closeSync(file);
      }
    }),
    { numRuns: 50 },
  );
});

test('an absent attribute reads as undefined, is removed without an error, and a value is replaced', async (t) => {
  await using folder = temporaryFolder();
  if (!supported(t, folder.path)) return;
  const path = Buffer.from(folder.at('probe'));
  assert.equal(readXattr(path, name('absent')), undefined);
  removeXattr(path, name('absent'));
  writeXattr(path, name('a'), Buffer.from('long value'));
  writeXattr(path, name('a'), Buffer.from('short'));
  assert.deepEqual(readXattr(path, name('a')), new Uint8Array(Buffer.from('short')));
});

test('a value is the caller’s to keep', async (t) => {
  await using folder = temporaryFolder();
  if (!supported(t, folder.path)) return;
  const path = Buffer.from(folder.at('probe'));
  writeXattr(path, name('a'), Buffer.from('first'));
  writeXattr(path, name('b'), Buffer.from('other'));
  const first = readXattr(path, name('a'));
  readXattr(path, name('b'));
  assert.deepEqual(first, new Uint8Array(Buffer.from('first')));
});

test('a link is not followed, and its failure names the path', async (t) => {
  await using folder = temporaryFolder();
  if (!supported(t, folder.path)) return;
  symlinkSync('probe', folder.at('link'));
  const link = Buffer.from(folder.at('link'));
  assert.deepEqual(listXattrs(link), []);
  assert.throws(() => writeXattr(link, name('a'), Buffer.from('x')), { code: 'EPERM', path: folder.at('link') });
  assert.equal(readXattr(Buffer.from(folder.at('probe')), name('a')), undefined);
});

test('an absent file is an error', async () => {
  await using folder = temporaryFolder();
  const path = Buffer.from(folder.at('absent'));
  assert.throws(() => listXattrs(path), { code: 'ENOENT', syscall: 'llistxattr' });
  assert.throws(() => readXattr(path, name('a')), { code: 'ENOENT', syscall: 'lgetxattr' });
  assert.throws(() => removeXattr(path, name('a')), { code: 'ENOENT', syscall: 'lremovexattr' });
  assert.throws(() => listXattrs(-1), { code: 'EBADF', syscall: 'flistxattr' });
});
