import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skippedFile } from './skipped.ts';

test('what a server leaves out is known in any language, and its own data from other files', () => {
  const told = (message: string, routine = 'sendDir'): readonly unknown[] | undefined => {
    const skipped = skippedFile(message, routine);
    return skipped && [Buffer.from(skipped.name).toString(), skipped.incomplete];
  };
  assert.deepEqual(told('skipping special file "./base/5/16385.1"'), ['base/5/16385.1', true]);
  assert.deepEqual(told('Spezialdatei »./pg_xact« wird übersprungen'), ['pg_xact', true]);
  assert.deepEqual(told('skipping special file "./pg_hba.conf"'), ['pg_hba.conf', false]);
  assert.deepEqual(told('skipping special file "./a "b" c"'), ['a "b" c', false]);
  assert.deepEqual(told('something else'), ['something else', false]);
  assert.equal(told('skipping special file "./.s.PGSQL.5432"'), undefined);
  assert.equal(told('checksum verification failed in file "./base/1/2"', 'sendFile'), undefined);
});
