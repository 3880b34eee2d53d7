import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MUTANTS } from './damage/mutants.ts';

test('each check that a mutant switches off is there, once', () => {
  for (const [name, { file, from }] of Object.entries(MUTANTS)) {
    const source = readFileSync(join(import.meta.dirname, '..', file), 'utf8');
    assert.equal(source.split(from).length - 1, 1, `${name}: ${file} has to have once: ${from}`);
  }
});
