import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refuseLabels } from './mark-labels.ts';

test('names are short words that mean nothing else as a target', () => {
  for (const name of [undefined, 'before-upgrade', 'v2', '7', 'a'.repeat(63)]) refuseLabels({ name, tags: [] });
  const wrong = [
    '',
    'Upper',
    'a b',
    'a_b',
    '-a',
    'a-',
    'a'.repeat(64),
    'é',
    'latest',
    '2026-11-20',
    '20261118-100000-aaaa',
  ];
  for (const name of wrong) assert.throws(() => refuseLabels({ name, tags: [] }), { code: 'USAGE' }, name);
});

test('tags are words in any script', () => {
  refuseLabels({ tags: ['nightly', 'release/1.2', 'größe', 'ticket:77', 'who@where'] });
  for (const tag of ['', 'a b', 'a,b', 'a\nb', '\u001b[2J', 'x'.repeat(65)]) {
    assert.throws(() => refuseLabels({ tags: ['fine', tag] }), { code: 'USAGE' }, tag);
  }
});
