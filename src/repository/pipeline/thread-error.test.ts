import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { test } from 'node:test';
import { ContentChangedError } from '../../core/content-changed.ts';
import { systemCode, TidemarkError } from '../../core/errors.ts';
import { BugError } from '../../core/must.ts';
import { packError, unpackError } from './thread-error.ts';

function systemError(): unknown {
  try {
    return openSync('/nowhere/to/be/found', 'r');
  } catch (error) {
    return error;
  }
}

function sent(error: unknown): Error {
  return unpackError(structuredClone(packError(error)));
}

test('an error of ours keeps its class and what it says on the way between threads', () => {
  const details = { disposition: 'retry', hint: 'do this', cause: systemError() } as const;
  const error = sent(new TidemarkError('DISK_FULL', 'no room', details));
  assert.ok(error instanceof TidemarkError);
  assert.deepEqual(
    [error.code, error.message, error.disposition, error.hint],
    ['DISK_FULL', 'no room', 'retry', 'do this'],
  );
  assert.equal(systemCode(error), 'ENOENT');
  assert.ok(sent(new ContentChangedError('it changed')) instanceof ContentChangedError);
  assert.ok(sent(new BugError('can’t be')) instanceof BugError);
});

test('an error of the system keeps its code', () => {
  const original = systemError();
  const error = sent(original);
  assert.ok(original instanceof Error);
  assert.deepEqual([systemCode(error), error.message, error.stack], ['ENOENT', original.message, original.stack]);
  assert.equal('syscall' in error && error.syscall, 'open');
});

test('anything else that was thrown becomes an error', () => {
  assert.equal(sent('text').message, 'text');
  assert.equal(sent(new RangeError('too much')).message, 'too much');
  assert.equal('code' in sent(new RangeError('too much')), false);
});
