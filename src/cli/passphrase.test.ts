import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readEnvironment } from '../config/environment.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import { askFirstPassphrase, askFurtherPassphrase, askPassphrase } from './passphrase.ts';
import type { PassphraseSources } from './passphrase.ts';
import type { Prompter } from './prompt.ts';

const run = { signal: new AbortController().signal };

function prompter(...answers: readonly string[]): Prompter {
  const left = [...answers];
  return {
    available: answers.length > 0,
    hidden: async () => left.shift() ?? assert.fail('nobody was to be asked'),
    confirm: async () => false,
  };
}

function sources(
  variables: Readonly<Record<string, string>>,
  more: Partial<PassphraseSources> = {},
): PassphraseSources {
  return {
    reference: undefined,
    namedBy: 'repository in tidemark.yaml',
    environment: readEnvironment({ variables, userId: 1000 }),
    prompter: prompter(),
    runtime: {
      clock: createVirtualClock(0),
      random: () => assert.fail('no random numbers'),
      logger: { log: () => undefined },
      temporaryFolder: '/tmp',
    },
    warn: () => undefined,
    ...more,
  };
}

test('the manifest comes before the file, the variable and the terminal', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-passphrase-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'file'), 'from the file\n', { mode: 0o600 });
  const all = {
    TIDEMARK_PASSPHRASE_FILE: join(folder, 'file'),
    TIDEMARK_PASSPHRASE: 'from the variable',
    OWN: 'from the manifest',
  };
  const { TIDEMARK_PASSPHRASE_FILE: _, ...variable } = all;
  const typed = { prompter: prompter('typed') };
  const reference = { kind: 'variable', name: 'OWN' } as const;
  assert.equal((await askPassphrase(sources(all, { ...typed, reference }), run)).reveal(), 'from the manifest');
  assert.equal((await askPassphrase(sources(all, typed), run)).reveal(), 'from the file');
  assert.equal((await askPassphrase(sources(variable, typed), run)).reveal(), 'from the variable');
  assert.equal((await askPassphrase(sources({}, typed), run)).reveal(), 'typed');
});

test('without a source and a terminal the error names every way to give one', async () => {
  await assert.rejects(askPassphrase(sources({}), run), {
    code: 'SECRET_MISSING',
    hint: 'Name its file in the manifest (repository.passphraseFile) or in TIDEMARK_PASSPHRASE_FILE, or set TIDEMARK_PASSPHRASE.',
  });
});

test('a source that is named but holds nothing is an error, and nobody is asked instead', async () => {
  const reference = { kind: 'variable', name: 'ABSENT' } as const;
  await assert.rejects(askPassphrase(sources({}, { reference, prompter: prompter('typed') }), run), {
    code: 'SECRET_MISSING',
    message: /repository in tidemark\.yaml.*ABSENT/,
  });
});

test('a first passphrase is typed twice, and must not be empty', async () => {
  const first = (...answers: readonly string[]): Promise<string> =>
    askFirstPassphrase(sources({}, { prompter: prompter(...answers) }), run).then((secret) => secret.reveal());
  assert.equal(await first('a', 'a'), 'a');
  await assert.rejects(first('a', 'b'), { code: 'USAGE', message: 'the two passphrases are not the same' });
  await assert.rejects(first(''), { code: 'SECRET_MISSING', message: 'the passphrase is empty' });
});

test('a further passphrase never comes from where the present one is', async () => {
  const present = { TIDEMARK_PASSPHRASE: 'the present one' };
  assert.equal(
    (await askFurtherPassphrase(sources(present, { prompter: prompter('new', 'new') }), run)).reveal(),
    'new',
  );
  await assert.rejects(askFurtherPassphrase(sources(present), run), {
    code: 'SECRET_MISSING',
    hint: /--new-passphrase-file/,
  });
});
