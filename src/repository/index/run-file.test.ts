import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { toHex } from '../../core/bytes.ts';
import { must } from '../../core/must.ts';
import { createSeededRandom } from '../../flow/random.ts';
import { IndexFixture, idOf, placeOf, testRun } from '../../testing/chunk-index-fixture.ts';
import { INDEX_RECORD_BYTES } from '../format/index-object.ts';
import type { ChunkIndex } from './chunk-index.ts';

/** Ids as they hardly ever are: most share their first bytes with others, so that runs of equal ones cross pages. */
const crowdedId = fc.tuple(fc.nat(3), fc.nat(200)).map(([head, rest]) => {
  const id = Buffer.alloc(32);
  id.writeUInt32BE(head * 0x55555555, 0);
  id.set(idOf(`${rest}`).subarray(0, 28), 4);
  return id;
});

test('every place is found on its page, also where equal heads and equal ids fill many pages', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(crowdedId, { minLength: 300, maxLength: 1000 }), async (ids) => {
      await using fixture = await IndexFixture.create();
      await using index = await fixture.openTemporary();
      const expected = new Map<string, number>();
      const pack = index.addPack(idOf('pack'));
      for (const [at, id] of ids.entries()) {
        index.add(id, placeOf(pack, at));
        expected.set(id.toString('hex'), (expected.get(id.toString('hex')) ?? 0) + 1);
      }
      await index.flushAll(testRun);
      for (const [id, count] of expected) assert.equal(index.places(Buffer.from(id, 'hex')).length, count);
      let last = '';
      for await (const { bytes, count } of index.records(testRun)) {
        for (let at = 0; at < count; at += 1) {
          const id = toHex(bytes.subarray(at * INDEX_RECORD_BYTES, at * INDEX_RECORD_BYTES + 32));
          assert.ok(id >= last, 'ascending by id');
          last = id;
        }
      }
      for (let head = 0; head < 4; head += 1) {
        const absent = Buffer.alloc(32, 0xab);
        absent.writeUInt32BE(head * 0x55555555, 0);
        assert.equal(index.findPack(absent), -1);
      }
    }),
    { numRuns: 10 },
  );
});

test('tens of thousands of ids are found, and none that is absent', async () => {
  await using fixture = await IndexFixture.create();
  const random = createSeededRandom('ids').bytes;
  const ids = Array.from({ length: 30_000 }, () => random(32));
  {
    await using index = await fixture.open({ memoryRecords: 4000 });
    for (let at = 0; at < ids.length; ) {
      const pack = index.addPack(random(32));
      for (const end = at + 100; at < end; at += 1) index.add(must(ids[at], 'an id'), placeOf(pack, at));
    }
    await index.flushAll(testRun);
  }
  await using index = await fixture.open();
  assert.equal(index.statistics.records, ids.length);
  for (const [at, id] of ids.entries()) assert.equal(index.find(id)?.sizeBytes, at + 1);
  for (let at = 0; at < 10_000; at += 1) assert.equal(index.findPack(random(32)), -1);
});

/** An index with three packs in two runs of several pages, and the answers that it may give. */
async function createIndex(fixture: IndexFixture): Promise<void> {
  await using index = await fixture.open();
  for (const pack of ['a', 'b']) {
    const number = index.addPack(idOf(pack));
    for (let at = 0; at < 200; at += 1) index.add(idOf(`${pack} ${at}`), placeOf(number, at));
    await index.flushAll(testRun);
  }
}

/** How many chunks are found; each that is found must be found where it is. */
function countFound(index: ChunkIndex): number {
  let found = 0;
  for (const pack of ['a', 'b']) {
    for (let at = 0; at < 200; at += 1) {
      const place = index.find(idOf(`${pack} ${at}`));
      if (place === undefined) continue;
      assert.deepEqual(place, placeOf(index.packNumber(idOf(pack)), at));
      found += 1;
    }
  }
  return found;
}

function runFiles(fixture: IndexFixture): readonly string[] {
  return readdirSync(fixture.folder)
    .filter((file) => file.endsWith('.run'))
    .map((file) => join(fixture.folder, file));
}

test('a damaged byte anywhere in a file is noticed at the latest when it is needed, and never believed', async () => {
  await using fixture = await IndexFixture.create();
  await createIndex(fixture);
  const [path] = runFiles(fixture);
  const whole = readFileSync(must(path, 'a run'));
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.byteLength - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const list = readFileSync(join(fixture.folder, 'list'));
      const changed = Buffer.from(whole);
      changed.writeUInt8(changed.readUInt8(at) ^ flip, at);
      writeFileSync(must(path, 'a run'), changed);
      try {
        await using index = await fixture.open();
        const found = countFound(index);
        // What lies in no page, table or header is the only place where a change does not matter, and there is none.
        assert.equal(found, index.damaged ? Math.min(found, 399) : 200);
        await index.reload(testRun);
        assert.equal(index.damaged, false);
        assert.equal(countFound(index), 200, 'the other run is whole');
        assert.equal(
          index.packs.covered(index.packNumber(idOf('a'))) !== index.packs.covered(index.packNumber(idOf('b'))),
          true,
        );
      } finally {
        writeFileSync(must(path, 'a run'), whole);
        writeFileSync(join(fixture.folder, 'list'), list);
      }
    }),
    { numRuns: 25 },
  );
});

test('a file that is cut off, empty, longer, swapped or gone is dropped, and the rest still counts', async () => {
  await using fixture = await IndexFixture.create();
  await createIndex(fixture);
  const [first, second] = runFiles(fixture).map((path) => ({ path, bytes: readFileSync(path) }));
  const list = readFileSync(join(fixture.folder, 'list'));
  const { path, bytes } = must(first, 'a run');
  const other = must(second, 'another run').bytes;
  const versions = [0, 1, 4095, 4096, 9000, bytes.byteLength - 1].map((size) => bytes.subarray(0, size));
  versions.push(Buffer.concat([bytes, Buffer.alloc(1)]), Buffer.alloc(bytes.byteLength));
  const mixed = Buffer.from(bytes);
  mixed.set(other.subarray(4096, 8192), 4096);
  versions.push(mixed);
  for (const version of versions) {
    writeFileSync(path, version);
    writeFileSync(join(fixture.folder, 'list'), list);
    await using index = await fixture.open();
    countFound(index);
    await index.reload(testRun);
    assert.equal(countFound(index), 200, `${version.byteLength} bytes`);
    writeFileSync(path, bytes);
  }
});

test('a damaged list makes the index empty, and nothing of it stays', async () => {
  await using fixture = await IndexFixture.create();
  await createIndex(fixture);
  const path = join(fixture.folder, 'list');
  const list = readFileSync(path, 'utf8');
  for (const version of [
    '',
    '{}',
    list.slice(0, -10),
    list.replace('"records":200', '"records":300'),
    list.replace('tidemark', 'tide'),
  ]) {
    writeFileSync(path, version);
    await using index = await fixture.open();
    assert.equal(index.statistics.records, 0);
    assert.deepEqual(runFiles(fixture), []);
    await createIndex(fixture);
  }
});

test('an index of another repository is not believed', async () => {
  await using fixture = await IndexFixture.create();
  await createIndex(fixture);
  await using index = await fixture.open({ identity: 'another' });
  assert.equal(countFound(index), 0);
});
