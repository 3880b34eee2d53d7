import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entryText } from './entry-text.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

test('components are joined, and the root has a name', () => {
  assert.equal(entryText(bytes('folder\0file')), 'folder/file');
  assert.equal(entryText(bytes('')), '.');
  assert.equal(entryText(Buffer.from('größe\0ü')), 'größe/ü');
});

test('what could move a cursor or is no text is escaped, whatever its length', () => {
  assert.equal(entryText(bytes('a\x1b[2J\n')), 'a\\x1b[2J\\x0a');
  assert.equal(entryText(bytes('\xff\xfe')), '\\xff\\xfe');
  const long = entryText(bytes('ab'.repeat(3000)));
  assert.match(long, /^(?:ab){50}…(?:ab){50}$/);
});
