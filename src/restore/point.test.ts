import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { createSeededRandom } from '../flow/random.ts';
import type { SeededRandom } from '../flow/random.ts';
import { must } from '../core/must.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import type { RepositoryWriter, WrittenBase } from '../repository/writer.ts';
import { positionAt, RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureEntry, FixtureStore, FixtureTransaction } from '../testing/repository-fixture.ts';
import { runSeeded } from '../testing/seeded-check.ts';
import { readNameStates, stateAt } from './name-states.ts';
import { openPoint } from './point.ts';
import type { Point, PointReader } from './point.ts';

const STORE = 'orders';
const LAST = 24;

/** A history that the test knows whole: what it was at each place. */
class Model {
  readonly transactions: readonly FixtureTransaction[];

  constructor(random: SeededRandom) {
    const names = Array.from({ length: 12 }, (_, number) => `n${'x'.repeat(number % 3)}${number}`);
    this.transactions = Array.from({ length: LAST }, (_, index) => {
      const count = random.integer(4);
      const entries = new Map<string, FixtureEntry | undefined>();
      while (entries.size < count) {
        const content = random.chance(0.4) ? random.bytes(random.integer(5000)) : undefined;
        entries.set(random.pick(names), random.chance(0.35) ? undefined : { attributes: random.bytes(9), content });
      }
      return { order: index + 1, entries };
    });
  }

  /** `floor`: what was removed after it stays. */
  at(order: number, floor = order): FixtureStore {
    const state = new Map<string, FixtureEntry>();
    for (const { order: own, entries } of this.transactions.slice(0, order)) {
      for (const [name, entry] of entries) {
        if (entry !== undefined) state.set(name, entry);
        else if (own <= floor) state.delete(name);
      }
    }
    return state;
  }

  /** As a scan sees it that goes on from one place to the other: each name at some time between. */
  fuzzy(from: number, to: number, random: SeededRandom): FixtureStore {
    const states = Array.from({ length: to - from + 1 }, (_, index) => this.at(from + index));
    const names = new Set(states.flatMap((state) => [...state.keys()]));
    const seen = new Map<string, FixtureEntry>();
    for (const name of names) {
      const entry = random.pick(states).get(name);
      if (entry !== undefined) seen.set(name, entry);
    }
    return seen;
  }

  async record(fixture: RepositoryFixture, writer: RepositoryWriter, after: number, upTo: number): Promise<void> {
    const transactions = this.transactions.slice(after, upTo);
    const segment = await fixture.segment(writer, { store: STORE, after, transactions });
    await writer.putJournal({ marks: [], segments: [segment], gaps: [] }, fixture.run);
  }
}

async function contentsOf(point: PointReader, fixture: RepositoryFixture): Promise<FixtureStore> {
  const { run } = fixture;
  const found = new Map<string, FixtureEntry>();
  const names: string[] = [];
  for await (const batch of point.entries(run)) {
    for (const { name, attributes, content } of batch) {
      names.push(Buffer.from(name).toString('latin1'));
      const pieces: Uint8Array[] = [];
      if (content !== undefined) for await (const piece of point.read(content, run)) pieces.push(piece);
      const bytes = content && Uint8Array.from(Buffer.concat(pieces));
      found.set(names.at(-1) ?? '', { attributes: Uint8Array.from(attributes), content: bytes });
    }
  }
  assert.deepEqual(names, names.toSorted());
  return found;
}

function sorted(store: FixtureStore): readonly (readonly [string, FixtureEntry])[] {
  return [...store].toSorted(([left], [right]) => (left < right ? -1 : 1));
}

async function assertPoint(
  { fixture, reader, label }: { fixture: RepositoryFixture; reader: RepositoryReader; label: string },
  point: Point,
  expected: FixtureStore,
): Promise<void> {
  const { run } = fixture;
  using opened = await openPoint(reader, point, run);
  assert.deepEqual(sorted(await contentsOf(opened, fixture)), sorted(expected), label);
  for (const [prefix, from] of [
    ['nx', ''],
    ['', 'n4'],
    ['nx', 'nx5'],
    ['nxx', 'n'],
  ] as const) {
    const names: string[] = [];
    const range = { prefix: Buffer.from(prefix), from: from === '' ? undefined : Buffer.from(from) };
    for await (const batch of opened.entries(run, range)) {
      names.push(...batch.map(({ name }) => Buffer.from(name).toString()));
    }
    const wanted = sorted(expected).flatMap(([name]) => (name.startsWith(prefix) && name >= from ? name : []));
    assert.deepEqual(names, wanted, `${label}, ${prefix} from ${from}`);
  }
  for (const name of ['n0', 'nx1', 'nxx2', 'nothing']) {
    const found = await opened.find(Buffer.from(name), run);
    assert.deepEqual(found && Uint8Array.from(found.attributes), expected.get(name)?.attributes, `${label}, ${name}`);
  }
}

/** Name by name, from the base and what the log makes of each. */
async function assertStates(
  { fixture, reader, label }: { fixture: RepositoryFixture; reader: RepositoryReader; label: string },
  { base, position, floor, segments }: Point,
  expected: FixtureStore,
): Promise<void> {
  const { run } = fixture;
  const upTo = segments.length === 0 ? undefined : position;
  const states = upTo && (await readNameStates(reader, { base, upTo, isWanted: () => true }, run));
  const found = new Map<string, Uint8Array>();
  for await (const batch of (await reader.base(base, run)).entries(run)) {
    for (const { name, attributes } of batch) found.set(Buffer.from(name).toString('latin1'), attributes);
  }
  for (const [name, known] of states ?? []) {
    const state = stateAt(known, { order: position.order, floor: floor?.order });
    if (state?.entry !== undefined) found.set(name, state.entry.attributes);
    else if (state !== undefined) found.delete(name);
  }
  const attributesOf = (store: FixtureStore): readonly unknown[] =>
    sorted(store).map(([name, { attributes }]) => [name, Uint8Array.from(attributes)]);
  const held = new Map([...found].map(([name, attributes]) => [name, { attributes }]));
  assert.deepEqual(attributesOf(held), attributesOf(expected), label);
}

test('what a log makes of names is refused where it does not fit into memory', async () => {
  await using fixture = await RepositoryFixture.create();
  const model = new Model(createSeededRandom('memory'));
  await using writer = await fixture.openWriter({ writer: 'one' });
  const made = await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  await model.record(fixture, writer, 0, LAST);
  await using reader = await fixture.openReader();
  const base = must(reader.catalogue.bases.get(made.key), 'the base');
  const options = { base, upTo: positionAt(LAST), isWanted: () => true, maxBytes: 1000 };
  await assert.rejects(readNameStates(reader, options, fixture.run), { code: 'UNSUPPORTED' });
  assert.equal((await readNameStates(reader, { ...options, isWanted: () => false }, fixture.run)).size, 0);
});

test('a point is what the history was there, whatever bases and segments lead to it', async () => {
  for (let round = 0; round < 8; round++) {
    await runSeeded({ open: () => RepositoryFixture.create() }, async (fixture, seed) => {
      const random = createSeededRandom(seed);
      const model = new Model(random);
      await using writer = await fixture.openWriter({ writer: 'one' });
      await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
      for (let at = 0; at < LAST; ) {
        const upTo = Math.min(LAST, at + 1 + random.integer(6));
        await model.record(fixture, writer, at, upTo);
        if (random.chance(0.4)) await model.record(fixture, writer, Math.max(0, at - random.integer(5)), upTo);
        at = upTo;
      }
      for (let count = 0; count < 2; count++) {
        const cut = 1 + random.integer(LAST);
        const logFrom = random.chance(0.5) ? cut : Math.max(0, cut - random.integer(4));
        await fixture.writeBase(writer, STORE, model.fuzzy(logFrom, cut, random), { cut, logFrom });
      }
      await writer.end(fixture.run);
      await using reader = await fixture.openReader();
      const { credential } = must([...reader.catalogue.bases.values()][0], 'a base');
      const view = must(reader.catalogue.histories.get(STORE), 'a history');
      for (let order = 0; order <= LAST; order++) {
        const floored = random.chance(0.5) ? Math.max(0, order - random.integer(6)) : undefined;
        const floor = floored === undefined ? undefined : positionAt(floored);
        const goal = { position: positionAt(order), credential, floor };
        const point = { ...must(view.planTo(goal), `a plan to ${order}`), floor };
        const label = `position ${order}, floor ${floored ?? 'none'}`;
        await assertPoint({ fixture, reader, label }, point, model.at(order, floored));
        await assertStates({ fixture, reader, label }, point, model.at(order, floored));
      }
    });
  }
});

test('a point without a log is its base, and leaves no file behind; neither does one that can’t be read', async () => {
  await using fixture = await RepositoryFixture.create();
  const model = new Model(createSeededRandom('files'));
  await using writer = await fixture.openWriter({ writer: 'one' });
  const made: WrittenBase = await fixture.writeBase(writer, STORE, model.at(3), { cut: 3 });
  await model.record(fixture, writer, 3, LAST);
  await using reader = await fixture.openReader();
  const base = must(reader.catalogue.bases.get(made.key), 'the base');
  const { segments } = await loadCatalogue(fixture.owner, [], fixture.run);
  const at = (order: number): Point => ({ base, position: positionAt(order), segments: order === 3 ? [] : segments });
  const before = readdirSync(fixture.runtime.temporaryFolder);
  await assertPoint({ fixture, reader, label: 'base' }, at(3), model.at(3));
  await assert.rejects(openPoint(reader, at(LAST + 1), fixture.run), { code: 'REPOSITORY_DAMAGED' });
  const left = readdirSync(fixture.runtime.temporaryFolder).filter((name) => name.startsWith('tidemark-log-'));
  assert.deepEqual(
    left,
    before.filter((name) => name.startsWith('tidemark-log-')),
  );
});
