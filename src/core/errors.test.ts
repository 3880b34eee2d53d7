import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCodes } from './error-codes.ts';
import type { ErrorCode } from './error-codes.ts';
import { fromSystem, isTidemarkError, operatorError, systemCode, TidemarkError } from './errors.ts';

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: it failed, open`), { code });
}

test('each code has a meaning, something to do, and an exit status that is not success', () => {
  for (const [code, { exit, meaning, action }] of Object.entries(errorCodes)) {
    assert.match(code, /^[A-Z]+(?:_[A-Z]+)*$/);
    assert.ok([1, 2, 3, 4, 5, 6, 7, 8, 9, 130].includes(exit), `${code}: ${exit}`);
    for (const text of [meaning, action]) assert.match(text, /^[A-Z`].*\.$/s, code);
    assert.equal(new TidemarkError(code as ErrorCode, 'm').hint, action);
  }
});

test('an error gives up unless it says otherwise, and keeps its cause', () => {
  const cause = systemError('EIO');
  const plain = new TidemarkError('FAILED', 'm');
  const passing = new TidemarkError('FAILED', 'm', { disposition: 'retry', hint: 'h', cause });
  assert.deepEqual([plain.disposition, passing.disposition, passing.hint], ['stop', 'retry', 'h']);
  assert.equal(passing.cause, cause);
  assert.ok(!('cause' in plain));
});

test('the system’s code is found behind what wraps it, and a code of ours is none', () => {
  const wrapped = new TidemarkError('FAILED', 'm', { cause: new Error('outer', { cause: systemError('EDQUOT') }) });
  assert.equal(systemCode(wrapped), 'EDQUOT');
  assert.equal(systemCode(new TidemarkError('FAILED', 'm')), undefined);
  assert.equal(systemCode('EIO'), undefined);
});

test('a full disk keeps its own code whoever meets it, other failures get the one that is given', () => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    assert.ok(isTidemarkError(fromSystem(systemError(code), 'FAILED', 'can’t write x'), 'DISK_FULL'));
  }
  const other = fromSystem(systemError('EROFS'), 'STORE_UNREACHABLE', 'can’t write x');
  assert.ok(isTidemarkError(other, 'STORE_UNREACHABLE'));
  assert.equal(other.message, 'can’t write x: its file system is read-only');
  assert.equal(fromSystem(other, 'FAILED', 'again'), other);
});

test('of an error and a failed clean-up the first one counts', () => {
  const both = new SuppressedError(systemError('EIO'), systemError('EACCES'), 'clean-up');
  assert.equal(systemCode(both), 'EACCES');
  assert.equal(systemCode(new SuppressedError(systemError('EIO'), new Error('plain'))), 'EIO');
  assert.equal(fromSystem(both, 'FAILED', 'can’t write x').message, 'can’t write x: this user has no permission');
  const ours = new TidemarkError('BUSY', 'held');
  assert.equal(fromSystem(new SuppressedError(systemError('EIO'), ours), 'FAILED', 'm'), ours);
});

test('a rare code of the system is told as the system tells it', () => {
  assert.equal(fromSystem(systemError('EXFULL'), 'FAILED', 'm').message, 'm: EXFULL: it failed, open');
});

test('whatever can happen on a machine can be told, also when a clean-up failed as well, and what is a fault can’t', () => {
  const first = new TidemarkError('BUSY', 'm');
  assert.equal(operatorError(first, 'w'), first);
  assert.equal(operatorError(new SuppressedError(systemError('EIO'), first), 'w'), first);
  assert.equal(operatorError(new SuppressedError(first, systemError('ENOSPC')), 'w')?.code, 'DISK_FULL');
  assert.equal(operatorError(systemError('EIO'), 'w')?.message, 'w: the disk or the server behind it fails');
  assert.equal(operatorError(new TypeError('a fault'), 'w'), undefined);
  assert.equal(operatorError(new SuppressedError(first, new TypeError('a fault')), 'w'), undefined);
});
