import assert from 'node:assert/strict';
import { closeSync, lstatSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { openFolderAt, WORKING_FOLDER } from './native-folder.ts';
import { setTimes, setTimesOfFile } from './native-time.ts';

const timesOf = (path: string): { readonly atimeNs: bigint; readonly mtimeNs: bigint } => {
  const { atimeNs, mtimeNs } = lstatSync(path, { bigint: true });
  return { atimeNs, mtimeNs };
};

/** What ext4 and every newer file system can hold: 1901 to 2446. */
const anyTime = fc.bigInt({ min: (1n - 2n ** 31n) * 1_000_000_000n, max: 15_032_385_535n * 1_000_000_000n });

test('times are set to the nanosecond, before 1970 and far ahead, by path and by descriptor', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('file');
  writeFileSync(path, '');
  const file = openSync(path, 'r');
  try {
    fc.assert(
      fc.property(anyTime, anyTime, fc.boolean(), (atimeNs, mtimeNs, byPath) => {
        if (byPath) setTimes(Buffer.from(path), { atimeNs, mtimeNs });
        else setTimesOfFile(file, { atimeNs, mtimeNs });
        assert.deepEqual(timesOf(path), { atimeNs, mtimeNs });
      }),
    );
  } finally {
    closeSync(file);
  }
});

test('a time that is not given stays', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('file');
  writeFileSync(path, '');
  setTimes(Buffer.from(path), { atimeNs: 1n, mtimeNs: 2n });
  setTimes(Buffer.from(path), { mtimeNs: 3n });
  assert.deepEqual(timesOf(path), { atimeNs: 1n, mtimeNs: 3n });
  setTimes(Buffer.from(path), { atimeNs: 4n });
  assert.deepEqual(timesOf(path), { atimeNs: 4n, mtimeNs: 3n });
});

test('a link gets times of its own, relative to an open folder', async () => {
  await using folder = temporaryFolder();
  writeFileSync(folder.at('file'), '');
  symlinkSync('file', folder.at('link'));
  const before = timesOf(folder.at('file'));
  const opened = openFolderAt(WORKING_FOLDER, Buffer.from(folder.path));
  try {
    setTimes(Buffer.from('link'), { atimeNs: 5n, mtimeNs: -1n }, opened);
  } finally {
    closeSync(opened);
  }
  assert.deepEqual(timesOf(folder.at('link')), { atimeNs: 5n, mtimeNs: -1n });
  assert.deepEqual(timesOf(folder.at('file')), before);
});

test('what can’t be set is an error', async () => {
  await using folder = temporaryFolder();
  const path = Buffer.from(folder.at('absent'));
  assert.throws(() => setTimes(path, { mtimeNs: 1n }), {
    code: 'ENOENT',
    syscall: 'utimensat',
    path: folder.at('absent'),
  });
  assert.throws(() => setTimes(path, { mtimeNs: 2n ** 100n }), RangeError);
});
