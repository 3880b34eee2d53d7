import assert from 'node:assert/strict';
import { styleText } from 'node:util';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { cut, flowing, hanging, padded, widthOf } from './text-width.ts';

const red = (text: string): string => styleText('red', text, { validateStream: false });

test('a width is what a terminal takes: wide characters two, accents and colours none', () => {
  const table = { abc: 3, '': 0, grün: 4, 'gru\u0308n': 4, 東京: 4, 한글: 4, '🦀!': 3, '●━╳': 3, ｆｕ: 4 };
  for (const [text, width] of Object.entries(table)) assert.equal(widthOf(text), width, text);
  assert.equal(widthOf(red('東京')), 4);
});

test('what is cut ends in an ellipsis and never in half of a wide character', () => {
  assert.equal(cut('orders', 6), 'orders');
  assert.equal(cut('orders', 4), 'ord…');
  assert.equal(cut('orders', 4, '~'), 'ord~');
  assert.equal(cut('東京都庁', 6), '東京…');
  assert.equal(padded(cut('東京都庁', 6), 6), '東京… ');
  assert.equal(padded('5 B', 6, 'right'), '   5 B');
});

test('text hangs below where it began, and times and amounts are not torn apart', () => {
  assert.deepEqual(hanging('uploads  ', 'from 2026-11-20 14:05:00, a 2 h 18 min', 30), [
    'uploads  from',
    '         2026-11-20 14:05:00,',
    '         a 2 h 18 min',
  ]);
  assert.deepEqual(hanging('', 'abcdefgh ij', 5), ['abcde', 'fgh', 'ij']);
  assert.deepEqual(hanging('name  ', '', 20), ['name']);
  assert.deepEqual(flowing('', ['a b', red('c d'), 'e'], { width: 7, between: ' ' }), [`a b ${red('c d')}`, 'e']);
});

test('no line is wider than asked for, and no character is lost', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.integer({ min: 2, max: 30 }), (text, width) => {
      for (const line of hanging('', text, width)) assert.ok(widthOf(line) <= width, line);
      const letters = (some: string): string => some.replaceAll(/\s/g, '');
      assert.equal(letters(hanging('', text, width).join('')), letters(text));
      assert.ok(widthOf(cut(text, width)) <= width);
    }),
  );
});
