import assert from 'node:assert/strict';
import {
  closeSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../testing/tree/temporary-folder.ts';
import {
  linkAt,
  makeFolderAt,
  openAt,
  openFolderAt,
  readLinkAt,
  removeFileAt,
  removeFolderAt,
  renameAt,
  setOwnerAt,
  statAt,
  statOpen,
  symlinkAt,
  WORKING_FOLDER,
} from './native-folder.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);

type Root = AsyncDisposable & { readonly fd: number; readonly folder: TemporaryFolder };

function openRoot(): Root {
  const folder = temporaryFolder();
  const fd = openFolderAt(WORKING_FOLDER, bytes(folder.path));
  return {
    fd,
    folder,
    async [Symbol.asyncDispose]() {
      closeSync(fd);
      await folder[Symbol.asyncDispose]();
    },
  };
}

function create(root: Root, name: Uint8Array): void {
  closeSync(openAt(root.fd, name, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o640));
}

test('names of any bytes are created, listed and removed as they are', async () => {
  await using root = openRoot();
  const anyName = fc
    .uint8Array({ minLength: 1, maxLength: 40 })
    .map((name) => name.map((byte) => (byte === 0 || byte === 0x2f || byte === 0x2e ? 0xfe : byte)));
  const list = (): string[] =>
    readdirSync(Buffer.from(root.folder.path), { encoding: 'buffer' }).map((name) => name.toString('hex'));
  fc.assert(
    fc.property(anyName, anyName, (name, target) => {
      const hex = Buffer.from(name).toString('hex');
      create(root, name);
      assert.deepEqual(list(), [hex]);
      removeFileAt(root.fd, name);
      makeFolderAt(root.fd, name, 0o700);
      assert.deepEqual(list(), [hex]);
      removeFolderAt(root.fd, name);
      symlinkAt(target, root.fd, name);
      assert.deepEqual(list(), [hex]);
      assert.deepEqual(readLinkAt(root.fd, name), target);
      removeFileAt(root.fd, name);
      assert.deepEqual(list(), []);
    }),
    { numRuns: 50 },
  );
});

test('a status is what Node says of it', async () => {
  await using root = openRoot();
  const { folder } = root;
  writeFileSync(folder.at('file'), 'content');
  truncateSync(folder.at('file'), 1_000_000);
  linkSync(folder.at('file'), folder.at('second'));
  symlinkSync('file', folder.at('link'));
  mkdirSync(folder.at('folder'), { mode: 0o710 });
  for (const name of ['file', 'link', 'folder', '/dev/null', '/proc/self/stat']) {
    const { mountPoint: _, ...status } = statAt(root.fd, bytes(name));
    const expected = lstatSync(name.startsWith('/') ? name : folder.at(name), { bigint: true });
    assert.deepEqual(status, {
      mode: Number(expected.mode),
      links: Number(expected.nlink),
      uid: Number(expected.uid),
      gid: Number(expected.gid),
      device: Number(expected.dev),
      inode: expected.ino,
      sizeBytes: Number(expected.size),
      allocatedBytes: Number(expected.blocks) * 512,
      mtimeNs: expected.mtimeNs,
      ctimeNs: expected.ctimeNs,
    });
  }
  assert.deepEqual(statOpen(root.fd), statAt(WORKING_FOLDER, bytes(folder.path)));
});

test('a mount point is told from a folder', async () => {
  await using root = openRoot();
  assert.equal(statAt(WORKING_FOLDER, bytes('/proc')).mountPoint, true);
  assert.equal(statOpen(root.fd).mountPoint, false);
});

test('a link is neither opened nor walked through', async () => {
  await using root = openRoot();
  const { folder } = root;
  mkdirSync(folder.at('folder'));
  writeFileSync(folder.at('file'), '');
  symlinkSync('folder', folder.at('to-folder'));
  symlinkSync('file', folder.at('to-file'));
  assert.throws(() => openFolderAt(root.fd, bytes('to-folder')), { code: 'ENOTDIR', path: 'to-folder' });
  assert.throws(() => openAt(root.fd, bytes('to-file'), constants.O_RDONLY), { code: 'ELOOP' });
  assert.throws(() => openFolderAt(root.fd, bytes('file')), { code: 'ENOTDIR' });
  const inner = openFolderAt(root.fd, bytes('folder'));
  closeSync(inner);
});

test('a further name is one for the same file, and of a link for the link', async () => {
  await using root = openRoot();
  create(root, bytes('file'));
  symlinkAt(bytes('file'), root.fd, bytes('link'));
  const at = { fromFolder: root.fd, toFolder: root.fd };
  linkAt({ ...at, from: bytes('file'), to: bytes('second') });
  linkAt({ ...at, from: bytes('link'), to: bytes('second-link') });
  assert.equal(statAt(root.fd, bytes('second')).inode, statAt(root.fd, bytes('file')).inode);
  assert.equal(readlinkSync(root.folder.at('second-link')), 'file');
  assert.throws(() => linkAt({ ...at, from: bytes('file'), to: bytes('link') }), { code: 'EEXIST', dest: 'link' });
});

test('a rename replaces, keeps or exchanges', async () => {
  await using root = openRoot();
  const { folder } = root;
  const at = { fromFolder: root.fd, toFolder: root.fd };
  const read = (name: string): string => readFileSync(folder.at(name), 'utf8');
  for (const name of ['a', 'b']) writeFileSync(folder.at(name), name);

  renameAt({ ...at, from: bytes('a'), to: bytes('b') }, 'exchange');
  assert.deepEqual([read('a'), read('b')], ['b', 'a']);
  assert.throws(() => renameAt({ ...at, from: bytes('a'), to: bytes('b') }, 'keep'), {
    code: 'EEXIST',
    syscall: 'renameat2',
  });
  assert.throws(() => renameAt({ ...at, from: bytes('a'), to: bytes('absent') }, 'exchange'), { code: 'ENOENT' });
  renameAt({ ...at, from: bytes('a'), to: bytes('c') }, 'keep');
  renameAt({ ...at, from: bytes('b'), to: bytes('c') }, 'replace');
  assert.deepEqual(readdirSync(folder.path), ['c']);
  assert.equal(read('c'), 'a');
});

test('two folders with what they hold are exchanged in one step', async () => {
  await using root = openRoot();
  const { folder } = root;
  for (const name of ['live', 'beside']) {
    mkdirSync(folder.at(name));
    writeFileSync(folder.at(name, 'file'), name);
  }
  const places = { fromFolder: root.fd, from: bytes('beside'), toFolder: root.fd, to: bytes('live') };
  renameAt(places, 'exchange');
  assert.equal(readFileSync(folder.at('live', 'file'), 'utf8'), 'beside');
  assert.equal(readFileSync(folder.at('beside', 'file'), 'utf8'), 'live');
});

test('the owner of a link is its own', async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip('only root may give files away');
    return;
  }
  await using root = openRoot();
  create(root, bytes('file'));
  symlinkAt(bytes('file'), root.fd, bytes('link'));
  setOwnerAt(root.fd, bytes('link'), { uid: 1234, gid: 4_000_000_000 });
  const { uid, gid } = statAt(root.fd, bytes('link'));
  assert.deepEqual({ uid, gid }, { uid: 1234, gid: 4_000_000_000 });
  assert.equal(statAt(root.fd, bytes('file')).uid, 0);
});

test('what can’t be done is an error that names the path', async () => {
  await using root = openRoot();
  const name = bytes('absent');
  const path = 'absent';
  assert.throws(() => statAt(root.fd, name), { code: 'ENOENT', syscall: 'statx', path });
  assert.throws(() => removeFileAt(root.fd, name), { code: 'ENOENT', syscall: 'unlinkat', path });
  assert.throws(() => readLinkAt(root.fd, name), { code: 'ENOENT', syscall: 'readlinkat', path });
  assert.throws(() => makeFolderAt(root.fd, bytes('absent/x'), 0o700), { code: 'ENOENT', syscall: 'mkdirat' });
  assert.throws(() => symlinkAt(bytes('x'), root.fd, bytes('a\0b')), { code: 'EINVAL', syscall: 'symlinkat' });
  assert.throws(() => statOpen(-1), { code: 'EBADF' });
  makeFolderAt(root.fd, bytes('full'), 0o700);
  create(root, bytes('full/file'));
  assert.throws(() => removeFolderAt(root.fd, bytes('full')), { code: 'ENOTEMPTY' });
  assert.throws(() => removeFileAt(root.fd, bytes('full')), { code: 'EISDIR' });
});
