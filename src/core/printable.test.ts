import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { nameText, parseNameText } from './byte-name.ts';
import { excerpt, printable, quoted } from './printable.ts';

const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff]/;

test('text from outside becomes one line that moves no cursor', () => {
  assert.equal(printable('a\nb\u001b[31m\u202ec\u009b'), 'a\\x0ab\\x1b[31m\\u202ec\\x9b');
  assert.equal(printable('Größe 😀 文'), 'Größe 😀 文');
  assert.equal(printable('lone \ud800.'), 'lone \\ud800.');
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => assert.doesNotMatch(printable(text), CONTROLS)));
});

test('an excerpt is as long as allowed and cuts no character', () => {
  assert.equal(excerpt('abcdef', 6), 'abcdef');
  assert.equal(excerpt('abcdefg', 6), 'abcde…');
  assert.equal(excerpt('😀😀😀', 2), '😀…');
  assert.equal(quoted('a"b\n'), '"a"b\\x0a"');
});

test('every name reads back to the same bytes, and its text is one line', () => {
  const names = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(names, (name) => {
      const text = nameText(name);
      assert.doesNotMatch(text, CONTROLS);
      assert.deepEqual(new Uint8Array(parseNameText(text)), new Uint8Array(name));
    }),
  );
});

test('a name is shown as it is typed', () => {
  assert.equal(nameText(Buffer.from('photos/über 1.jpg')), 'photos/über 1.jpg');
  assert.equal(nameText(Buffer.from([0x61, 0xff, 0x0a])), 'a\\xff\\x0a');
  assert.equal(nameText(Buffer.from('a\\x41')), 'a\\x5cx41');
  assert.equal(Buffer.from(parseNameText('C:\\temp\\x41')).toString(), 'C:\\tempA');
});
