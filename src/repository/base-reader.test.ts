import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes } from '../core/bytes.ts';
import { isTidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { BaseReader, StoredEntry } from '../core/restorer.ts';
import { createSeededRandom } from '../flow/random.ts';
import type { SeededRandom } from '../flow/random.ts';
import { ChunkPacks } from '../testing/chunk-packs.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureStore } from '../testing/repository-fixture.ts';
import { RepositoryBaseReader } from './base-reader.ts';
import { BlockSource } from './block-source.ts';
import { extractInPlace } from './extract/in-place.ts';
import { NodeBuilder, writeList } from './format/node.ts';
import type { RepositoryReader } from './reader.ts';

const damage = (error: unknown): boolean => isTidemarkError(error, 'REPOSITORY_DAMAGED');
const bytesOf = (name: string): Buffer => Buffer.from(name, 'latin1');
const textOf = (name: Uint8Array): string => Buffer.from(name).toString('latin1');

/** Names of few bytes, so that many share beginnings and some are the beginning of others. */
function randomName(random: SeededRandom): string {
  const alphabet = ['a', 'b', '\0', '/', '\xff', '\x80', 'c'];
  return Array.from({ length: random.integer(9) }, () => random.pick(alphabet)).join('');
}

function randomStore(random: SeededRandom, count: number): FixtureStore {
  return new Map(
    Array.from({ length: count }, () => {
      const attributes = random.bytes(random.integer(300));
      const content = random.chance(0.02) ? random.bytes(random.integer(20_000)) : undefined;
      return [randomName(random), { attributes, content }];
    }),
  );
}

async function onlyBase(reader: RepositoryReader, fixture: RepositoryFixture): Promise<BaseReader> {
  const newest = [...reader.catalogue.bases.values()]
    .toSorted((left, right) => left.modifiedMs - right.modifiedMs)
    .at(-1);
  return reader.base(must(newest, 'a base'), fixture.run);
}

async function namesOf(batches: AsyncIterable<readonly StoredEntry[]>): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const batch of batches) names.push(...batch.map(({ name }) => textOf(name)));
  return names;
}

async function contentOf(
  base: BaseReader,
  entry: StoredEntry,
  fixture: RepositoryFixture,
): Promise<Buffer | undefined> {
  if (entry.content === undefined) return undefined;
  const pieces: Uint8Array[] = [];
  for await (const piece of base.read(entry.content, fixture.run)) pieces.push(piece);
  return Buffer.concat(pieces);
}

test('thousands of entries come back in order, as they were, in every range and by every name', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      const random = createSeededRandom(seed);
      await using fixture = await RepositoryFixture.create();
      const store = randomStore(random, 1 + random.integer(5000));
      const sorted = [...store.keys()].map(bytesOf).toSorted(compareBytes).map(textOf);
      await fixture.backup({ writer: 'a', stores: { one: store } });
      await using reader = await fixture.openReader();
      const base = await onlyBase(reader, fixture);
      assert.equal(base.entryCount, sorted.length);
      assert.deepEqual(await namesOf(base.entries(fixture.run)), sorted);
      for (let round = 0; round < 60; round++) {
        const [prefix, from, name] = [randomName(random), randomName(random), randomName(random)];
        const expected = sorted.filter((item) => item.startsWith(prefix) && item >= from);
        assert.deepEqual(
          await namesOf(base.entries(fixture.run, { prefix: bytesOf(prefix), from: bytesOf(from) })),
          expected,
        );
        const entry = await base.find(bytesOf(name), fixture.run);
        const original = store.get(name);
        assert.deepEqual(entry && Buffer.from(entry.attributes), original && Buffer.from(original.attributes));
        if (entry === undefined || original === undefined) continue;
        assert.deepEqual(await contentOf(base, entry, fixture), original.content && Buffer.from(original.content));
      }
    }),
    { numRuns: 6 },
  );
});

test('contents come back whole whatever their size: none, empty, and with lists of lists', async () => {
  await using fixture = await RepositoryFixture.create();
  const random = createSeededRandom('contents');
  const sizes = [undefined, 0, 1, 70_000, 900_000];
  const store = new Map(
    sizes.map((size, number) => [
      `file ${number}`,
      { attributes: bytesOf('a'), content: size === undefined ? undefined : random.bytes(size) },
    ]),
  );
  await fixture.backup({ writer: 'a', stores: { one: store } });
  await using reader = await fixture.openReader();
  const base = await onlyBase(reader, fixture);
  assert.equal(base.contentBytes, 970_001);
  for (const [name, { content }] of store) {
    const entry = must(await base.find(bytesOf(name), fixture.run), name);
    assert.equal(entry.content?.sizeBytes, content?.byteLength);
    assert.deepEqual(await contentOf(base, entry, fixture), content && Buffer.from(content));
  }
});

/** Names from `first` on, with so much in them that they fill leaves of their own. */
function section(first: string, random: SeededRandom): FixtureStore {
  const names = Array.from({ length: 300 }, (_, number) => `${first}${String(number).padStart(3, '0')}`);
  return new Map(names.map((name) => [name, { attributes: random.bytes(1000) }]));
}

test('a damaged node fails what needs it, by the names that are lost, and nothing else', async () => {
  await using fixture = await RepositoryFixture.create();
  const random = createSeededRandom('sections');
  const [a, m, z] = [section('a', random), section('m', random), section('z', random)];
  await fixture.backup({ writer: 'a', stores: { one: new Map([...m, ...z]) } });
  const [pack = ''] = fixture.memory.keys().filter((key) => key.startsWith('packs/'));
  await fixture.backup({ writer: 'a', stores: { one: new Map([...a, ...m, ...z]) } });
  const bytes = Buffer.from(must(fixture.memory.get(pack), 'the nodes of the first base'));
  bytes.writeUInt8(bytes.readUInt8(5000) ^ 4, 5000);
  fixture.memory.put(pack, bytes);
  await using reader = await fixture.openReader();
  const base = await onlyBase(reader, fixture);
  let lost = '';
  await assert.rejects(namesOf(base.entries(fixture.run)), (error) => {
    assert.ok(isTidemarkError(error, 'REPOSITORY_DAMAGED'));
    assert.match(
      error.message,
      /^\d+ entries, from [mz]\d+ (to before [mz]\d+|to the end), can’t be read: packs\/.* is damaged/,
    );
    lost = must(/from (\w+)/.exec(error.message)?.[1], 'the first name that is lost');
    return true;
  });
  assert.deepEqual(
    await namesOf(base.entries(fixture.run, { prefix: bytesOf('a0') })),
    [...a.keys()].filter((name) => name.startsWith('a0')),
  );
  assert.equal(textOf(must(await base.find(bytesOf('a017'), fixture.run), 'an entry').name), 'a017');
  assert.equal(await base.find(bytesOf('a017x'), fixture.run), undefined);
  await assert.rejects(base.find(bytesOf(lost), fixture.run), damage);
});

test('a tree whose parts do not belong where they are is refused, although its writer signed it', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const leafOf = (...names: string[]): Uint8Array => {
    const builder = new NodeBuilder(0);
    for (const name of names) builder.leaf({ name: bytesOf(name), attributes: bytesOf('x') });
    return builder.take();
  };
  const leaves = [leafOf('a', 'b'), leafOf('c', 'd'), leafOf('b', 'x'), leafOf()];
  const { ids } = await packs.store('node', [leaves]);
  const innerOf = (level: number, items: readonly [string, number][]): Uint8Array => {
    const builder = new NodeBuilder(level);
    for (const [name, at] of items) {
      builder.inner({ name: bytesOf(name), id: must(ids[at], 'a leaf'), entryCount: 2, contentBytes: 0 });
    }
    return builder.take();
  };
  const { keys, id: credential } = must(packs.access.writer, 'a writer');
  await using source = new BlockSource({ access: packs.access, credential, keys, index: packs.index });
  const walk = async (level: number, items: readonly [string, number][]): Promise<readonly string[]> => {
    const {
      ids: [root],
    } = await packs.store('node', [[innerOf(level, items)]]);
    const base = new RepositoryBaseReader({
      source,
      root: { root: must(root, 'a root'), level, entries: 4, bytes: 0 },
      extract: extractInPlace,
    });
    return namesOf(base.entries(fixture.run));
  };
  assert.deepEqual(
    await walk(1, [
      ['a', 0],
      ['c', 1],
    ]),
    ['a', 'b', 'c', 'd'],
  );
  await assert.rejects(
    walk(1, [
      ['a', 0],
      ['b', 1],
    ]),
    /its names are not the ones expected/,
  );
  await assert.rejects(
    walk(1, [
      ['b', 2],
      ['c', 1],
    ]),
    /its names are not the ones expected/,
  );
  await assert.rejects(
    walk(1, [
      ['a', 0],
      ['c', 3],
    ]),
    /its names are not the ones expected/,
  );
  await assert.rejects(
    walk(2, [
      ['a', 0],
      ['c', 1],
    ]),
    /its level is not the one expected/,
  );
});

test('a list that stands for another number of bytes than its parts is refused', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const {
    ids: [chunk],
  } = await packs.store('content', [[Buffer.alloc(100, 'c')]]);
  const list = writeList(0, [
    { id: must(chunk, 'a chunk'), sizeBytes: 100 },
    { id: must(chunk, 'a chunk'), sizeBytes: 100 },
  ]);
  const {
    ids: [listId],
  } = await packs.store('node', [[list]]);
  const { keys, id: credential } = must(packs.access.writer, 'a writer');
  await using source = new BlockSource({ access: packs.access, credential, keys, index: packs.index });
  const read = async (sizeBytes: number): Promise<Buffer | undefined> => {
    const builder = new NodeBuilder(0);
    builder.leaf({
      name: bytesOf('f'),
      attributes: bytesOf(''),
      content: { kind: 'list', depth: 0, sizeBytes, id: must(listId, 'a list') },
    });
    const {
      ids: [root],
    } = await packs.store('node', [[builder.take()]]);
    const base = new RepositoryBaseReader({
      source,
      root: { root: must(root, 'a root'), level: 0, entries: 1, bytes: sizeBytes },
      extract: extractInPlace,
    });
    return contentOf(base, must(await base.find(bytesOf('f'), fixture.run), 'an entry'), fixture);
  };
  assert.equal((await read(200))?.toString(), 'c'.repeat(200));
  await assert.rejects(read(201), /its parts do not add up to its size/);
});
