import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import { createSeededRandom } from '../flow/random.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { forward } from '../objects/wrappers/forward.ts';
import { positionAt, RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureTransaction } from '../testing/repository-fixture.ts';
import { sleepingStore } from '../testing/sleeping-store.ts';
import { loadCatalogue } from './catalogue.ts';
import type { Catalogue } from './catalogue.ts';
import type { SegmentDraft } from './journal-writer.ts';
import { objectsOf } from './log-needs.ts';
import { readLog } from './log-reader.ts';
import type { Mark } from './mark.ts';
import { forget } from './maintainer.ts';
import { sweep } from './sweep.ts';
import type { SweepReport } from './sweep.ts';
import type { RepositoryWriter } from './writer.ts';

const LEASE_MS = 60_000;
const INFO = { application: 'test', host: 'host', command: 'sweep', tool: 'tidemark test' };
const STORE = 'orders';

/** So much that frames lie apart. */
function transactions(after: number, upTo: number): readonly FixtureTransaction[] {
  return Array.from({ length: upTo - after }, (_, index) => {
    const order = after + index + 1;
    const content = Buffer.alloc(5000, `content ${order} `);
    return {
      order,
      entries: new Map([[`name ${order}`, { attributes: createSeededRandom(order).bytes(300), content }]]),
    };
  });
}

async function opened(): Promise<RepositoryFixture> {
  return await RepositoryFixture.create('journals', { leaseMs: LEASE_MS });
}

function markAt(fixture: RepositoryFixture, order: number): Mark {
  return { ...fixture.markOf(new Map()), positions: { [STORE]: positionAt(order) } };
}

async function record(
  fixture: RepositoryFixture,
  writer: RepositoryWriter,
  [after, upTo]: readonly [number, number],
): Promise<void> {
  const segment = await fixture.segment(writer, { store: STORE, after, transactions: transactions(after, upTo) });
  await writer.putJournal({ marks: [markAt(fixture, upTo)], segments: [segment], gaps: [] }, fixture.run);
  await fixture.clock.advance(5000);
}

/** Puts one segment in place of all that a writer has put, and its marks. */
async function merge(fixture: RepositoryFixture, writer: RepositoryWriter): Promise<void> {
  const { runs, marks } = await writer.ownJournal(fixture.run);
  const segments = must(runs[0], 'a run');
  const frames: Uint8Array[] = [];
  for (const segment of segments) frames.push(await writer.readBody(segment, fixture.run));
  const [first, last] = [must(segments[0], 'a segment'), must(segments.at(-1), 'a segment')];
  const draft: SegmentDraft = {
    store: STORE,
    history: STORE,
    after: first.after,
    upTo: last.upTo,
    fromMs: first.fromMs,
    toMs: last.toMs,
    changes: 1,
    packs: [...new Set(segments.flatMap(({ packs }) => packs))].toSorted(),
    frames: Buffer.concat(frames),
  };
  await writer.putJournal({ marks: marks.map(({ mark }) => mark), segments: [draft], gaps: [] }, fixture.run);
}

async function pass(fixture: RepositoryFixture): Promise<SweepReport> {
  await fixture.clock.advance(3 * LEASE_MS);
  const access = await fixture.maintainerAccess();
  return await sweep({ access, info: INFO, remembered: fixture.remembered, apply: true }, fixture.run);
}

async function ended(fixture: RepositoryFixture, writer: RepositoryWriter): Promise<Catalogue> {
  await writer.end(fixture.run);
  fixture.remembered = writer.heads;
  return await catalogueOf(fixture);
}

async function catalogueOf(fixture: RepositoryFixture): Promise<Catalogue> {
  const catalogue = await loadCatalogue(fixture.owner, fixture.remembered, fixture.run);
  assert.deepEqual(catalogue.findings, []);
  return catalogue;
}

/** Reads everything that leads to the marks, and returns where they are. */
async function restored(fixture: RepositoryFixture): Promise<readonly number[]> {
  const catalogue = await catalogueOf(fixture);
  const orders: number[] = [];
  for (const { mark, credential } of catalogue.marks) {
    assert.deepEqual(mark.missing, []);
    const position = must(mark.positions[STORE], 'a position');
    const plan = must(catalogue.histories.get(STORE)?.planTo({ position, credential }), 'a plan');
    const range = { segments: plan.segments, after: plan.base.summary.logFrom, upTo: position };
    let last = Number(range.after.order);
    if (plan.segments.length > 0) {
      for await (const batch of readLog(fixture.owner, range, fixture.run)) {
        for (const { commit } of batch) last = Number(commit.position.order);
      }
    }
    assert.equal(last, Number(position.order));
    for (const { packs, credential: owner } of plan.segments) {
      for (const pack of packs) assert.ok(fixture.memory.get(`packs/${owner}/${pack}`), 'a pack of a needed segment');
    }
    orders.push(last);
  }
  return orders;
}

function withoutBeats(objects: SweepReport['removed']): readonly string[] {
  return objects.flatMap(({ key }) => (key.startsWith('sessions/') ? [] : key)).toSorted();
}

test('records and bodies of segments that were merged go in two passes, and all marks stay', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  const places = [0, 60, 61, 130];
  for (const [index, upTo] of places.slice(1).entries()) {
    await record(fixture, writer, [places[index] ?? 0, upTo]);
  }
  const { segments } = await catalogueOf(fixture);
  const old = segments.flatMap(objectsOf);
  assert.equal(old.length, 5);
  await merge(fixture, writer);
  const before = await ended(fixture, writer);
  assert.equal(before.segments.length, 4);
  assert.equal(before.marks.length, 3);

  const first = await pass(fixture);
  assert.deepEqual(withoutBeats(first.condemned), old.toSorted());
  for (const key of old) assert.ok(fixture.memory.get(key));
  const second = await pass(fixture);
  assert.deepEqual(withoutBeats(second.removed), old.toSorted());
  for (const key of old) assert.equal(fixture.memory.get(key), undefined);
  assert.deepEqual(await restored(fixture), [60, 61, 130]);
  assert.equal((await pass(fixture)).condemned.length, 0);
});

test('what was merged stays as long as the merge may be taken back, and after that', async () => {
  await using fixture = await opened();
  await using recorder = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(recorder, STORE, new Map(), { cut: 0 });
  await record(fixture, recorder, [0, 60]);
  await record(fixture, recorder, [60, 130]);
  const { segments } = await ended(fixture, recorder);

  const { objects, asleep, awake } = sleepingStore(fixture.memory, 'journal/');
  await using writer = await fixture.openWriter({ writer: 'one', objects });
  const merging = merge(fixture, writer);
  await asleep;
  for (let count = 0; count < 4; count++) await pass(fixture);
  assert.deepEqual(await restored(fixture), [60, 130]);
  awake();
  await assert.rejects(merging, { code: 'FENCED' });
  assert.deepEqual(await restored(fixture), [60, 130]);
  await writer.end(fixture.run);
  for (let count = 0; count < 3; count++) await pass(fixture);
  for (const key of segments.flatMap(objectsOf)) assert.ok(fixture.memory.get(key), key);
  assert.deepEqual(await restored(fixture), [60, 130]);
});

test('what a sweep saw long ago it does not condemn: sessions that began since may use it', async () => {
  await using fixture = await opened();
  const { clock, memory } = fixture;
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.segment(writer, { store: STORE, after: 0, transactions: transactions(0, 2) });
  await writer.end(fixture.run);
  await clock.advance(3 * LEASE_MS);
  const objects: ObjectStore = {
    ...forward(memory),
    async *list(prefix, after, run) {
      yield* memory.list(prefix, after, run);
      if (prefix === 'packs/') await clock.advance(LEASE_MS);
    },
  };
  const access = { ...(await fixture.maintainerAccess()), objects };
  const { condemned } = await sweep({ access, info: INFO, remembered: [], apply: true }, fixture.run);
  const lists = memory.keys().filter((key) => key.startsWith('condemned/'));
  assert.deepEqual([condemned, lists], [[], []]);
  assert.ok((await pass(fixture)).condemned.length > 0);
});

test('what is about to be deleted is merged with nothing', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  for (const [after, upTo] of [
    [0, 2],
    [2, 4],
  ] as const) {
    const segment = await fixture.segment(writer, { store: STORE, after, transactions: transactions(after, upTo) });
    await writer.putJournal({ marks: [], segments: [segment], gaps: [] }, fixture.run);
  }
  const base = await fixture.writeBase(writer, STORE, new Map(), { cut: 9 });
  await writer.putMark(fixture.markOf(new Map([[STORE, base]])), fixture.run);
  await writer.end(fixture.run);
  const ownSegments = async (): Promise<number> => {
    await using next = await fixture.openWriter({ writer: 'one' });
    const { runs } = await next.ownJournal(fixture.run);
    await next.end(fixture.run);
    return runs.flat().length;
  };
  assert.equal(await ownSegments(), 2);
  await pass(fixture);
  assert.equal(await ownSegments(), 0);
});

test('a mark whose time its host’s clock put ahead is one mark after a merge', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  const segment = await fixture.segment(writer, { store: STORE, after: 0, transactions: transactions(0, 1) });
  const mark = markAt(fixture, 1);
  const ahead = { ...mark, atMs: mark.atMs + 3_600_000 };
  await writer.putJournal({ marks: [ahead], segments: [segment], gaps: [] }, fixture.run);
  await fixture.clock.advance(5000);
  await merge(fixture, writer);
  const { marks } = await ended(fixture, writer);
  assert.deepEqual(
    marks.map((found) => found.mark),
    [mark],
  );
});

test('a merged mark is no later than its first record, also where that is listed last', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  const segment = await fixture.segment(writer, { store: STORE, after: 0, transactions: transactions(0, 1) });
  const mark = { ...markAt(fixture, 1), atMs: fixture.clock.nowMs() + 3_600_000 };
  await writer.putJournal({ marks: [mark], segments: [segment], gaps: [] }, fixture.run);
  await merge(fixture, writer);
  const { segments } = await ended(fixture, writer);
  const [listedFirst, listedLast] = segments.map(({ key }) => key);
  const earlyMs = fixture.clock.nowMs() - 5000;
  for (const [key, modifiedMs] of [
    [must(listedFirst, 'a record'), earlyMs + 2000],
    [must(listedLast, 'a record'), earlyMs],
  ] as const) {
    fixture.memory.put(key, must(fixture.memory.get(key), 'its bytes'), modifiedMs);
  }
  const { marks } = await catalogueOf(fixture);
  assert.deepEqual(
    marks.map((found) => [found.key, found.mark.atMs]),
    [[listedFirst, earlyMs]],
  );
});

test('what is broken of a mark is told once, however many records hold it', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  const base = await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  await record(fixture, writer, [0, 1]);
  await merge(fixture, writer);
  await writer.end(fixture.run);
  fixture.memory.remove(base.key);
  const { broken, marks } = await loadCatalogue(fixture.owner, [], fixture.run);
  assert.deepEqual(
    broken.map(({ mark, history, key }) => [mark.id, history, key]),
    marks.map(({ mark, key }) => [mark.id, STORE, key]),
  );
  assert.equal(marks.length, 1);
});

test('marks of one id that say different things are told apart', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  const segment = await fixture.segment(writer, { store: STORE, after: 0, transactions: transactions(0, 2) });
  const mark = markAt(fixture, 1);
  const other = { ...mark, positions: { [STORE]: positionAt(2) } };
  await writer.putJournal({ marks: [mark], segments: [segment], gaps: [] }, fixture.run);
  await writer.putJournal({ marks: [other, mark], segments: [], gaps: [] }, fixture.run);
  const { marks } = await ended(fixture, writer);
  assert.deepEqual(new Set(marks.map((found) => found.mark.positions[STORE]?.resume)), new Set(['1', '2']));
  assert.equal(marks.length, 2);
});

test('a mark that was put again with less, because nobody knew whether it had been put, is one mark', async () => {
  await using fixture = await opened();
  await using cut = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(cut, STORE, new Map(), { cut: 0 });
  const mark = markAt(fixture, 0);
  await cut.putJournal({ marks: [mark], segments: [], gaps: [] }, fixture.run);
  await using writer = await fixture.openWriter({ writer: 'one' });
  const less = { ...mark, positions: {}, missing: [STORE] };
  await writer.putJournal({ marks: [less], segments: [], gaps: [] }, fixture.run);
  const { marks } = await ended(fixture, writer);
  assert.deepEqual(
    marks.map(({ signed }) => signed.missing),
    [[STORE]],
  );
});

test('a merge keeps what a mark is, though a part of it can’t be restored just now', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  const base = await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  await record(fixture, writer, [0, 1]);
  const bytes = must(fixture.memory.get(base.key), 'the manifest');
  fixture.memory.remove(base.key);
  await merge(fixture, writer);
  fixture.memory.put(base.key, bytes);
  const { marks } = await ended(fixture, writer);
  assert.deepEqual(
    marks.map((found) => found.mark.missing),
    [[]],
  );
});

test('the log up to the oldest mark goes with it; what the newest base goes on with stays without a mark', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  await record(fixture, writer, [0, 60]);
  await fixture.writeBase(writer, STORE, new Map(), { cut: 60 });
  await record(fixture, writer, [60, 130]);
  const beyond = await fixture.segment(writer, { store: STORE, after: 130, transactions: transactions(130, 200) });
  await writer.putJournal({ marks: [], segments: [beyond], gaps: [] }, fixture.run);
  const { segments } = await ended(fixture, writer);
  const [early, ...later] = segments;
  const options = { access: await fixture.maintainerAccess(), info: INFO, remembered: fixture.remembered };
  const policy = { windowMs: 0, last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0 };
  await forget({ ...options, policy, timezone: 'UTC' }, fixture.run);
  for (let count = 0; count < 3; count++) await pass(fixture);
  for (const key of objectsOf(must(early, 'a segment'))) assert.equal(fixture.memory.get(key), undefined, key);
  for (const key of later.flatMap(objectsOf)) assert.ok(fixture.memory.get(key), key);
  assert.deepEqual(await restored(fixture), [130]);
});

test('a base after a gap stays with what follows on it, also before a mark names it', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  await record(fixture, writer, [0, 60]);
  const anew = await fixture.writeBase(writer, STORE, new Map(), { cut: 100 });
  const beyond = await fixture.segment(writer, { store: STORE, after: 100, transactions: transactions(100, 130) });
  await writer.putJournal({ marks: [], segments: [beyond], gaps: [] }, fixture.run);
  const { segments } = await ended(fixture, writer);
  for (let count = 0; count < 3; count++) await pass(fixture);
  const kept = [anew.key, ...segments.flatMap(objectsOf)];
  for (const key of kept) assert.ok(fixture.memory.get(key), key);
});

test('what a session that lives has put stays, marked or not', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  const segment = await fixture.segment(writer, { store: STORE, after: 0, transactions: transactions(0, 70) });
  await writer.putJournal({ marks: [], segments: [segment], gaps: [] }, fixture.run);
  const { segments } = await catalogueOf(fixture);
  for (let count = 0; count < 3; count++) await pass(fixture);
  for (const key of segments.flatMap(objectsOf)) assert.ok(fixture.memory.get(key), key);
  await ended(fixture, writer);
  for (let count = 0; count < 2; count++) await pass(fixture);
  for (const key of segments.flatMap(objectsOf)) assert.equal(fixture.memory.get(key), undefined, key);
});

test('frames that an attempt left behind are used by the next, and not when a sweep is after them', async () => {
  await using fixture = await opened();
  await using writer = await fixture.openWriter({ writer: 'one' });
  const segment = await fixture.segment(writer, { store: STORE, after: 0, transactions: transactions(0, 70) });
  const draft = { marks: [], segments: [segment], gaps: [] };
  await writer.putJournal(draft, fixture.run);
  await writer.putJournal(draft, fixture.run);
  const { segments } = await ended(fixture, writer);
  const [first, second] = segments.map((found) => objectsOf(found)[1]);
  assert.ok(first !== undefined && first === second);
  await pass(fixture);
  await using next = await fixture.openWriter({ writer: 'one' });
  await assert.rejects(next.putJournal(draft, fixture.run), { code: 'FENCED' });
  const bytes = must(fixture.memory.get(first), 'a body');
  fixture.memory.put(first, bytes.subarray(1));
  await assert.rejects(next.putJournal(draft, fixture.run), { code: 'REPOSITORY_DAMAGED' });
});
