import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { must } from '../core/must.ts';
import type { StoredEntry } from '../core/restorer.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureEntry, FixtureStore } from '../testing/repository-fixture.ts';
import { diffBases, walkBases } from './compare-bases.ts';
import type { ComparedBase } from './compare-bases.ts';
import type { RepositoryReader } from './reader.ts';

const STATES: readonly FixtureEntry[] = [
  { attributes: Buffer.from('a') },
  { attributes: Buffer.from('b') },
  { attributes: Buffer.from('a'), content: Buffer.alloc(9_000, 'some text ') },
  { attributes: Buffer.from('a'), content: Buffer.from('short') },
  { attributes: Buffer.from('b'), content: Buffer.from('short') },
];

/** Long attributes, so that a few hundred entries make a tree of several levels. */
const FILLER = Buffer.alloc(60, 'x');

function stateOf(index: number): FixtureEntry {
  const { attributes, content } = must(STATES[index], 'a state of that number');
  return { attributes: Buffer.concat([attributes, FILLER]), content };
}

type Written = { readonly store: FixtureStore; readonly states: ReadonlyMap<string, number> };

function written(states: ReadonlyMap<string, number>): Written {
  return { states, store: new Map([...states].map(([name, index]) => [name, stateOf(index)])) };
}

function numbered(count: number): Written {
  return written(new Map(Array.from({ length: count }, (_, at) => [`entry-${String(at).padStart(6, '0')}`, at % 5])));
}

function edited({ states }: Written, edits: Readonly<Record<string, number | undefined>>): Written {
  const next = new Map(states);
  for (const [name, index] of Object.entries(edits)) {
    if (index === undefined) next.delete(name);
    else next.set(name, index);
  }
  return written(next);
}

async function storeAll(
  fixture: RepositoryFixture,
  versions: readonly Written[],
  writerOf: (version: number) => string = () => 'writer',
): Promise<readonly string[]> {
  const keys: string[] = [];
  for (const [version, { store }] of versions.entries()) {
    const { bases } = await fixture.backup({ writer: writerOf(version), stores: { store } });
    keys.push(must(bases.get('store'), 'the base just written').key);
  }
  return keys;
}

async function openAll(reader: RepositoryReader, keys: readonly string[], run: RepositoryFixture['run']) {
  const bases: ComparedBase[] = [];
  for (const key of keys) {
    const record = must(reader.catalogue.bases.get(key), 'a base of that key');
    bases.push({ reader: await reader.base(record, run), credential: record.credential });
  }
  return bases;
}

function describe(entry: StoredEntry | undefined): string {
  return entry === undefined
    ? '-'
    : `${Buffer.from(entry.attributes).toString()} ${entry.content?.sizeBytes ?? 'none'}`;
}

const DESCRIBED = STATES.map((_, index) => {
  const { attributes, content } = stateOf(index);
  return describe({ name: Buffer.of(), attributes, content: content && { sizeBytes: content.byteLength } });
});

async function walk(bases: readonly ComparedBase[], skipCommon: boolean, run: RepositoryFixture['run']) {
  const found: [string, [string, readonly number[]][]][] = [];
  for await (const batch of walkBases(bases, { skipCommon }, run)) {
    for (const { name, states } of batch) {
      found.push([Buffer.from(name).toString(), states.map(({ entry, bases: held }) => [describe(entry), held])]);
    }
  }
  return found;
}

function expectedWalk(versions: readonly Written[], skipCommon: boolean) {
  const names = [...new Set(versions.flatMap(({ states }) => [...states.keys()]))].toSorted();
  return names.flatMap((name): [string, [string, readonly number[]][]][] => {
    const states = new Map<string, number[]>();
    for (const [version, { states: held }] of versions.entries()) {
      const index = held.get(name);
      if (index === undefined) continue;
      const described = must(DESCRIBED[index], 'a described state');
      states.set(described, [...(states.get(described) ?? []), version]);
    }
    const common = states.size === 1 && [...states.values()].every((held) => held.length === versions.length);
    return skipCommon && common ? [] : [[name, sorted([...states])]];
  });
}

function sorted(states: [string, readonly number[]][]): [string, readonly number[]][] {
  return states.toSorted(([, left], [, right]) => (left[0] ?? 0) - (right[0] ?? 0));
}

test('walks any bases as if each name were looked up in each of them', async () => {
  const edit = fc.dictionary(
    fc.integer({ min: 0, max: 399 }).map((at) => `entry-${String(at).padStart(6, '0')}`),
    fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined }),
    { maxKeys: 6 },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), fc.boolean(), async (edits, skipCommon) => {
      await using fixture = await RepositoryFixture.create();
      const versions = [numbered(400)];
      for (const changes of edits) versions.push(edited(must(versions.at(-1), 'a version'), changes));
      const keys = await storeAll(fixture, versions);
      await using reader = await fixture.openReader();
      const found = await walk(await openAll(reader, keys, fixture.run), skipCommon, fixture.run);
      assert.deepEqual(
        found.map(([name, states]) => [name, sorted(states)]),
        expectedWalk(versions, skipCommon),
      );
    }),
    { numRuns: 8 },
  );
});

test('opens each shared node once, and those that all share not at all', async () => {
  await using fixture = await RepositoryFixture.create();
  const first = numbered(3_000);
  const second = edited(first, { 'entry-001500': 1 });
  const keys = await storeAll(fixture, [first, second]);
  await using reader = await fixture.openReader();
  const opens = async (skipCommon: boolean): Promise<number> => {
    const bases = await openAll(reader, keys, fixture.run);
    let count = 0;
    for (const base of bases) {
      const open = base.reader.open.bind(base.reader);
      base.reader.open = (place, run) => {
        count += 1;
        return open(place, run);
      };
    }
    await walk(bases, skipCommon, fixture.run);
    return count;
  };
  const alone = await openAll(reader, keys.slice(0, 1), fixture.run);
  const nodes = must(alone[0], 'a base').reader.root.level;
  assert.ok(nodes >= 1, 'the tree has several levels');
  const [all, different] = [await opens(false), await opens(true)];
  assert.equal(different, 2 * (nodes + 1));
  assert.ok(all > different && all < different * 20, `${all} nodes`);
});

test('a difference says what is on each side and whether the bytes are the same', async () => {
  await using fixture = await RepositoryFixture.create();
  const before = written(
    new Map([
      ['changed', 2],
      ['gone', 0],
      ['same', 3],
      ['touched', 3],
    ]),
  );
  const after = written(
    new Map([
      ['added', 1],
      ['changed', 3],
      ['same', 3],
      ['touched', 4],
    ]),
  );
  for (const writers of [
    ['writer', 'writer'],
    ['writer', 'another'],
  ]) {
    const keys = await storeAll(fixture, [before, after], (version) => must(writers[version], 'a writer'));
    await using reader = await fixture.openReader();
    const [left, right] = await openAll(reader, keys, fixture.run);
    const found: unknown[] = [];
    for await (const batch of diffBases(must(left, 'a base'), must(right, 'a base'), fixture.run)) {
      for (const item of batch) {
        found.push([Buffer.from(item.name).toString(), describe(item.before), describe(item.after), item.sameContent]);
      }
    }
    assert.deepEqual(
      found,
      [
        ['added', '-', DESCRIBED[1], false],
        ['changed', DESCRIBED[2], DESCRIBED[3], false],
        ['gone', DESCRIBED[0], '-', false],
        ['touched', DESCRIBED[3], DESCRIBED[4], true],
      ],
      writers.join(' '),
    );
  }
});
