import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { MUTANTS } from './mutants.ts';

const root = join(import.meta.dirname, '..', '..');
const LIMIT_MS = 10 * 60_000;

type Cases = { readonly pairs: number; readonly fault?: string };

function node(
  args: readonly string[],
  mutant: string | undefined,
): { readonly status: number | null; readonly output: string } {
  const hook = mutant === undefined ? [] : ['--import', './test/damage/mutate.ts'];
  const env = { ...process.env, MUTANT: mutant, NODE_TEST_CONTEXT: undefined };
  const child = spawnSync(process.execPath, [...hook, ...args], {
    cwd: root,
    env,
    encoding: 'utf8',
    timeout: LIMIT_MS,
  });
  return { status: child.status, output: `${child.stdout}${child.stderr}` };
}

function runCases(damages: readonly string[], mutant: string | undefined): Cases {
  const { status, output } = node(['test/damage/some-cases.ts', ...damages], mutant);
  assert.equal(status, 0, output);
  return JSON.parse(output.trim().split('\n').at(-1) ?? '') as Cases;
}

test('without a mutation nothing is wrong', () => {
  const damages = Object.values(MUTANTS).flatMap(({ noticedBy }) =>
    'damages' in noticedBy ? noticedBy.damages.slice(0, 1) : [],
  );
  const { pairs, fault } = runCases(damages, undefined);
  assert.ok(pairs > 5);
  assert.equal(fault, undefined);
});

for (const [name, { noticedBy }] of Object.entries(MUTANTS)) {
  test(`it is noticed when ${name}`, () => {
    if ('damages' in noticedBy) {
      assert.notEqual(runCases(noticedBy.damages, name).fault, undefined);
      return;
    }
    const { status, output } = node(['--test', '--test-isolation=none', noticedBy.tests], name);
    assert.notEqual(status, 0);
    assert.match(output, /AssertionError/, output);
  });
}
