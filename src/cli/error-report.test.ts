import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManifestError } from '../config/mistakes.ts';
import { errorCodes } from '../core/error-codes.ts';
import { TidemarkError } from '../core/errors.ts';
import { errorLine, errorText } from './error-report.ts';

test('an error is what happened and what to do', () => {
  const error = new TidemarkError('KEY_REFUSED', 'no key opens /srv\n\u001b[31m');
  assert.deepEqual(errorText(error), [
    'error: no key opens /srv\\x0a\\x1b[31m',
    `hint: ${errorCodes.KEY_REFUSED.action}`,
  ]);
  const { code, message, hint, where } = errorLine(error);
  assert.deepEqual(
    [code, message, hint, where],
    ['KEY_REFUSED', 'no key opens /srv\\x0a\\x1b[31m', error.hint, undefined],
  );
});

test('where there is nothing to do about an error, nothing is said', () => {
  const error = new TidemarkError('INTERRUPTED', 'interrupted', { hint: '' });
  assert.deepEqual(errorText(error), ['error: interrupted']);
});

test('mistakes in a manifest are a line each, and fields each', () => {
  const place = { line: 2, column: 3 };
  const error = new ManifestError([
    { file: 'a.yaml', place, key: 'stores.x', message: 'wrong' },
    { file: 'a.yaml', message: 'too large' },
  ]);
  assert.deepEqual(errorText(error), ['a.yaml: too large', 'a.yaml:2:3: stores.x: wrong']);
  assert.deepEqual(errorLine(error).mistakes?.[1], {
    file: 'a.yaml',
    line: 2,
    column: 3,
    key: 'stores.x',
    message: 'wrong',
  });
});

test('an error that nobody foresaw is a bug and shows no stack', () => {
  const { code, message } = errorLine(new TypeError('x is not a function'));
  assert.deepEqual([code, message], ['BUG', 'TypeError: x is not a function']);
  assert.equal(errorText(new TypeError('x')).length, 2);
});
