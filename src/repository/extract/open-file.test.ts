import assert from 'node:assert/strict';
import { closeSync, constants, fstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { systemCode } from '../../core/errors.ts';
import { openFolderAt, WORKING_FOLDER } from '../../io/native-folder.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { openFile } from './open-file.ts';

test('a path through the descriptor of a folder opens what any path to the file opens', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('a'));
  writeFileSync(folder.at('a', 'file'), 'content');
  symlinkSync('file', folder.at('a', 'link'));
  const descriptor = openFolderAt(WORKING_FOLDER, Buffer.from(folder.path));
  const codeOf = (path: string, flags: number): string | undefined => {
    try {
      closeSync(openFile(Buffer.from(path), flags));
      return 'opened';
    } catch (error) {
      return systemCode(error);
    }
  };
  const { O_RDONLY, O_NOFOLLOW, O_RDWR, O_CREAT, O_EXCL } = constants;
  for (const base of [folder.path, `/proc/self/fd/${descriptor}`, `/proc/self/fd/${descriptor}/`]) {
    assert.equal(codeOf(`${base}/a/file`, O_RDONLY | O_NOFOLLOW), 'opened');
    assert.equal(codeOf(`${base}/a/link`, O_RDONLY | O_NOFOLLOW), 'ELOOP');
    assert.equal(codeOf(`${base}/a/absent`, O_RDONLY | O_NOFOLLOW), 'ENOENT');
    assert.equal(codeOf(`${base}/a/file`, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW), 'EEXIST');
    const made = openFile(Buffer.from(`${base}/a/made ${base.length}`), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW);
    assert.equal(fstatSync(made).mode & 0o777, 0o600);
    closeSync(made);
  }
  assert.equal(codeOf('/proc/self/fd/', O_RDONLY), 'opened', 'no folder is named');
  closeSync(descriptor);
});
