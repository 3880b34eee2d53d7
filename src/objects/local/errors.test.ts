import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { test } from 'node:test';
import { isTidemarkError, TidemarkError } from '../../core/errors.ts';
import { BugError } from '../../core/must.ts';
import { localError } from './errors.ts';

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: something, write`), { code, errno: -1, syscall: 'write' });
}

function translated(code: string): TidemarkError {
  const error = localError(systemError(code), 'create', '/r/a');
  assert.ok(isTidemarkError(error));
  return error;
}

test('errors of the file system become what an operator can act on', () => {
  const expected = [
    ['ENOSPC', 'DISK_FULL', 'stop'],
    ['EDQUOT', 'DISK_FULL', 'stop'],
    ['EACCES', 'REPOSITORY_UNREACHABLE', 'stop'],
    ['EPERM', 'REPOSITORY_UNREACHABLE', 'stop'],
    ['EROFS', 'REPOSITORY_UNREACHABLE', 'stop'],
    ['EIO', 'REPOSITORY_UNREACHABLE', 'retry'],
    ['ESTALE', 'REPOSITORY_UNREACHABLE', 'retry'],
    ['ETIMEDOUT', 'REPOSITORY_UNREACHABLE', 'retry'],
    ['EMFILE', 'FAILED', 'retry'],
    ['EXDEV', 'UNSUPPORTED', 'stop'],
    ['ENOTDIR', 'REPOSITORY_DAMAGED', 'stop'],
    ['EWHATEVER', 'FAILED', 'stop'],
  ] as const;
  for (const [code, ours, disposition] of expected) {
    const error = translated(code);
    assert.deepEqual([error.code, error.disposition], [ours, disposition], code);
    assert.match(error.message, /^can't create \/r\/a: [^\n]+$/);
  }
  assert.equal(translated('EROFS').message, "can't create /r/a: the file system is read-only");
});

test('a real error of Node keeps being the cause', async () => {
  const [outcome] = await Promise.allSettled([stat('/nowhere/at/all')]);
  const reason: unknown = outcome.status === 'rejected' ? outcome.reason : undefined;
  const error = localError(reason, 'look at', '/nowhere/at/all');
  assert.ok(isTidemarkError(error, 'REPOSITORY_UNREACHABLE'));
  assert.equal(error.cause, reason);
});

test('what the file system did not say comes back untouched', () => {
  const others = [new Error('abort'), new BugError('bug'), new TidemarkError('BUSY', 'busy'), 'text', undefined];
  for (const other of others) assert.equal(localError(other, 'create', '/r/a'), other);
});
