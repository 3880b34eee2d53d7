import assert from 'node:assert/strict';
import { chmodSync, lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { BugError, must } from '../core/must.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { openStateFolder, stateHomePath } from './state-folder.ts';

const userId = must(process.getuid?.(), 'a user');

test('the place is the XDG state folder, or /var/lib for root, or the user’s own', () => {
  const cases = [
    [{ XDG_STATE_HOME: '/state', HOME: '/home/x' }, 1000, '/state/tidemark'],
    [{ XDG_STATE_HOME: '/state', HOME: '/root' }, 0, '/state/tidemark'],
    [{ HOME: '/root' }, 0, '/var/lib/tidemark'],
    [{ HOME: '/home/x' }, 1000, '/home/x/.local/state/tidemark'],
    [{ XDG_STATE_HOME: 'relative', HOME: '/home/x' }, 1000, '/home/x/.local/state/tidemark'],
    [{ XDG_STATE_HOME: '', HOME: '/home/x' }, 1000, '/home/x/.local/state/tidemark'],
  ] as const;
  for (const [environment, user, expected] of cases) {
    assert.equal(stateHomePath({ environment, userId: user }), expected);
  }
  assert.throws(() => stateHomePath({ environment: {}, userId: 1000 }), { code: 'USAGE' });
});

test('the folder of a repository is created for this user alone, and found again', async () => {
  await using folder = temporaryFolder();
  const owner = { environment: { XDG_STATE_HOME: folder.at('state') }, userId };
  const path = await openStateFolder('abc-1', owner);
  assert.equal(path, folder.at('state', 'tidemark', 'abc-1'));
  assert.equal(await openStateFolder('abc-1', owner), path);
  for (const part of [['state'], ['state', 'tidemark'], ['state', 'tidemark', 'abc-1']]) {
    assert.equal(lstatSync(folder.at(...part)).mode & 0o777, 0o700);
  }
});

test('a folder that others could enter is closed', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('tidemark', 'abc'), { recursive: true });
  for (const path of [folder.at('tidemark'), folder.at('tidemark', 'abc')]) chmodSync(path, 0o777);
  const path = await openStateFolder('abc', { environment: { XDG_STATE_HOME: folder.path }, userId });
  assert.equal(lstatSync(path).mode & 0o777, 0o700);
  assert.equal(lstatSync(folder.at('tidemark')).mode & 0o777, 0o700);
});

test('a folder of another user, a link and a file are refused', async () => {
  await using folder = temporaryFolder();
  const environment = { XDG_STATE_HOME: folder.path };
  await openStateFolder('mine', { environment, userId });
  await assert.rejects(openStateFolder('mine', { environment, userId: userId + 1 }), {
    code: 'FAILED',
    message: /belongs to user \d+, not to user \d+/,
  });
  mkdirSync(folder.at('elsewhere'));
  symlinkSync(folder.at('elsewhere'), folder.at('tidemark', 'link'));
  await assert.rejects(openStateFolder('link', { environment, userId }), { code: 'FAILED', message: /is a link/ });
  writeFileSync(folder.at('tidemark', 'file'), '');
  await assert.rejects(openStateFolder('file', { environment, userId }), {
    code: 'FAILED',
    message: /no folder is in its place/,
  });
  assert.deepEqual(readdirSync(folder.at('elsewhere')), []);
});

test('what is no id of a repository can’t lead elsewhere', async () => {
  const owner = { environment: { XDG_STATE_HOME: '/nonexistent' }, userId };
  for (const id of ['', '..', 'a/b', '-a']) await assert.rejects(openStateFolder(id, owner), BugError);
});
