import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { must } from '../../core/must.ts';
import { faultAt, faultyStore, passingFault } from '../../objects/wrappers/faulty.ts';
import { addPack, idOf, IndexFixture, placeOf, testRun } from '../../testing/chunk-index-fixture.ts';
import { IndexRepository } from '../../testing/index-repository.ts';
import { INDEX_RECORD_BYTES, MAX_INDEX_RECORDS, openIndexObject, PACK_ID_BYTES } from '../format/index-object.ts';
import { groupPacks } from './object-builder.ts';

test('packs are divided whole among objects that have room for them', () => {
  const sizes = fc.array(fc.oneof(fc.nat(9), fc.nat(MAX_INDEX_RECORDS + 10)), { maxLength: 40 });
  fc.assert(
    fc.property(sizes, (counts) => {
      const { groups, groupOf } = groupPacks(Uint32Array.from(counts));
      const filled = groups.map(() => 0);
      for (const [pack, count] of counts.entries()) {
        const group = must(groupOf[pack], 'a pack');
        assert.equal(group < 0, count === 0 || count > MAX_INDEX_RECORDS);
        if (group >= 0) filled[group] = must(filled[group], 'a group') + count;
      }
      assert.deepEqual(filled, groups);
      assert.ok(groups.every((count) => count > 0 && count <= MAX_INDEX_RECORDS));
    }),
  );
});

test('more records than one object holds become several, and each holds all chunks of its packs', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await using index = await fixture.openTemporary();
  const perPack = 120_000;
  for (let pack = 0; pack < 3; pack += 1) {
    const number = index.addPack(idOf(`pack ${pack}`));
    const id = Buffer.alloc(32);
    for (let at = 0; at < perPack; at += 1) {
      id.writeUInt32BE(Math.imul(at * 3 + pack, 0x9e3779b1) >>> 0, 0);
      index.add(id, placeOf(number, at % 1000));
    }
  }
  const { written } = await repository.publish(index);
  assert.equal(written.length, 2);
  const counts: number[] = [];
  for (const key of repository.keys('index')) {
    const bytes = must(repository.memory.get(key), 'an object');
    const { packs, records } = openIndexObject({ bytes, idKey: idOf('id key'), what: key });
    assert.equal(records.byteLength / INDEX_RECORD_BYTES, (packs.byteLength / PACK_ID_BYTES) * perPack);
    counts.push(packs.byteLength / PACK_ID_BYTES);
  }
  assert.deepEqual(
    counts.toSorted((left, right) => left - right),
    [1, 2],
  );
});

/** False when the fault at this call had no call to hit. */
async function survivesFault(fixture: IndexFixture, position: number, when: 'before' | 'after'): Promise<boolean> {
  const repository = new IndexRepository();
  {
    await using earlier = await fixture.openTemporary();
    await repository.putPack(['a', 'b', 'c'], earlier);
    await repository.publish(earlier);
  }
  await repository.putPack(['d', 'e']);
  await using index = await fixture.openTemporary();
  const fault = { kind: 'fail', when, error: passingFault() } as const;
  const faulty = repository.over((store) => faultyStore(store, faultAt(position, fault)));
  let failed = false;
  try {
    await faulty.sync(index);
    await faulty.publish(index);
  } catch (error) {
    assert.equal(error, fault.error);
    failed = true;
  }
  await repository.sync(index);
  await repository.publish(index);
  await using fresh = await fixture.openTemporary();
  assert.deepEqual((await repository.sync(fresh)).findings, []);
  for (const chunk of ['a', 'b', 'c', 'd', 'e']) {
    assert.equal(index.places(idOf(chunk)).length, 1, `${chunk} after a fault ${when} call ${position}`);
    assert.equal(fresh.places(idOf(chunk)).length, 1);
  }
  return failed;
}

test('a fault at any call of a sync or of publishing leaves an index that the next try completes', async () => {
  await using fixture = await IndexFixture.create();
  for (const when of ['before', 'after'] as const) {
    let position = 0;
    while (await survivesFault(fixture, position, when)) position += 1;
    assert.ok(position >= 5, `${position} calls could fail`);
  }
});

test('a pack that is gone meanwhile is not published', async () => {
  await using fixture = await IndexFixture.create();
  const repository = new IndexRepository();
  await using index = await fixture.openTemporary();
  addPack(index, 'never stored', ['x']);
  const kept = await repository.putPack(['y'], index);
  await index.flushAll(testRun);
  await repository.sync(index);
  await repository.publish(index);
  const [key] = repository.keys('index');
  const bytes = must(repository.memory.get(must(key, 'a key')), 'an object');
  const { packs } = openIndexObject({ bytes, idKey: idOf('id key'), what: 'it' });
  assert.equal(Buffer.from(packs).toString('hex'), kept.slice(-64));
});
