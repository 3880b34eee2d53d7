import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../core/bytes.ts';
import { isTidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { countingStore } from '../objects/wrappers/counting.ts';
import { ChunkPacks } from '../testing/chunk-packs.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import type { RepositoryAccess } from './access.ts';
import { BlockSource } from './block-source.ts';
import { openChunkIndex } from './index/chunk-index.ts';
import type { ChunkIndex } from './index/chunk-index.ts';

const bytesOf = (text: string, sizeBytes = 3000): Uint8Array => Buffer.alloc(sizeBytes, `${text} `);
const damage = (error: unknown): boolean => isTidemarkError(error, 'REPOSITORY_DAMAGED');

function sourceOf(
  packs: ChunkPacks,
  options: { index?: ChunkIndex; access?: RepositoryAccess; cacheBytes?: number | undefined } = {},
): BlockSource {
  const { keys, id } = must(packs.access.writer, 'a writer');
  const { index = packs.index, access = packs.access, cacheBytes } = options;
  return new BlockSource({ access, credential: id, keys, index, cacheBytes });
}

/** Changes one bit of the sealed block that holds the chunk. */
function damageBlock(fixture: RepositoryFixture, packs: ChunkPacks, pack: string, id: Uint8Array): void {
  const bytes = Buffer.from(must(fixture.memory.get(pack), 'the pack'));
  const places = packs.index.places(id);
  const place = must(
    places.find((item) => pack.endsWith(Buffer.from(packs.index.packId(item.pack)).toString('hex'))),
    'the chunk in that pack',
  );
  bytes.writeUInt8(bytes.readUInt8(place.blockOffset + 9) ^ 1, place.blockOffset + 9);
  fixture.memory.put(pack, bytes);
}

test('every chunk comes back as it was stored, also with a cache that holds nothing', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const texts = Array.from({ length: 30 }, (_, number) => `chunk ${number}`);
  const blocks = [texts.slice(0, 10), texts.slice(10, 12), texts.slice(12)].map((block) =>
    block.map((text) => bytesOf(text)),
  );
  const { ids } = await packs.store('content', blocks);
  for (const cacheBytes of [0, 40_000, undefined]) {
    await using source = sourceOf(packs, { cacheBytes });
    for (const at of [29, 0, 11, 12, 5, 29]) {
      const chunk = await source.chunk(must(ids[at], 'an id'), 'content', fixture.run);
      assert.deepEqual(Buffer.from(chunk), bytesOf(`chunk ${at}`));
    }
  }
});

test('a chunk of one kind is not handed out as the other, nor with another size', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const { ids } = await packs.store('content', [[bytesOf('a')]]);
  await using source = sourceOf(packs);
  const id = must(ids[0], 'an id');
  await assert.rejects(source.chunk(id, 'node', fixture.run), damage);
  await assert.rejects(source.content({ id, sizeBytes: 2999 }, fixture.run), damage);
  assert.equal((await source.content({ id, sizeBytes: 3000 }, fixture.run)).byteLength, 3000);
});

test('a chunk that is damaged in one pack is taken from another', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const chunk = bytesOf('twice');
  const first = await packs.store('content', [[chunk]]);
  const second = await packs.store('content', [[bytesOf('other'), chunk]]);
  const id = must(first.ids[0], 'an id');
  for (const pack of [first.pack, second.pack]) {
    const whole = must(fixture.memory.get(pack), 'the pack');
    damageBlock(fixture, packs, pack, id);
    await using source = sourceOf(packs);
    assert.deepEqual(Buffer.from(await source.chunk(id, 'content', fixture.run)), chunk);
    fixture.memory.put(pack, whole);
  }
  damageBlock(fixture, packs, first.pack, id);
  damageBlock(fixture, packs, second.pack, id);
  await using source = sourceOf(packs);
  await assert.rejects(source.chunk(id, 'content', fixture.run), /packs\/[0-9a-f]+\/[0-9a-f]+ is damaged/);
  assert.deepEqual(fixture.loggedLoud, [], 'the error says it all');
});

test('an index that knows only the damaged copy does not hide the whole one', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const chunk = bytesOf('twice');
  const first = await packs.store('content', [[chunk]]);
  const id = must(first.ids[0], 'an id');
  const place = must(packs.index.find(id), 'a place');
  await packs.store('content', [[chunk]]);
  await using index = await openChunkIndex({ identity: 'other', runtime: fixture.runtime }, fixture.run);
  index.add(id, { ...place, pack: index.addPack(packs.index.packId(place.pack)) });
  damageBlock(fixture, packs, first.pack, id);
  await using source = sourceOf(packs, { index });
  assert.deepEqual(Buffer.from(await source.chunk(id, 'content', fixture.run)), chunk);
});

test('an index that knows nothing, or names places that are not there, costs time only', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const { ids, pack } = await packs.store('content', [[bytesOf('a'), bytesOf('b')], [bytesOf('c')]]);
  const packId = Buffer.from(pack.slice(pack.lastIndexOf('/') + 1), 'hex');
  const place = must(packs.index.find(must(ids[2], 'an id')), 'a place');
  const lies = [
    [],
    [{ ...place, blockOffset: place.blockOffset + 1 }],
    [{ ...place, blockBytes: place.blockBytes - 1 }],
    [{ ...place, offset: 5_000_000 }],
    [
      { ...place, offset: 1 },
      { ...place, sizeBytes: 1 },
    ],
  ];
  for (const wrong of lies) {
    await using index = await openChunkIndex({ identity: 'other', runtime: fixture.runtime }, fixture.run);
    const number = index.addPack(packId);
    for (const id of ids) for (const item of wrong) index.add(id, { ...item, pack: number });
    await using source = sourceOf(packs, { index });
    for (const [at, id] of ids.entries()) {
      const found = await source.chunk(id, 'content', fixture.run);
      assert.deepEqual(Buffer.from(found), bytesOf('abc'.charAt(at)));
    }
  }
});

test('chunks are found in packs whose objects were exchanged', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const first = await packs.store('content', [[bytesOf('a')], [bytesOf('b', 50)]]);
  const second = await packs.store('content', [[bytesOf('c', 99)]]);
  const [one, other] = [first.pack, second.pack].map((key) => must(fixture.memory.get(key), 'a pack'));
  fixture.memory.put(first.pack, must(other, 'a pack'));
  fixture.memory.put(second.pack, must(one, 'a pack'));
  await using source = sourceOf(packs);
  const sizes: number[] = [];
  for (const id of [...first.ids, ...second.ids]) {
    sizes.push((await source.chunk(id, 'content', fixture.run)).byteLength);
  }
  assert.deepEqual(sizes, [3000, 50, 99]);
});

test('a damaged block is not fetched again for each of its chunks, nor the directories for each that is lost', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const chunks = Array.from({ length: 50 }, (_, number) => bytesOf(`chunk ${number}`, 100));
  const { ids, pack } = await packs.store('content', [chunks]);
  damageBlock(fixture, packs, pack, must(ids[0], 'an id'));
  const objects = countingStore(fixture.memory);
  await using source = sourceOf(packs, { access: { ...packs.access, objects } });
  for (const id of ids) await assert.rejects(source.chunk(id, 'content', fixture.run), damage);
  const { reads, lists } = objects.counts();
  assert.ok(reads < 10, `${reads} reads`);
  assert.equal(lists, 1);
});

test('a small pack with one block takes one call, and its directory is read for the others', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const one = await packs.store('content', [[bytesOf('a'), bytesOf('b')]]);
  const two = await packs.store('content', [[bytesOf('c')], [bytesOf('d')]]);
  const [a, b, c, d] = [...one.ids, ...two.ids].map((id) => must(id, 'an id'));
  const callsFor = async (...ids: readonly (Uint8Array | undefined)[]): Promise<number> => {
    const objects = countingStore(fixture.memory);
    await using source = sourceOf(packs, { access: { ...packs.access, objects } });
    for (const id of ids) await source.chunk(must(id, 'an id'), 'content', fixture.run);
    const { reads, stats } = objects.counts();
    return reads + stats;
  };
  assert.equal(await callsFor(a, b), 1);
  assert.equal(await callsFor(c), 1);
  assert.equal(await callsFor(d), 3);
});

test('a chunk that no pack has is named', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  await packs.store('content', [[bytesOf('a')]]);
  await using source = sourceOf(packs);
  const id = packs.idOf('content', bytesOf('b'));
  await assert.rejects(
    source.chunk(id, 'content', fixture.run),
    new RegExp(`chunk ${toHex(id)} is damaged: no pack has it`),
  );
});

test('an object store that is away is not taken for damage', async () => {
  await using fixture = await RepositoryFixture.create();
  await using packs = await ChunkPacks.create(fixture);
  const { ids } = await packs.store('content', [[bytesOf('a')]]);
  const away = async (): Promise<never> => {
    throw new Error('away');
  };
  const objects = { ...countingStore(fixture.memory), read: away };
  await using source = sourceOf(packs, { access: { ...packs.access, objects } });
  const id = must(ids[0], 'an id');
  await assert.rejects(source.chunk(id, 'content', fixture.run), /away/);
});
