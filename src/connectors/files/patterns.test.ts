import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byteTextOf } from './byte-text.ts';
import { compilePatterns, isAsideName } from './patterns.ts';

function matched(patterns: readonly string[], paths: readonly string[]): string[] {
  const compiled = compilePatterns(patterns);
  return paths.filter((path) => compiled?.match(byteTextOf(path.replace(/\/$/, '')), path.endsWith('/')));
}

test('no pattern compiles to nothing', () => {
  assert.equal(compilePatterns([]), undefined);
});

test('patterns follow gitignore: names anywhere, paths from the root, folders by a slash', () => {
  const paths = ['a.tmp', 'x/a.tmp', 'cache', 'cache/', 'x/cache/', 'cache/y', 'logs/a', 'x/logs/a'];
  assert.deepEqual(matched(['*.tmp', 'cache/', '/logs'], paths), [
    'a.tmp',
    'x/a.tmp',
    'cache/',
    'x/cache/',
    'cache/y',
    'logs/a',
  ]);
});

test('a later pattern takes back what an earlier one matched, except below a folder that is matched', () => {
  const paths = ['a.log', 'keep.log', 'old/', 'old/keep.log'];
  assert.deepEqual(matched(['*.log', 'old/', '!keep.log'], paths), ['a.log', 'old/', 'old/keep.log']);
});

test('upper and lower case differ, and letters beyond ASCII are matched as letters', () => {
  assert.deepEqual(matched(['Bücher/', '*.TXT'], ['Bücher/', 'bücher/', 'a.TXT', 'a.txt']), ['Bücher/', 'a.TXT']);
});

test('a byte that is not UTF-8 is matched by a wildcard', () => {
  assert.equal(compilePatterns(['caf?.txt'])?.match('caf\xe9.txt', false), true);
});

test('a byte is typed as it is listed, alone and beside characters, and stands for itself', () => {
  const isMatched = (pattern: string, path: string): boolean | undefined =>
    compilePatterns([pattern])?.match(path, false);
  for (const [pattern, path] of [
    ['caf\\xe9.txt', 'caf\xe9.txt'],
    ['/d/caf\\xC3\\xA9\\xe9.txt', 'd/caf\xc3\xa9\xe9.txt'],
    ['caf\\xe9*', 'caf\xe9\xe8.txt'],
    ['\\x2a.txt', '*.txt'],
    ['line\\x0abreak', 'line\nbreak'],
    ['a\\x5cxe9', 'a\\xe9'],
    ['\\x21\\x64\\x23', '!d#'],
  ] as const) {
    assert.equal(isMatched(pattern, path), true, pattern);
  }
  for (const [pattern, path] of [
    ['caf\\xe9.txt', 'caf\xe8.txt'],
    ['caf\\xe9.txt', 'caf\xc3\xa9.txt'],
    ['\\x2a.txt', 'a.txt'],
    ['\\x64', '1'],
  ] as const) {
    assert.equal(isMatched(pattern, path), false, pattern);
  }
  assert.deepEqual(compilePatterns(['/d/caf\\xe9/x'])?.roots, ['d']);
});

test('answers stay right after the library’s memory was dropped', () => {
  const compiled = compilePatterns(['*.tmp', '!keep.tmp']);
  for (let index = 0; index < 20_005; index++) compiled?.match(`x${index}`, false);
  assert.deepEqual([compiled?.match('a.tmp', false), compiled?.match('keep.tmp', false)], [true, false]);
});

test('names that restores leave beside a folder are recognized, and nothing like them', () => {
  assert.ok(isAsideName('.uploads.tidemark-aside-k3x9'));
  assert.ok(isAsideName('.with space\n.tidemark-new-01'));
  for (const name of [
    'uploads.tidemark-aside-k3',
    '.tidemark-aside-1',
    '.a.tidemark-aside-',
    '.a.tidemark-aside-B',
    '.a.tidemark',
  ]) {
    assert.ok(!isAsideName(name), name);
  }
});
