import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { BaseReader, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { memoryReader } from '../../testing/tree/memory-base.ts';
import { encodeAttributes } from './attributes.ts';
import { byteText } from './byte-text.ts';
import { compilePatterns } from './patterns.ts';
import { chooseFromBase } from './planned.ts';

const run: Run = { signal: new AbortController().signal };
const common = { mode: 0o755, uid: 0, gid: 0, mtimeNs: 0n, sizeBytes: 0, xattrs: [] };

/** A tree of these paths and the folders that they need. */
function treeOf(paths: readonly string[]): readonly StoredEntry[] {
  const files = new Set(paths.filter((path) => !paths.some((other) => other.startsWith(`${path}/`))));
  const names = new Set(['']);
  for (const path of paths) {
    for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) names.add(path.slice(0, end));
    names.add(path);
  }
  const sorted = [...names].map((name) => name.replaceAll('/', '\0')).toSorted();
  return sorted.map((name) => {
    const type = files.has(name.replaceAll('\0', '/')) ? ('file' as const) : ('folder' as const);
    return { name: Buffer.from(name, 'latin1'), attributes: encodeAttributes({ ...common, type }) };
  });
}

async function chosen(base: BaseReader, patterns: readonly string[], narrowed: boolean): Promise<readonly string[]> {
  const compiled = must(compilePatterns(patterns), 'patterns');
  const only = narrowed ? compiled : { match: compiled.match, roots: undefined };
  const names: string[] = [];
  for await (const { planned, leading } of chooseFromBase(base, only, run)) {
    names.push(`${byteText(planned.entry.name).replaceAll('\0', '/')}${leading ? ' leads' : ''}`);
  }
  return names;
}

test('looking only where the patterns lead finds the same as looking everywhere', async () => {
  const component = fc.constantFrom('a', 'b', 'a b', 'ab', 'a-', '\xff', 'c.txt');
  const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const pattern = fc.oneof(
    path.map((text) => `/${text}`),
    path,
    path.map((text) => `${text}/`),
    path.map((text) => `/${text}/*`),
    path.map((text) => `!/${text}`),
    fc.constantFrom('/a/**/b', '*.txt', '/[ab]/a', '/a/b\\ c', ''),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(path, { maxLength: 25 }),
      fc.array(pattern, { minLength: 1, maxLength: 4 }),
      async (paths, patterns) => {
        const base = memoryReader(treeOf(paths));
        assert.deepEqual(await chosen(base, patterns, true), await chosen(base, patterns, false));
      },
    ),
    { numRuns: 300 },
  );
});

test('a part is found although the tree is damaged elsewhere', async () => {
  const whole = memoryReader(treeOf(['a/x', 'docs/api/one', 'docs/api/two', 'docs/other', 'z']));
  const lost = (): never => {
    throw new TidemarkError('REPOSITORY_DAMAGED', 'a node is lost');
  };
  const damaged: BaseReader = {
    ...whole,
    entries: (inner, range) =>
      range?.prefix?.byteLength === 0 || range?.prefix === undefined ? lost() : whole.entries(inner, range),
  };
  const expected = [' leads', 'docs leads', 'docs/api', 'docs/api/one', 'docs/api/two'];
  assert.deepEqual(await chosen(damaged, ['/docs/api'], true), expected);
  assert.deepEqual(await chosen(damaged, ['docs/api/', '/docs/other', '!docs/api/two'], true), [
    ...expected.slice(0, 4),
    'docs/api/two',
    'docs/other',
  ]);
  await assert.rejects(chosen(damaged, ['api'], true), /a node is lost/);
});
