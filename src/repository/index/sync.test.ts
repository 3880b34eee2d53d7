import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { must } from '../../core/must.ts';
import { idOf, IndexFixture, testRun } from '../../testing/chunk-index-fixture.ts';
import { IndexRepository } from '../../testing/index-repository.ts';
import type { ChunkIndex } from './chunk-index.ts';
import { toHex } from '../../core/bytes.ts';
import { openIndexObject, PACK_ID_BYTES } from '../format/index-object.ts';
import { packKey } from '../format/names.ts';
import { openDirectory } from '../format/pack.ts';
import type { DirectoryBlock } from '../format/pack.ts';

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${prefix} ${at}`);

/** Where the index has the chunk: the keys of packs. */
function packsOf(index: ChunkIndex, repository: IndexRepository, chunk: string): readonly string[] {
  return index.places(idOf(chunk)).map(({ pack }) => packKey(repository.credential, index.packId(pack)));
}

test('a fresh host reads index objects and nothing of the packs, and the second time nothing at all', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  {
    await using writer = await fixture.openTemporary();
    for (const pack of ['a', 'b', 'c']) await repository.putPack(names(pack, 5), writer);
    assert.deepEqual(await repository.publish(writer), {
      written: [must(repository.keys('index')[0]?.slice(-41), 'a key')],
      replaced: 0,
    });
    for (const name of names('a', 5)) assert.ok(writer.findPack(idOf(name)) >= 0);
  }
  await using index = await fixture.open();
  assert.deepEqual(await repository.sync(index), { findings: [], objectsRead: 1, packsRead: 0, packs: 3 });
  for (const pack of ['a', 'b', 'c']) {
    for (const name of names(pack, 5)) assert.equal(packsOf(index, repository, name).length, 1, name);
  }
  const { reads } = repository.objects.counts();
  assert.deepEqual(await repository.sync(index), { findings: [], objectsRead: 0, packsRead: 0, packs: 3 });
  await index[Symbol.asyncDispose]();
  await using again = await fixture.open();
  assert.deepEqual(await repository.sync(again), { findings: [], objectsRead: 0, packsRead: 0, packs: 3 });
  assert.equal(repository.objects.counts().reads, reads);
});

test('places from an index object and from the directory of the pack are the same', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await using writer = await fixture.openTemporary();
  await repository.putPack(names('a', 7), writer);
  const withoutObjects = await fixture.openTemporary();
  assert.equal((await repository.sync(withoutObjects)).packsRead, 1);
  await repository.publish(writer);
  const withObjects = await fixture.openTemporary();
  assert.equal((await repository.sync(withObjects)).packsRead, 0);
  for (const name of names('a', 7)) {
    assert.deepEqual(withoutObjects.find(idOf(name)), writer.find(idOf(name)));
    assert.deepEqual(withObjects.find(idOf(name)), writer.find(idOf(name)));
  }
  await withObjects[Symbol.asyncDispose]();
  await withoutObjects[Symbol.asyncDispose]();
});

test('a damaged index object is a finding, and its chunks are read from the packs', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await using writer = await fixture.openTemporary();
  for (const pack of ['a', 'b']) await repository.putPack(names(pack, 3), writer);
  await repository.publish(writer);
  const [key] = repository.keys('index');
  const bytes = must(repository.memory.get(must(key, 'a key')), 'an object');
  const damages = [
    bytes.subarray(0, 10),
    Buffer.from(bytes).fill(0, 60, 61),
    Buffer.concat([bytes, Buffer.alloc(1)]),
    new Uint8Array(0),
  ];
  for (const damage of damages) {
    repository.memory.put(must(key, 'a key'), damage);
    await using index = await fixture.openTemporary();
    const report = await repository.sync(index);
    assert.deepEqual(
      report.findings.map(({ code, severity }) => [code, severity]),
      [['index', 'warning']],
    );
    assert.ok(report.findings[0]?.message.includes(must(key, 'a key')));
    assert.equal(report.packsRead, 2);
    for (const name of [...names('a', 3), ...names('b', 3)]) assert.equal(packsOf(index, repository, name).length, 1);
  }
});

test('a pack whose directory is damaged is a finding at each sync, and the others count', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  const bad = await repository.putPack(names('bad', 3));
  await repository.putPack(names('good', 3));
  const bytes = must(repository.memory.get(bad), 'a pack');
  await using index = await fixture.openTemporary();
  for (const damage of [
    bytes.subarray(0, 100),
    Buffer.from(bytes).fill(0, bytes.byteLength - 20, bytes.byteLength - 19),
    bytes.subarray(0, -1),
    Buffer.from(bytes).fill(0xff, bytes.byteLength - 8, bytes.byteLength - 4),
  ]) {
    repository.memory.put(bad, damage);
    const report = await repository.sync(index);
    assert.deepEqual(
      report.findings.map(({ code, severity }) => [code, severity]),
      [['pack', 'error']],
    );
    for (const name of names('bad', 3)) assert.deepEqual(packsOf(index, repository, name), []);
    for (const name of names('good', 3)) assert.equal(packsOf(index, repository, name).length, 1);
  }
  repository.memory.put(bad, bytes);
  assert.deepEqual(await repository.sync(index), { findings: [], objectsRead: 0, packsRead: 1, packs: 2 });
  for (const name of names('bad', 3)) assert.equal(packsOf(index, repository, name).length, 1);
});

test('a pack that is gone does not count, and counts when it is back', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await using index = await fixture.openTemporary();
  const first = await repository.putPack(['x', 'y'], index);
  const second = await repository.putPack(['y', 'z'], index);
  await repository.publish(index);
  const bytes = must(repository.memory.get(first), 'a pack');
  repository.memory.remove(first);
  await repository.sync(index);
  assert.deepEqual(
    ['x', 'y', 'z'].map((chunk) => packsOf(index, repository, chunk)),
    [[], [second], [second]],
  );
  repository.memory.put(first, bytes);
  await repository.sync(index);
  assert.deepEqual(packsOf(index, repository, 'x'), [first]);
  assert.deepEqual(packsOf(index, repository, 'y').toSorted(), [first, second].toSorted());
});

test('what one session left unpublished the next one publishes, also what it read from directories', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  {
    await using crashed = await fixture.open();
    await repository.putPack(names('flushed', 3), crashed);
    await crashed.flushAll(testRun);
    await repository.putPack(names('lost', 3), crashed);
  }
  {
    await using next = await fixture.open();
    assert.equal((await repository.sync(next)).packsRead, 1);
    assert.equal(next.statistics.unpublishedRecords, 6);
    await repository.publish(next);
    assert.equal(next.statistics.unpublishedRecords, 0);
    assert.deepEqual((await repository.publish(next)).written, []);
  }
  await using fresh = await fixture.openTemporary();
  assert.equal((await repository.sync(fresh)).packsRead, 0);
  for (const name of [...names('flushed', 3), ...names('lost', 3)]) {
    assert.equal(packsOf(fresh, repository, name).length, 1);
  }
});

test('a crash between putting an index object and noting it costs one download', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await using index = await fixture.open();
  await repository.putPack(names('a', 3), index);
  await index.flushAll(testRun);
  const list = readFileSync(join(fixture.folder, 'list'));
  await repository.publish(index);
  writeFileSync(join(fixture.folder, 'list'), list);
  await using next = await fixture.open();
  assert.equal((await repository.sync(next)).objectsRead, 1);
  for (const name of names('a', 3)) assert.equal(packsOf(next, repository, name).length, 1);
  let count = 0;
  for await (const batch of next.records(testRun)) count += batch.count;
  assert.equal(count, 3);
});

test('small objects are merged when there are many, each once, and the old ones are not read and may go', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await using index = await fixture.openTemporary();
  const replaced: number[] = [];
  const sessions = 65;
  for (let session = 0; session < sessions; session += 1) {
    await repository.putPack([`chunk ${session}`, 'common'], index);
    const report = await repository.publish(index);
    if (report.replaced > 0) replaced.push(report.replaced);
  }
  // The merged object is small itself, so it is one of those that are merged next.
  assert.deepEqual(replaced, [33, 33]);
  assert.equal(repository.keys('index').length, sessions + 2);
  {
    await using fresh = await fixture.openTemporary();
    const report = await repository.sync(fresh);
    assert.ok(report.objectsRead < 20, `${report.objectsRead} objects read`);
    assert.equal(report.packsRead, 0);
  }
  const old = [...index.replacedObjects].map((name) => `index/${repository.credential}/${name}`);
  assert.equal(old.length, 66);
  for (const key of old) repository.memory.remove(key);
  assert.equal((await repository.sync(index)).objectsRead, 0);
  assert.equal(index.replacedObjects.size, 0);
  assert.equal(index.knownObjects.size, 1);
  await using fresh = await fixture.openTemporary();
  assert.deepEqual(await repository.sync(fresh), { findings: [], objectsRead: 1, packsRead: 0, packs: sessions });
  for (let session = 0; session < sessions; session += 1) {
    assert.equal(packsOf(fresh, repository, `chunk ${session}`).length, 1);
  }
  assert.equal(packsOf(fresh, repository, 'common').length, sessions);
});

test('index objects whose packs are all gone are not read again, also when their records are dropped', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await using writer = await fixture.openTemporary();
  await using reader = await fixture.openTemporary();
  const packs: string[] = [];
  for (let session = 0; session < 6; session += 1) {
    packs.push(await repository.putPack([`chunk ${session}`], writer));
    await repository.publish(writer);
    await repository.sync(reader);
  }
  for (const key of packs) repository.memory.remove(key);
  await repository.putPack(names('large', 50), writer);
  await repository.publish(writer);
  assert.equal((await repository.sync(reader)).objectsRead, 1);
  assert.deepEqual(reader.statistics.records, 50);
  assert.equal((await repository.sync(reader)).objectsRead, 0);
});

test('a directory that does not fit its pack is damaged, however it was sealed', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await repository.putPack(names('a', 4));
  const changes: readonly ((blocks: readonly DirectoryBlock[]) => readonly DirectoryBlock[])[] = [
    (blocks) => blocks.slice(1),
    (blocks) => [...blocks, ...blocks],
    (blocks) => blocks.map((block) => ({ ...block, sealedBytes: block.sealedBytes + 1 })),
    (blocks) => [...blocks, { sealedBytes: 0, chunks: [] }],
    (blocks) =>
      blocks.map((block) => ({ ...block, chunks: block.chunks.map((chunk) => ({ ...chunk, sizeBytes: 1 << 24 })) })),
  ];
  for (const change of changes) {
    await using index = await fixture.openTemporary();
    const report = await repository.sync(index, (options) => change(openDirectory(options)));
    assert.deepEqual(
      report.findings.map(({ code }) => code),
      ['pack'],
    );
    assert.equal(index.statistics.records, 0);
  }
  await using index = await fixture.openTemporary();
  assert.equal((await repository.sync(index, openDirectory)).packsRead, 1);
});

test('merging leaves out packs that are gone and keeps a damaged object', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await using index = await fixture.openTemporary();
  const packs: string[] = [];
  for (let session = 0; session < 32; session += 1) {
    packs.push(await repository.putPack([`chunk ${session}`], index));
    await repository.publish(index);
  }
  const damaged = must(repository.keys('index')[5], 'a key');
  repository.memory.put(damaged, must(repository.memory.get(damaged), 'an object').subarray(1));
  repository.memory.remove(must(packs[7], 'a pack'));
  await repository.sync(index);
  await repository.putPack(['the last'], index);
  const { written, replaced } = await repository.publish(index);
  assert.equal(replaced, 32);
  const merged = `index/${repository.credential}/${must(written.at(-1), 'a merged object')}`;
  const bytes = must(repository.memory.get(merged), 'an object');
  assert.equal(openIndexObject({ bytes, idKey: idOf('id key'), what: merged }).packs.byteLength / PACK_ID_BYTES, 31);
  assert.equal(index.replacedObjects.has(damaged.slice(-41)), false);
  for (const key of repository.keys('index')) {
    if (key !== damaged && !written.includes(key.slice(-41))) repository.memory.remove(key);
  }
  await using fresh = await fixture.openTemporary();
  const report = await repository.sync(fresh);
  assert.equal(report.packsRead, 1);
  for (let session = 0; session < 32; session += 1) {
    assert.equal(packsOf(fresh, repository, `chunk ${session}`).length, session === 7 ? 0 : 1);
  }
});

test('whatever is damaged locally, a sync brings everything back', async () => {
  const repository = new IndexRepository();
  await using fixture = await IndexFixture.create();
  {
    await using index = await fixture.open();
    for (let pack = 0; pack < 12; pack += 1) {
      await repository.putPack(names(`${pack}`, 20), index);
      if (pack % 3 === 0) await repository.publish(index);
      else await index.flushAll(testRun);
    }
  }
  const files = readdirSync(fixture.folder)
    .filter((file) => file !== 'lock')
    .toSorted();
  const whole = new Map(files.map((file) => [file, readFileSync(join(fixture.folder, file))]));
  const damage = fc.array(fc.record({ file: fc.constantFrom(...files), at: fc.nat(20_000), cut: fc.boolean() }), {
    minLength: 1,
    maxLength: 3,
  });
  await fc.assert(
    fc.asyncProperty(damage, async (damages) => {
      for (const file of readdirSync(fixture.folder)) writeFileSync(join(fixture.folder, file), '');
      for (const [file, bytes] of whole) writeFileSync(join(fixture.folder, file), bytes);
      for (const { file, at, cut } of damages) {
        const bytes = Buffer.from(readFileSync(join(fixture.folder, file)));
        if (!cut && bytes.byteLength > 0) {
          bytes.writeUInt8(bytes.readUInt8(at % bytes.byteLength) ^ 1, at % bytes.byteLength);
        }
        writeFileSync(join(fixture.folder, file), cut ? bytes.subarray(0, at % (bytes.byteLength + 1)) : bytes);
      }
      await using index = await fixture.open();
      const found = (): number =>
        names('', 12).reduce(
          (sum, pack) => sum + names(pack.trim(), 20).filter((name) => index.findPack(idOf(name)) >= 0).length,
          0,
        );
      found();
      assert.deepEqual((await repository.sync(index)).findings, []);
      assert.equal(found(), 240);
      assert.equal(index.damaged, false);
    }),
    { numRuns: 12 },
  );
});

test('foreign keys are ignored', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await repository.putPack(['a']);
  repository.memory.put(`index/${repository.credential}/notes`, Buffer.from('?'));
  repository.memory.put(`packs/${repository.credential}/notes`, Buffer.from('?'));
  repository.memory.put(`packs/${repository.credential}/${toHex(idOf('x'))}.partial`, Buffer.from('?'));
  await using index = await fixture.openTemporary();
  assert.deepEqual(await repository.sync(index), { findings: [], objectsRead: 0, packsRead: 1, packs: 1 });
});
