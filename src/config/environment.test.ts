import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEnvironment } from './environment.ts';

const read = (variables: Readonly<Record<string, string>>): ReturnType<typeof readEnvironment> =>
  readEnvironment({ variables, userId: 1000 });

test('an empty variable counts as absent', () => {
  const { passphrase, passphraseFile, temporaryFolder, colour } = read({
    TIDEMARK_PASSPHRASE: '',
    TIDEMARK_PASSPHRASE_FILE: '',
    TMPDIR: '',
    NO_COLOR: '',
  });
  assert.deepEqual([passphrase, passphraseFile, temporaryFolder, colour], [undefined, undefined, '/tmp', 'auto']);
});

test('what is set is taken; a relative temporary folder is not', () => {
  const set = read({ TIDEMARK_PASSPHRASE: 'a', TIDEMARK_PASSPHRASE_FILE: 'b', TMPDIR: '/scratch' });
  assert.deepEqual([set.passphrase, set.passphraseFile, set.temporaryFolder, set.userId], ['a', 'b', '/scratch', 1000]);
  assert.equal(read({ TMPDIR: 'scratch' }).temporaryFolder, '/tmp');
});

test('colours follow what the variables ask for, and a refusal wins', () => {
  assert.equal(read({ FORCE_COLOR: '1' }).colour, 'always');
  assert.equal(read({ FORCE_COLOR: '0' }).colour, 'auto');
  assert.equal(read({ FORCE_COLOR: '1', NO_COLOR: '1' }).colour, 'never');
  assert.equal(read({ TERM: 'dumb' }).colour, 'never');
});

test('drawings are in ASCII where the locale or the console has nothing else', () => {
  assert.equal(read({}).unicode, true);
  assert.equal(read({ LANG: 'de_DE.UTF-8' }).unicode, true);
  assert.equal(read({ LANG: 'de_DE.UTF-8', LC_ALL: 'C' }).unicode, false);
  assert.equal(read({ LC_ALL: '', LC_CTYPE: 'C.utf8', LANG: 'C' }).unicode, true);
  assert.equal(read({ LANG: 'en_GB.UTF-8', TERM: 'linux' }).unicode, false);
});
