import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { format, inspect } from 'node:util';
import { isTidemarkError } from '../core/errors.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { readSecret, Secret } from './secret.ts';
import type { SecretContext } from './secret.ts';

const context: SecretContext = {
  purpose: 'the passphrase',
  environment: { PASSPHRASE: 'from variable\n', EMPTY: '' },
  clock: createVirtualClock(0),
};

test('a secret is hidden wherever it is printed, and revealed only on request', () => {
  const secret = new Secret('hunter2');
  const holder = { secret };
  for (const shown of [
    String(secret),
    JSON.stringify(holder),
    inspect(holder),
    format('%s %o %j', secret, secret, holder),
  ]) {
    assert.ok(!shown.includes('hunter2') && shown.includes('***'), shown);
  }
  assert.deepEqual(Object.keys(secret), []);
  assert.deepEqual(structuredClone(holder), { secret: {} });
  assert.equal(secret.reveal(), 'hunter2');
});

test('no part of any secret shows, and a file gives back what was put in it', async (t) => {
  await using folder = temporaryFolder();
  const path = folder.at('passphrase');
  const texts = fc.string({ unit: 'grapheme', minLength: 4, maxLength: 30 }).filter((text) => !/[\r\n*]/.test(text));
  await fc.assert(
    fc.asyncProperty(texts, fc.constantFrom('', '\n', '\r\n'), async (text, end) => {
      writeFileSync(path, text + end);
      const { secret } = await readSecret({ kind: 'file', path }, context, t);
      assert.equal(secret.reveal(), text);
      const shown = [String(secret), JSON.stringify([secret]), inspect(secret, { showHidden: true, depth: 9 })];
      for (const one of shown) assert.ok(!one.includes(text.slice(0, 4)), one);
    }),
    { numRuns: 50 },
  );
});

test('a file’s secret is its text without the last line’s end', async (t) => {
  await using folder = temporaryFolder();
  const path = folder.at('passphrase');
  const cases = {
    'a b\n': 'a b',
    'a\r\n': 'a',
    ünïcode: 'ünïcode',
    'two\nlines\n\n': 'two\nlines\n',
    ' spaced ': ' spaced ',
  };
  for (const [content, expected] of Object.entries(cases)) {
    writeFileSync(path, content, { mode: 0o600 });
    const { secret, findings } = await readSecret({ kind: 'file', path }, context, t);
    assert.equal(secret.reveal(), expected);
    assert.deepEqual(findings, []);
  }
});

test('a file that every user can read is found', async (t) => {
  await using folder = temporaryFolder();
  const path = folder.at('passphrase');
  writeFileSync(path, 'x');
  chmodSync(path, 0o644);
  const { findings } = await readSecret({ kind: 'file', path }, context, t);
  assert.deepEqual(
    findings.map(({ code, severity }) => ({ code, severity })),
    [{ code: 'SECRET_FILE_READABLE', severity: 'warning' }],
  );
});

test('a file that is not there is told of in plain words', async (t) => {
  await using folder = temporaryFolder();
  const path = folder.at('absent');
  await assert.rejects(readSecret({ kind: 'file', path }, context, t), {
    message: `no secret for the passphrase: the file ${path} can’t be read: it is not there`,
  });
});

test('a variable’s secret is its value as it is', async (t) => {
  const { secret } = await readSecret({ kind: 'variable', name: 'PASSPHRASE' }, context, t);
  assert.equal(secret.reveal(), 'from variable\n');
});

test('a source without a secret is named, and what it holds is not', async (t) => {
  await using folder = temporaryFolder();
  writeFileSync(folder.at('empty'), '\n');
  writeFileSync(folder.at('binary'), Buffer.from([0x68, 0x69, 0xff]));
  writeFileSync(folder.at('long'), Buffer.alloc(100_000, 'x'));
  const references = {
    [folder.at('absent')]: { kind: 'file', path: folder.at('absent') },
    [folder.at('empty')]: { kind: 'file', path: folder.at('empty') },
    [folder.at('binary')]: { kind: 'file', path: folder.at('binary') },
    [folder.at('long')]: { kind: 'file', path: folder.at('long') },
    NOT_SET: { kind: 'variable', name: 'NOT_SET' },
    EMPTY: { kind: 'variable', name: 'EMPTY' },
  } as const;
  for (const [source, reference] of Object.entries(references)) {
    await assert.rejects(readSecret(reference, context, t), (error: Error) => {
      assert.ok(isTidemarkError(error, 'SECRET_MISSING'));
      assert.ok(
        error.message.startsWith('no secret for the passphrase: ') && error.message.includes(source),
        error.message,
      );
      assert.ok(!error.message.includes('hi'), error.message);
      return true;
    });
  }
});
