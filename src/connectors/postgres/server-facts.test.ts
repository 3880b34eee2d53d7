import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collationNotes } from './server-facts.ts';

test('other rules of sorting are told by library, and the same ones are not', () => {
  assert.deepEqual(collationNotes(['libc 2.36', 'ICU 153.120'], ['ICU 153.120', 'libc 2.36']), []);
  assert.deepEqual(collationNotes([], ['libc 2.36']), []);
  const [changed, ...others] = collationNotes(['ICU 153.120', 'libc 2.36'], ['ICU 153.120', 'libc 2.31']);
  assert.match(changed ?? '', /was sorted by libc 2\.36, and here it is by libc 2\.31/);
  assert.deepEqual(others, []);
  assert.match(collationNotes(['ICU 153.120'], ['libc 2.36'])[0] ?? '', /here it is by no ICU/);
});
