import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import type { Moment } from './logged-shop.ts';
import { assertCatalog, assertMoment, kit, tidemark } from './restore-moments.ts';

const golden = fileURLToPath(new URL('v1', import.meta.url));
const MOST_BYTES = 200 * 1024;
const moments = JSON.parse(readFileSync(join(golden, 'marks.json'), 'utf8')) as Readonly<Record<string, Moment>>;

const temporary = temporaryFolder('tidemark-golden');
const repository = temporary.at('repository');
cpSync(join(golden, 'repository'), repository, { recursive: true });
after(() => temporary[Symbol.asyncDispose]());

type Listed = { readonly id: string; readonly name?: string; readonly state: string; readonly tags: readonly string[] };

function marks(): readonly Listed[] {
  const { status, err, json } = tidemark(temporary.path, 'marks', '--repository', repository);
  assert.equal(status, 0, err);
  return (json as { readonly marks: readonly Listed[] }).marks;
}

test('the golden repository of version 1 is small, and is of version 1', () => {
  const files = readdirSync(golden, { recursive: true, encoding: 'utf8' }).map((name) => join(golden, name));
  const bytes = files.reduce((sum, path) => sum + (statSync(path).isFile() ? statSync(path).size : 0), 0);
  assert.ok(bytes < MOST_BYTES, `${bytes} bytes`);
  assert.match(readFileSync(join(golden, 'repository', 'tidemark.json'), 'utf8'), /"version": 1,/);
});

test('all its marks are there but the one that was forgotten', () => {
  const shown = marks();
  assert.deepEqual(
    shown.map(({ name, state }) => `${name ?? 'no name'} ${state}`),
    ['bases', 'inline', 'apart', 'fuzzy', 'floor', 'without-floor', 'no name', 'partial', 'newest'].map(
      (name) => `${name} ${name === 'partial' ? 'partial' : 'complete'}`,
    ),
  );
  assert.equal(Object.keys(moments).length, shown.length + 1);
  const listed = kit('list', repository);
  assert.deepEqual([listed.status, listed.err], [0, '']);
  for (const { id, state } of shown) assert.match(listed.out, new RegExp(`\n${id} .* ${state}, `));
  assert.match(listed.out, /not shown: 1 marks that retention gave up/);
});

for (const { id, name = 'no name', state } of marks()) {
  const moment = moments[id] ?? assert.fail(`nothing is known of ${id}`);
  const stores = state === 'partial' ? ['catalog'] : [];
  const assertRestored = (out: string): void => {
    if (state === 'partial') assertCatalog(out, moment.catalog, name);
    else assertMoment(out, moment, name);
  };

  test(`Tidemark restores its mark ${name} exactly`, () => {
    const out = temporary.at(`product-${id}`);
    const args = ['restore', ...stores, '--repository', repository, '--to', id, '--into', out, '--yes'];
    const { status, err } = tidemark(temporary.path, ...args);
    assert.equal(status, 0, err);
    assertRestored(out);
  });

  test(`the kit restores its mark ${name} exactly`, () => {
    const out = temporary.at(`kit-${id}`);
    const ended = kit('restore', repository, id, out, ...stores);
    assert.equal(ended.status, 0, ended.err);
    assertRestored(out);
  });
}

test('Tidemark and the kit find every byte of it whole', () => {
  const { status, err, json } = tidemark(temporary.path, 'verify', '--data', '--repository', repository);
  assert.equal(status, 0, err);
  const { checked, damage } = json as { readonly checked: Readonly<Record<string, number>>; readonly damage: unknown };
  assert.deepEqual(damage, []);
  assert.deepEqual([checked['bases'], checked['segments']], [4, 8]);
  const verified = kit('verify', repository);
  assert.deepEqual([verified.status, verified.err], [0, '']);
  assert.match(verified.out, /everything is whole/);
});
