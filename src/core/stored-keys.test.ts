import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyMatcher } from './stored-keys.ts';

test('a pattern of keys is their beginning, with bytes as they are listed', () => {
  const matches = keyMatcher(['caf\\xe9/', 'plain']);
  const isMatched = (name: Uint8Array): boolean => matches({ name, type: 'file', sizeBytes: 0 });
  assert.ok(isMatched(Buffer.from('caf\xe9/1', 'latin1')) && isMatched(Buffer.from('plain/2')));
  assert.ok(!isMatched(Buffer.from('café/1')) && !isMatched(Buffer.from('other')));
});
