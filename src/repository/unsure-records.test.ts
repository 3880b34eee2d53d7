import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { forward } from '../objects/wrappers/forward.ts';
import { positionAt, RepositoryFixture } from '../testing/repository-fixture.ts';
import { sleepingStore } from '../testing/sleeping-store.ts';
import { loadCatalogue } from './catalogue.ts';
import type { Catalogue } from './catalogue.ts';
import { forget, setPinned } from './maintainer.ts';
import type { Mark } from './mark.ts';
import { sweep } from './sweep.ts';
import type { RepositoryWriter } from './writer.ts';

const LEASE_MS = 60_000;
const STORE = 'orders';
const NOTHING = { windowMs: 0, last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0 };

function storeOf(label: string): ReadonlyMap<string, { attributes: Uint8Array; content: Uint8Array }> {
  return new Map([['a', { attributes: new Uint8Array(1), content: Buffer.alloc(20_000, label) }]]);
}

function infoOf(command: string) {
  return { application: 'test', host: 'host', command, tool: 'tidemark test' };
}

async function opened(): Promise<RepositoryFixture> {
  return await RepositoryFixture.create('unsure', { leaseMs: LEASE_MS });
}

async function giveUpAllBut(fixture: RepositoryFixture, last: number): Promise<void> {
  const access = await fixture.maintainerAccess();
  const options = { access, remembered: [], info: infoOf('forget'), policy: { ...NOTHING, last }, timezone: 'UTC' };
  await forget(options, fixture.run);
}

async function sweepAll(fixture: RepositoryFixture): Promise<void> {
  const access = await fixture.maintainerAccess();
  for (let count = 0; count < 4; count++) {
    await fixture.clock.advance(3 * LEASE_MS);
    await sweep({ access, info: infoOf('sweep'), remembered: [], apply: true }, fixture.run);
  }
}

async function catalogueOf(fixture: RepositoryFixture): Promise<Catalogue> {
  const catalogue = await loadCatalogue(fixture.owner, [], fixture.run);
  assert.deepEqual(catalogue.findings, []);
  return catalogue;
}

test('a mark that its writer takes back has made retention and sweeps give up no other', async () => {
  await using fixture = await opened();
  const { mark } = await fixture.backup({ writer: 'one', stores: { [STORE]: storeOf('first') } });
  const { objects, asleep, awake } = sleepingStore(fixture.memory, 'journal/');
  const backup = fixture.backup({ writer: 'one', stores: { [STORE]: storeOf('second') }, objects });
  await asleep;
  await giveUpAllBut(fixture, 1);
  await sweepAll(fixture);
  awake();
  await assert.rejects(backup, { code: 'FENCED' });
  await sweepAll(fixture);
  const { marks, bases } = await catalogueOf(fixture);
  assert.deepEqual(
    marks.map((record) => record.mark.id),
    [mark.id],
  );
  assert.ok(bases.has(must(mark.bases[STORE], 'a base')));
  await using reader = await fixture.openReader();
  const base = await reader.base(
    must(reader.catalogue.bases.get(must(mark.bases[STORE], 'a base')), 'a base'),
    fixture.run,
  );
  const entries = (await Array.fromAsync(base.entries(fixture.run))).flat();
  const content = must(entries[0]?.content, 'an entry with content');
  const bytes = Buffer.concat(await Array.fromAsync(base.read(content, fixture.run)));
  assert.equal(bytes.toString('latin1', 0, 10), 'firstfirst');
});

async function record(fixture: RepositoryFixture, writer: RepositoryWriter, upTo: number): Promise<Mark> {
  const transactions = [{ order: upTo, entries: new Map([['a', { attributes: new Uint8Array(1) }]]) }];
  const segment = await fixture.segment(writer, { store: STORE, after: upTo - 1, transactions });
  const mark = { ...fixture.markOf(new Map()), positions: { [STORE]: positionAt(upTo) } };
  await writer.putJournal({ marks: [mark], segments: [segment], gaps: [] }, fixture.run);
  await fixture.clock.advance(1000);
  return mark;
}

/** Two bases with log, whose first mark has been given up, and is still there because its record holds a mark that is kept. */
async function givenUp(fixture: RepositoryFixture): Promise<{ readonly before: Catalogue; readonly mark: Mark }> {
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, storeOf('first'), { cut: 1 });
  const mark = await record(fixture, writer, 2);
  await record(fixture, writer, 3);
  await fixture.writeBase(writer, STORE, storeOf('second'), { cut: 3 });
  const last = await record(fixture, writer, 4);
  await writer.putJournal({ marks: [mark, last], segments: [], gaps: [] }, fixture.run);
  await writer.end(fixture.run);
  const before = await catalogueOf(fixture);
  await giveUpAllBut(fixture, 1);
  await sweepAll(fixture);
  const { bases, markIds } = await catalogueOf(fixture);
  assert.deepEqual([bases.size, markIds.has(mark.id)], [1, true]);
  return { before, mark };
}

test('a mark that was given up and is not whole any more is not pinned', async () => {
  await using fixture = await opened();
  const { before, mark } = await givenUp(fixture);
  const access = await fixture.maintainerAccess();
  const pinning = { access, remembered: [], info: infoOf('pin'), mark: mark.id, pinned: true };
  await assert.rejects(setPinned({ ...pinning, catalogue: before }, fixture.run), { code: 'TARGET_UNKNOWN' });
  await sweepAll(fixture);
  assert.equal((await catalogueOf(fixture)).pins.size, 0);
});

test('who dies while pinning a mark that is not whole any more leaves no damage, and sweeps go on', async () => {
  await using fixture = await opened();
  const { before, mark } = await givenUp(fixture);
  const access = await fixture.maintainerAccess();
  const { objects, asleep } = sleepingStore(fixture.memory, 'pins/');
  const pinning = { access: { ...access, objects }, remembered: [], info: infoOf('pin'), mark: mark.id, pinned: true };
  void setPinned({ ...pinning, catalogue: before }, fixture.run);
  await asleep;
  await sweepAll(fixture);
  const { marks, pins } = await catalogueOf(fixture);
  assert.deepEqual(
    [pins.has(mark.id), marks.find((record) => record.mark.id === mark.id)?.mark.missing],
    [true, [STORE]],
  );
});

test('a record that appears long after what it needs was swept leaves no damage, also where its writer can’t take it back', async () => {
  await using fixture = await opened();
  const { memory } = fixture;
  const late: (() => Promise<void>)[] = [];
  const objects: ObjectStore = {
    ...forward(memory),
    async create(key, body, run) {
      const put = (): Promise<void> => memory.create(key, body, run);
      if (key.startsWith('journal/')) late.push(put);
      else await put();
    },
  };
  {
    await using writer = await fixture.openWriter({ writer: 'one', objects });
    await fixture.writeBase(writer, STORE, storeOf('first'), { cut: 1 });
    await assert.rejects(record(fixture, writer, 2), { code: 'FENCED' });
  }
  for (const label of ['second', 'third']) await fixture.backup({ writer: 'one', stores: { [STORE]: storeOf(label) } });
  await giveUpAllBut(fixture, 1);
  await sweepAll(fixture);
  await must(late[0], 'a record that was being put')();
  const { marks } = await catalogueOf(fixture);
  assert.deepEqual(
    marks.map(({ mark }) => mark.missing),
    [[STORE], []],
  );
  await sweepAll(fixture);
});
