import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { compileKeyPatterns, globsFor, matchesGlob } from './key-patterns.ts';

suite('patterns of keys', () => {
  test('match as KEYS does', () => {
    const cases: readonly (readonly [string, string, boolean])[] = [
      ['*', '', true],
      ['', '', true],
      ['', 'a', false],
      ['session:*', 'session:1', true],
      ['session:*', 'session', false],
      ['a*b*c', 'axxbyybzc', true],
      ['a*b*c', 'axxbyybz', false],
      ['**a', 'bca', true],
      ['h?llo', 'hello', true],
      ['h?llo', 'hllo', false],
      ['h[ae]llo', 'hallo', true],
      ['h[^e]llo', 'hello', false],
      ['h[^e]llo', 'hallo', true],
      ['h[a-c]llo', 'hbllo', true],
      ['h[c-a]llo', 'hbllo', true],
      ['h[a-c]llo', 'hdllo', false],
      ['\\*', '*', true],
      ['\\*', 'a', false],
      ['[\\]]x', ']x', true],
      ['a[b', 'ab', true],
      ['a\\', 'a\\', true],
      ['*?', '', false],
      ['*a*a*a*a*a*a*a*a*b', 'a'.repeat(5000), false],
    ];
    for (const [glob, text, wanted] of cases) {
      assert.equal(matchesGlob(Buffer.from(glob), Buffer.from(text)), wanted, `${glob} and ${text.slice(0, 20)}`);
    }
  });

  test('take a byte as it is listed, for itself', () => {
    const matches = compileKeyPatterns(['caf\\xe9', '\\x2a\\x64?']);
    assert.ok(matches(0, Buffer.from('caf\xe9', 'latin1')) && matches(0, Buffer.from('*d1')));
    assert.ok(!matches(0, Buffer.from('café')) && !matches(0, Buffer.from('ad1')));
  });

  test('may name a database, and mean all without', () => {
    const matches = compileKeyPatterns(['0:session:*', '1:*', 'both', '[1]:x']);
    const found = [
      [0, 'session:1'],
      [1, 'session:1'],
      [2, 'session:1'],
      [1, 'x'],
      [5, 'both'],
      [0, '1:x'],
      [0, '0:session:1'],
    ].map(([database, key]) => matches(Number(database), Buffer.from(String(key))));
    assert.deepEqual(found, [true, true, false, true, true, true, false]);
    const globs = globsFor(['0:a*', 'b*', '1:c'], 1).map((glob) => Buffer.from(glob).toString());
    assert.deepEqual(globs, ['b*', 'c']);
    assert.throws(() => compileKeyPatterns(['']), /means no key/);
    assert.throws(() => compileKeyPatterns(['3:']), /means no key/);
  });
});
