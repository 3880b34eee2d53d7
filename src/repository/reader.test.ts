import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isTidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { ChunkPacks } from '../testing/chunk-packs.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureStore } from '../testing/repository-fixture.ts';
import { extractInPlace } from './extract/in-place.ts';
import { RepositoryReader } from './reader.ts';

const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1');

function storeOf(label: string, count = 30): FixtureStore {
  return new Map(
    Array.from({ length: count }, (_, number) => {
      const content = Buffer.alloc(1 + number * 200, `${label} ${number} `);
      return [`${label} ${String(number).padStart(3, '0')}`, { attributes: bytesOf(`${number}`), content }];
    }),
  );
}

/** All names and contents of the newest base of a store. */
async function readStore(
  reader: RepositoryReader,
  fixture: RepositoryFixture,
  store: string,
): Promise<Map<string, Buffer>> {
  const bases = [...reader.catalogue.bases.values()].filter(({ summary }) => summary.store === store);
  const newest = must(bases.toSorted((left, right) => left.modifiedMs - right.modifiedMs).at(-1), 'a base');
  const base = await reader.base(newest, fixture.run);
  const found = new Map<string, Buffer>();
  for await (const batch of base.entries(fixture.run)) {
    for (const { name, content } of batch) {
      const pieces: Uint8Array[] = [];
      for await (const piece of base.read(must(content, 'a content'), fixture.run)) pieces.push(piece);
      found.set(Buffer.from(name).toString('latin1'), Buffer.concat(pieces));
    }
  }
  return found;
}

function contentsOf(store: FixtureStore): Map<string, Buffer> {
  return new Map([...store].map(([name, { content }]) => [name, Buffer.from(content ?? [])]));
}

test('restores without any index object, and with damaged ones', async () => {
  await using fixture = await RepositoryFixture.create();
  const store = storeOf('a');
  await fixture.backup({ writer: 'a', stores: { one: storeOf('b') } });
  await fixture.backup({ writer: 'a', stores: { one: store } });
  const indexes = fixture.memory.keys().filter((key) => key.startsWith('index/'));
  assert.ok(indexes.length >= 2);
  for (const [at, key] of indexes.entries()) {
    const bytes = Buffer.from(must(fixture.memory.get(key), 'an index object'));
    bytes.writeUInt8(bytes.readUInt8(4 + at * 50) ^ 0x80, 4 + at * 50);
    fixture.memory.put(key, bytes);
  }
  {
    await using reader = await fixture.openReader();
    assert.deepEqual(await readStore(reader, fixture, 'one'), contentsOf(store));
    assert.ok(
      fixture.logged.some((message) => message.startsWith(indexes[0] ?? 'index')),
      'the operator is told',
    );
  }
  for (const key of indexes) fixture.memory.remove(key);
  await using reader = await fixture.openReader();
  assert.deepEqual(await readStore(reader, fixture, 'one'), contentsOf(store));
});

test('an index that this host kept is a hint: damaged, of a repository that went back, or with packs exchanged since', async () => {
  await using fixture = await RepositoryFixture.create();
  const stateFolder = join(fixture.runtime.temporaryFolder, 'state');
  const store = storeOf('a');
  await fixture.backup({ writer: 'a', stores: { one: store } });
  const readWithState = async (): Promise<Map<string, Buffer>> => {
    await using reader = await fixture.openReader({ stateFolder });
    return await readStore(reader, fixture, 'one');
  };
  assert.deepEqual(await readWithState(), contentsOf(store));
  const folder = join(stateFolder, 'index', must(readdirSync(join(stateFolder, 'index'))[0], 'a writer'));
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.run'))) {
    const bytes = readFileSync(join(folder, file));
    writeFileSync(join(folder, file), bytes.fill(0x55, bytes.byteLength >> 2, (bytes.byteLength >> 2) + 200));
  }
  assert.deepEqual(await readWithState(), contentsOf(store));
  await fixture.backup({ writer: 'a', stores: { one: storeOf('c') } });
  assert.deepEqual(await readWithState(), contentsOf(storeOf('c')));
  const packs = fixture.memory.keys().filter((key) => key.startsWith('packs/'));
  const bytes = packs.map((key) => must(fixture.memory.get(key), 'a pack'));
  for (const [at, key] of packs.entries()) {
    fixture.memory.put(key, must(bytes[(at + 1) % bytes.length], 'another pack'));
  }
  assert.deepEqual(await readWithState(), contentsOf(storeOf('c')));
});

test('a chunk that is damaged in one pack is restored from another that has it', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const content = Buffer.alloc(400, 'twice');
  const store: FixtureStore = new Map([['file', { attributes: bytesOf('a'), content }]]);
  await fixture.backup({ writer: 'chunks', stores: { one: store } });
  await packs.store('content', [[content]]);
  const outcomes: string[] = [];
  for (const key of fixture.memory.keys().filter((name) => name.startsWith('packs/'))) {
    const whole = must(fixture.memory.get(key), 'a pack');
    const changed = Buffer.from(whole);
    changed.writeUInt8(changed.readUInt8(120) ^ 1, 120);
    fixture.memory.put(key, changed);
    await using reader = await fixture.openReader();
    try {
      assert.deepEqual(await readStore(reader, fixture, 'one'), contentsOf(store));
      outcomes.push('whole');
    } catch (error) {
      if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
      outcomes.push('damaged');
    }
    fixture.memory.put(key, whole);
  }
  // Its tree is in one pack only.
  assert.deepEqual(outcomes.toSorted(), ['damaged', 'whole', 'whole']);
});

test('what one store of a mark lost leaves its other stores and the other marks', async () => {
  await using fixture = await RepositoryFixture.create();
  const [one, two, older] = [storeOf('one'), storeOf('two'), storeOf('older')];
  await fixture.backup({ writer: 'a', stores: { two: older } });
  const { mark, bases } = await fixture.backup({ writer: 'a', stores: { one, two } });
  const lost = must(bases.get('one'), 'a base').key;
  fixture.memory.remove(lost);
  await using reader = await fixture.openReader({ remembered: fixture.remembered });
  const found = must(
    reader.catalogue.marks.find((record) => record.mark.id === mark.id),
    'the mark',
  );
  assert.deepEqual([found.mark.missing, Object.keys(found.mark.bases)], [['one'], ['one', 'two']]);
  assert.equal(reader.catalogue.bases.has(lost), false);
  assert.deepEqual(await readStore(reader, fixture, 'two'), contentsOf(two));
  assert.ok(reader.catalogue.findings.some(({ message }) => message.includes(mark.id)));
});

test('a mark that says what can’t be true counts for nothing', async () => {
  await using fixture = await RepositoryFixture.create();
  const taken = await fixture.backup({ writer: 'a', stores: { one: storeOf('one') } });
  const base = must(taken.bases.get('one'), 'a base');
  await using writer = await fixture.openWriter({ writer: 'a' });
  const elsewhere = { ...base, cut: { ...base.cut, order: '00000000000000000099' } };
  const forged = fixture.markOf(new Map([['one', elsewhere]]));
  await writer.putMark(forged, fixture.run);
  const unplaced = { ...fixture.markOf(new Map([['one', base]])), id: '20260101-000000-aaaa', positions: {} };
  await writer.putMark(unplaced, fixture.run);
  await using reader = await fixture.openReader();
  assert.deepEqual(
    reader.catalogue.marks.map(({ mark }) => mark.id),
    [taken.mark.id],
  );
  assert.deepEqual(
    new Map(reader.catalogue.broken.map(({ mark, isRefused }) => [mark.id, isRefused])),
    new Map([
      [unplaced.id, true],
      [forged.id, true],
    ]),
  );
});

test('reading takes a reader’s key', async () => {
  await using fixture = await RepositoryFixture.create();
  const { keyring: _, ...access } = fixture.owner;
  const options = { access, remembered: [], stateFolder: undefined, extract: extractInPlace };
  await assert.rejects(RepositoryReader.open(options, fixture.run), /role of a reader/);
});
