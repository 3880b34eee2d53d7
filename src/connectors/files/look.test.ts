import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes } from '../../core/bytes.ts';
import type { ListedEntry } from '../../core/connector.ts';
import type { BaseReader, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { memoryContent } from '../../testing/tree/memory-base.ts';
import { encodeAttributes } from './attributes.ts';
import type { Attributes } from './attributes.ts';
import { compareEntries } from './compare-entries.ts';
import { fileContent } from './file-content.ts';
import { listEntries } from './list.ts';
import { entryMatcher } from './matcher.ts';

const run: Run = { signal: new AbortController().signal };

const PLAIN: Attributes = { type: 'file', mode: 0o644, uid: 1, gid: 1, mtimeNs: 5n, sizeBytes: 3, xattrs: [] };

function entry(attributes: Partial<Attributes>): StoredEntry {
  return { name: Buffer.from('x'), attributes: encodeAttributes({ ...PLAIN, ...attributes }) };
}

/** A base of folders and empty files, in batches of a few, that counts what it hands out. */
function baseOf(paths: readonly string[]): { readonly base: Pick<BaseReader, 'find' | 'entries'>; handed(): number } {
  let count = 0;
  const isFolder = (path: string): boolean => path === '' || paths.some((other) => other.startsWith(`${path}/`));
  const all = ['', ...paths]
    .map((path): StoredEntry => {
      const type = isFolder(path) ? 'folder' : 'file';
      const attributes = encodeAttributes({ ...PLAIN, type, sizeBytes: 0 });
      return { name: Buffer.from(path.replaceAll('/', '\0')), attributes };
    })
    .toSorted((left, right) => compareBytes(left.name, right.name));
  return {
    handed: () => count,
    base: {
      find: async (name) => all.find((item) => compareBytes(item.name, name) === 0),
      async *entries(_run, { prefix = Buffer.of(), from = prefix } = {}) {
        const wanted = all.filter(
          ({ name }) =>
            compareBytes(name, from) >= 0 && compareBytes(name.subarray(0, prefix.byteLength), prefix) === 0,
        );
        for (let at = 0; at < wanted.length; at += 3) {
          const batch = wanted.slice(at, at + 3);
          count += batch.length;
          yield batch;
        }
      },
    },
  };
}

async function list(base: Pick<BaseReader, 'find' | 'entries'>, path: string, recursive: boolean): Promise<string[]> {
  // The listing needs no more of a base than this.
  const batches = await Array.fromAsync(listEntries(base as BaseReader, Buffer.from(path), { recursive }, run));
  return batches.flat().map(({ name }) => Buffer.from(name).toString());
}

function withParents(paths: readonly string[]): readonly string[] {
  const all = new Set<string>();
  for (const path of paths) {
    const parts = path.split('/');
    for (let length = 1; length <= parts.length; length++) all.add(parts.slice(0, length).join('/'));
  }
  return [...all];
}

test('one level is what of all levels has no further slash', async () => {
  const part = fc.constantFrom('a', 'b', 'ab', 'a\x01', 'a-', 'c', 'é');
  const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  await fc.assert(
    fc.asyncProperty(fc.array(path, { maxLength: 30 }), path, async (paths, folder) => {
      const all = withParents([...paths, `${folder}/x`]);
      const { base } = baseOf(all);
      const everything = await list(base, folder, true);
      assert.deepEqual(everything.toSorted(), all.filter((item) => item.startsWith(`${folder}/`)).toSorted());
      const direct = everything.filter((item) => !item.slice(folder.length + 1).includes('/'));
      assert.deepEqual(await list(base, folder, false), direct);
    }),
  );
});

test('listing one level does not read what the folders hold', async () => {
  const inside = Array.from({ length: 1_000 }, (_, at) => `folder/${at}`);
  const { base, handed } = baseOf(['before', 'folder', ...inside, 'zebra']);
  assert.deepEqual(await list(base, '', false), ['before', 'folder', 'zebra']);
  assert.ok(handed() < 20, `${handed()} entries`);
});

test('a pattern means the topmost entries that match it', () => {
  const entries = ['cache', 'cache/a.pdf', 'docs', 'docs/b.pdf', 'docs/old', 'docs/old/c.pdf', 'x.pdf'];
  const found = (...patterns: string[]): string[] => {
    const matches = entryMatcher(patterns);
    const listed = (name: string): ListedEntry => {
      const type = entries.some((other) => other.startsWith(`${name}/`)) ? 'folder' : 'file';
      return { name: Buffer.from(name), type, sizeBytes: 0, mode: 0, mtimeNs: 0n };
    };
    return entries.filter((name) => matches(listed(name)));
  };
  assert.deepEqual(found('*.pdf'), ['cache/a.pdf', 'docs/b.pdf', 'docs/old/c.pdf', 'x.pdf']);
  assert.deepEqual(found('cache/'), ['cache']);
  assert.deepEqual(found('docs', '!docs/old'), ['docs']);
  assert.deepEqual(found('/docs/*'), ['docs/b.pdf', 'docs/old']);
  assert.deepEqual(found('nothing'), []);
  assert.equal(entryMatcher(['*'])({ name: Buffer.of(), type: 'folder', sizeBytes: 0, mode: 0, mtimeNs: 0n }), false);
});

test('entries differ in what is read, in attributes, or in nothing', () => {
  const linked = (inode: bigint, count = 2): StoredEntry => entry({ linkGroup: { mount: 0n, inode, count } });
  const link = (target: string): StoredEntry => entry({ type: 'link', sizeBytes: 0, target: Buffer.from(target) });
  const cases = [
    [entry({}), entry({}), true, 'none'],
    [entry({}), entry({}), false, 'content'],
    [entry({}), entry({ mode: 0o600 }), true, 'attributes'],
    [entry({}), entry({ mtimeNs: 6n }), true, 'attributes'],
    [entry({}), entry({ xattrs: [{ name: Buffer.from('user.a'), value: Buffer.of(1) }] }), true, 'attributes'],
    [entry({}), entry({ sizeBytes: 4 }), true, 'content'],
    [
      entry({ extents: [{ offset: 0, sizeBytes: 1 }] }),
      entry({ extents: [{ offset: 1, sizeBytes: 1 }] }),
      true,
      'content',
    ],
    [link('a'), link('b'), true, 'content'],
    [link('a'), entry({ type: 'folder', sizeBytes: 0 }), true, 'content'],
    [linked(1n), linked(2n), true, 'none'],
    [linked(1n), linked(1n, 3), true, 'attributes'],
  ] as const;
  for (const [left, right, same, expected] of cases) assert.equal(compareEntries(left, right, same), expected);
});

test('an empty file and one that is a hole can be read', async () => {
  const read = async (attributes: Partial<Attributes>, stored?: string): Promise<string | undefined> => {
    const item = {
      ...entry(attributes),
      content: stored === undefined ? undefined : memoryContent(Buffer.from(stored)),
    };
    const base: Pick<BaseReader, 'read'> = {
      async *read() {
        yield Buffer.from(stored ?? '');
      },
    };
    const content = fileContent(item);
    // Reading a file needs no more of a base than this.
    return content && Buffer.concat(await Array.fromAsync(content.read(base as BaseReader, run))).toString();
  };
  assert.equal(await read({ sizeBytes: 0 }), '');
  assert.equal(await read({ sizeBytes: 3, extents: [] }), '\0\0\0');
  assert.equal(await read({ sizeBytes: 4, extents: [{ offset: 1, sizeBytes: 2 }] }, 'ab'), '\0ab\0');
  assert.equal(await read({ sizeBytes: 2 }, 'ab'), 'ab');
  assert.equal(await read({ type: 'folder', sizeBytes: 0 }), undefined);
});
