import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { toHex } from '../../core/bytes.ts';
import { addPack, idOf, IndexFixture, placeOf, testRun } from '../../testing/chunk-index-fixture.ts';
import type { ChunkIndex, ChunkPlace } from './chunk-index.ts';
import { INDEX_RECORD_BYTES } from '../format/index-object.ts';

const CHUNKS = 12;
const PACKS = 30;
const MEMORY_RECORDS = 8;

type Step =
  | { readonly do: 'pack'; readonly pack: number; readonly chunks: readonly number[] }
  | { readonly do: 'condemn'; readonly pack: number }
  | { readonly do: 'restrict'; readonly packs: readonly number[] }
  | { readonly do: 'flush' | 'flushAll' | 'reload' | 'reopen' | 'crash' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('pack' as const),
      pack: fc.nat(PACKS - 1),
      chunks: fc.uniqueArray(fc.nat(CHUNKS - 1), { minLength: 1 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('condemn' as const), pack: fc.nat(PACKS - 1) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('restrict' as const),
      packs: fc.uniqueArray(fc.nat(PACKS - 1), { minLength: 25 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom('flush' as const, 'flushAll' as const, 'reload' as const) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('reopen' as const, 'crash' as const) }) },
);

type ModelPack = {
  readonly chunks: readonly number[];
  /** Flushed: it must survive. */
  durable: boolean;
  condemned: boolean;
  missing: boolean;
  /** It was missing once, so a merge may have dropped it. */
  excluded: boolean;
};

/** A map of packs, and an index that must say the same. */
class Model {
  readonly packs = new Map<number, ModelPack>();
  readonly written = new Set<number>();

  /** Where the chunk must be found, as text. */
  placesOf(index: ChunkIndex, chunk: number): readonly string[] {
    const found: string[] = [];
    for (const [pack, { chunks, condemned, missing }] of this.packs) {
      const at = chunks.indexOf(chunk);
      if (condemned || missing || at < 0) continue;
      found.push(describe(index, placeOf(index.packNumber(idOf(`pack ${pack}`)), at)));
    }
    return found.toSorted();
  }

  /** Packs that may be gone are gone whole or not at all: asks the index which. */
  settle(index: ChunkIndex, mayBeGone: (pack: ModelPack) => boolean): void {
    for (const [pack, state] of this.packs) {
      const number = index.packNumber(idOf(`pack ${pack}`));
      if (mayBeGone(state) && (number < 0 || !index.packs.covered(number))) this.packs.delete(pack);
    }
  }
}

function describe(index: ChunkIndex, place: ChunkPlace): string {
  return JSON.stringify({ ...place, pack: toHex(index.packId(place.pack)) });
}

function compare(index: ChunkIndex, model: Model): void {
  for (let chunk = 0; chunk < CHUNKS; chunk += 1) {
    const expected = model.placesOf(index, chunk);
    const id = idOf(`chunk ${chunk}`);
    const places = index.places(id).map((place) => describe(index, place));
    assert.deepEqual(places.toSorted(), expected, `places of chunk ${chunk}`);
    const found = index.find(id);
    assert.equal(found === undefined, expected.length === 0, `chunk ${chunk}`);
    if (found !== undefined) assert.ok(expected.includes(describe(index, found)));
    assert.equal(index.findPack(id), found?.pack ?? -1);
  }
  assert.equal(index.find(idOf('a chunk that was never there')), undefined);
}

async function recordsOf(index: ChunkIndex): Promise<readonly string[]> {
  const records: string[] = [];
  for await (const { bytes, count } of index.records(testRun)) {
    for (let at = 0; at < count; at += 1) {
      records.push(toHex(bytes.subarray(at * INDEX_RECORD_BYTES, (at + 1) * INDEX_RECORD_BYTES)));
    }
  }
  return records;
}

/** An index that is closed and opened again during the test. */
class Subject implements AsyncDisposable {
  readonly model = new Model();
  readonly #fixture: IndexFixture;
  index: ChunkIndex;

  constructor(fixture: IndexFixture, index: ChunkIndex) {
    this.#fixture = fixture;
    this.index = index;
  }

  async apply(step: Step): Promise<void> {
    const { index, model } = this;
    switch (step.do) {
      case 'pack': {
        if (model.written.has(step.pack)) return;
        model.written.add(step.pack);
        const names = step.chunks.map((chunk) => `chunk ${chunk}`);
        addPack(index, `pack ${step.pack}`, names);
        const state = { durable: false, condemned: false, missing: false, excluded: false };
        model.packs.set(step.pack, { chunks: step.chunks, ...state });
        return;
      }
      case 'condemn': {
        const state = model.packs.get(step.pack);
        if (state === undefined) return;
        index.markAbsent(index.packNumber(idOf(`pack ${step.pack}`)));
        state.condemned = true;
        return;
      }
      case 'restrict':
        index.restrictTo(step.packs.map((pack) => idOf(`pack ${pack}`)));
        for (const [pack, state] of model.packs) {
          state.missing = !step.packs.includes(pack);
          state.excluded ||= state.missing;
        }
        return;
      case 'reload':
      case 'flush':
        return await index[step.do](testRun);
      case 'flushAll':
        await index.flushAll(testRun);
        for (const state of model.packs.values()) state.durable = true;
        return;
      case 'reopen':
        await index.flushAll(testRun);
        return await this.#openAgain(({ excluded }) => excluded);
      case 'crash':
        return await this.#openAgain(({ excluded, durable }) => excluded || !durable);
      default:
        return step satisfies never;
    }
  }

  async #openAgain(mayBeGone: (pack: ModelPack) => boolean): Promise<void> {
    await this.index[Symbol.asyncDispose]();
    this.index = await this.#fixture.open({ memoryRecords: MEMORY_RECORDS });
    this.model.settle(this.index, mayBeGone);
    for (const state of this.model.packs.values()) {
      Object.assign(state, { durable: true, condemned: false, missing: false, excluded: false });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.index[Symbol.asyncDispose]();
  }
}

test('an index answers like a map of packs, through any order of additions, flushes, merges, absent packs and restarts', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
      await using fixture = await IndexFixture.create();
      await using subject = new Subject(fixture, await fixture.open({ memoryRecords: MEMORY_RECORDS }));
      const { model } = subject;
      for (const next of steps) {
        await subject.apply(next);
        model.settle(subject.index, ({ excluded, missing }) => excluded && !missing);
        compare(subject.index, model);
      }
      const records = await recordsOf(subject.index);
      assert.equal(new Set(records).size, records.length, 'each place comes once');
      const ids = records.map((record) => record.slice(0, 64));
      assert.deepEqual(ids, ids.toSorted(), 'ascending by id');
      assert.ok(subject.index.statistics.runs <= 10);
    }),
    { numRuns: 12 },
  );
});

test('a pack that was missing while runs were merged is no longer covered', async () => {
  await using fixture = await IndexFixture.create();
  await using index = await fixture.openTemporary();
  const missing = addPack(index, 'missing', ['x']);
  const kept = addPack(index, 'kept', ['y']);
  await index.flushAll(testRun);
  index.restrictTo([idOf('kept')]);
  for (let pack = 0; pack < 5; pack += 1) {
    addPack(index, `pack ${pack}`, [`chunk ${pack}`]);
    await index.flushAll(testRun);
  }
  index.restrictTo([idOf('kept'), idOf('missing')]);
  assert.deepEqual(
    [missing, kept].map((pack) => index.packs.covered(pack)),
    [false, true],
  );
  assert.equal(index.findPack(idOf('x')), -1);
});

test('once packs are restricted, those that another process names do not count, and those that are added do', async () => {
  await using fixture = await IndexFixture.create();
  await using index = await fixture.open();
  await using other = await fixture.open();
  const restriction = index.startRestriction();
  restriction.keep(idOf('kept'));
  const added = addPack(index, 'added meanwhile', ['a']);
  restriction.apply();
  assert.equal(index.findPack(idOf('a')), added);
  addPack(other, 'of another', ['b']);
  await other.flushAll(testRun);
  await index.reload(testRun);
  assert.ok(index.packNumber(idOf('of another')) >= 0);
  assert.equal(index.findPack(idOf('b')), -1);
  assert.equal(index.findPack(idOf('c')), -1);
  const later = addPack(index, 'added later', ['c']);
  assert.equal(index.findPack(idOf('c')), later);
});

test('the same record added twice is one', async () => {
  await using fixture = await IndexFixture.create();
  await using index = await fixture.openTemporary();
  const pack = addPack(index, 'pack', ['x']);
  index.add(idOf('x'), placeOf(pack, 0));
  assert.equal(index.statistics.records, 1);
  index.add(idOf('x'), placeOf(pack, 1));
  assert.equal(index.statistics.records, 2);
});
