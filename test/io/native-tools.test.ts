import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { dataExtents } from '../../src/io/native-file.ts';
import { statAt, WORKING_FOLDER } from '../../src/io/native-folder.ts';
import { setTimes } from '../../src/io/native-time.ts';
import { listXattrs, readXattr, writeXattr } from '../../src/io/native-xattr.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';

/** The words of the machine's own tools are the truth to compare with. */
function hasTool(t: TestContext, tool: string): boolean {
  if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).error === undefined) return true;
  if (process.env['CI'] === 'true') assert.fail(`${tool} is not installed`);
  t.skip(`${tool} is not installed`);
  return false;
}

const run = (tool: string, ...values: readonly string[]): string => execFileSync(tool, values, { encoding: 'utf8' });
const bytes = (text: string): Uint8Array => Buffer.from(text);

test('stat reads the times and sizes that were set', async (t) => {
  if (!hasTool(t, 'stat')) return;
  await using folder = temporaryFolder();
  const path = folder.at('file');
  writeFileSync(path, Buffer.alloc(10_000, 1));
  setTimes(bytes(path), { atimeNs: 1_700_000_000_987_654_321n, mtimeNs: 1_600_000_000_000_000_001n });
  const [x, y, z, s, b, h, d, i] = run('stat', '-c', '%.9X %.9Y %.9Z %s %b %h %d %i', path).trim().split(' ');
  assert.deepEqual([x, y], ['1700000000.987654321', '1600000000.000000001']);
  const status = statAt(WORKING_FOLDER, bytes(path));
  const seconds = (timeNs: bigint): string =>
    `${timeNs / 1_000_000_000n}.${`${timeNs % 1_000_000_000n}`.padStart(9, '0')}`;
  assert.deepEqual(
    [status.mtimeNs, status.ctimeNs]
      .map(seconds)
      .concat([status.sizeBytes, status.allocatedBytes / 512, status.links, status.device, status.inode].map(String)),
    [y, z, s, b, h, d, i],
  );
});

test('getfattr and setfattr agree on attributes and ACLs', async (t) => {
  if (!hasTool(t, 'getfattr')) return;
  await using folder = temporaryFolder();
  const path = folder.at('file');
  writeFileSync(path, '');
  try {
    run('setfattr', '-n', 'user.theirs', '-v', '0x00ff10', path);
  } catch {
    t.skip('the file system of the temporary folder takes no extended attributes');
    return;
  }
  writeXattr(bytes(path), bytes('user.ours'), Uint8Array.of(1, 0, 254));
  const values = { theirs: '0x00ff10', ours: '0x0100fe' };
  for (const [name, hex] of Object.entries(values)) {
    assert.match(run('getfattr', '-e', 'hex', '-d', '--absolute-names', path), new RegExp(`user.${name}=${hex}`));
    assert.equal(`0x${Buffer.from(readXattr(bytes(path), bytes(`user.${name}`)) ?? []).toString('hex')}`, hex);
  }
  if (!hasTool(t, 'setfacl')) return;
  run('setfacl', '-m', 'u:12345:rw', path);
  const names = listXattrs(bytes(path)).map((name) => Buffer.from(name).toString());
  assert.deepEqual(
    names.toSorted((left, right) => (left < right ? -1 : 1)),
    ['system.posix_acl_access', 'user.ours', 'user.theirs'],
  );
  const acl = readXattr(bytes(path), bytes('system.posix_acl_access'));
  const copy = folder.at('copy');
  writeFileSync(copy, '');
  writeXattr(bytes(copy), bytes('system.posix_acl_access'), acl ?? new Uint8Array());
  const aclOf = (file: string): string => run('getfacl', '--omit-header', '--absolute-names', '--numeric', file);
  assert.match(aclOf(copy), /user:12345:rw-/);
  assert.equal(aclOf(copy), aclOf(path));
});

test('du counts what the extents hold', async (t) => {
  if (!hasTool(t, 'du')) return;
  await using folder = temporaryFolder();
  const path = folder.at('sparse');
  const file = openSync(path, 'w+');
  try {
    for (const offset of [0, 1 << 20, 5 << 20]) writeSync(file, Buffer.alloc(8192, 1), 0, 8192, offset);
    ftruncateSync(file, 10 << 20);
    const extents = dataExtents(file, 10 << 20);
    assert.deepEqual(
      extents.map(({ offset }) => offset),
      [0, 1 << 20, 5 << 20],
    );
    const sum = extents.reduce((bytesSoFar, { sizeBytes }) => bytesSoFar + sizeBytes, 0);
    assert.equal(Number(run('du', '--block-size=1', path).split('\t')[0]), sum);
  } finally {
    closeSync(file);
  }
});
