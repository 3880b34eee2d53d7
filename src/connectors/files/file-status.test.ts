import assert from 'node:assert/strict';
import { linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { byteText } from './byte-text.ts';
import { statusByNode, statusOf } from './file-status.ts';

test('a status is the same with native calls and without', async () => {
  await using folder = temporaryFolder();
  const odd = Buffer.concat([Buffer.from(folder.at('odd-')), Buffer.from([0xff, 0xc3])]);
  writeFileSync(odd, 'content');
  truncateSync(odd, 5_000_000);
  linkSync(odd, folder.at('second'));
  symlinkSync('nowhere', folder.at('link'));
  mkdirSync(folder.at('folder'), { mode: 0o710 });
  for (const path of [byteText(odd), folder.at('second'), folder.at('link'), folder.at('folder'), '/dev/null']) {
    assert.deepEqual({ ...statusOf(path), mountPoint: undefined }, statusByNode(path));
  }
  for (const look of [statusOf, statusByNode]) {
    assert.throws(() => look(folder.at('absent')), { code: 'ENOENT', path: folder.at('absent') });
  }
});
