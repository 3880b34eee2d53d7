import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import { createSeededRandom } from '../flow/random.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { readLog } from '../repository/log-reader.ts';
import { sweep } from '../repository/sweep.ts';
import type { RepositoryWriter } from '../repository/writer.ts';
import { positionAt, RepositoryFixture } from '../testing/repository-fixture.ts';
import { sleepingStore } from '../testing/sleeping-store.ts';
import { putUnsureAgain } from './put-again.ts';

const LEASE_MS = 60_000;
const STORE = 'orders';
const INFO = { application: 'test', host: 'host', command: 'sweep', tool: 'tidemark test' };

async function record(
  fixture: RepositoryFixture,
  writer: RepositoryWriter,
  after: number,
  upTo: number,
): Promise<void> {
  const transactions = Array.from({ length: upTo - after }, (_, at) => {
    const order = after + at + 1;
    // So much that frames lie apart.
    const attributes = createSeededRandom(order).bytes(20_000);
    return { order, entries: new Map([['name', { attributes, content: Buffer.alloc(5000, `content ${order} `) }]]) };
  });
  const segment = await fixture.segment(writer, { store: STORE, after, transactions });
  const mark = { ...fixture.markOf(new Map()), positions: { [STORE]: positionAt(upTo) } };
  await writer.putJournal({ marks: [mark], segments: [segment], gaps: [] }, fixture.run);
  await fixture.clock.advance(1000);
}

/** As a process begins that records. */
async function begin(fixture: RepositoryFixture): Promise<{ readonly catalogue: Catalogue; readonly end: number }> {
  const { owner, run, remembered } = fixture;
  const credential = must((await fixture.writerAccess('one')).writer, 'a writer').id;
  const catalogue = await putUnsureAgain(
    await loadCatalogue(owner, remembered, run),
    {
      credential,
      openWriter: () => fixture.openWriter({ writer: 'one' }),
      endWriter: (writer) => writer.end(run),
    },
    run,
  );
  const end = must(catalogue.histories.get(STORE)?.endOf(credential), 'an end of what was recorded');
  return { catalogue, end: Number(end.order) };
}

async function pass(fixture: RepositoryFixture): Promise<void> {
  await fixture.clock.advance(3 * LEASE_MS);
  await sweep({ access: await fixture.maintainerAccess(), info: INFO, remembered: [], apply: true }, fixture.run);
}

/** Where the marks stand that are complete, each of which is read. */
async function restored(fixture: RepositoryFixture): Promise<readonly number[]> {
  const catalogue = await loadCatalogue(fixture.owner, [], fixture.run);
  assert.deepEqual(catalogue.findings, []);
  const orders: number[] = [];
  for (const { mark, credential } of catalogue.marks) {
    const position = must(mark.positions[STORE], 'a position');
    const plan = must(catalogue.histories.get(STORE)?.planTo({ position, credential }), 'a plan');
    const range = { segments: plan.segments, after: plan.base.summary.logFrom, upTo: position };
    let last = 0;
    for await (const batch of readLog(fixture.owner, range, fixture.run)) {
      for (const { commit } of batch) last = Number(commit.position.order);
    }
    for (const pack of plan.segments.flatMap(({ packs }) => packs)) {
      assert.ok(fixture.memory.get(`packs/${credential}/${pack}`), 'a pack of a segment');
    }
    orders.push(last);
  }
  return orders;
}

async function opened(): Promise<RepositoryFixture> {
  const fixture = await RepositoryFixture.create('put again', { leaseMs: LEASE_MS });
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, new Map(), { cut: 1 });
  await record(fixture, writer, 1, 2);
  await writer.end(fixture.run);
  return fixture;
}

test('what is recorded behind a record whose writer sleeps stays, also when that wakes and takes its record back', async () => {
  await using fixture = await opened();
  const sleeper = sleepingStore(fixture.memory, 'journal/');
  await using first = await fixture.openWriter({ writer: 'one', objects: sleeper.objects });
  const putting = record(fixture, first, 2, 4);
  await sleeper.asleep;
  await fixture.clock.advance(3 * LEASE_MS);

  assert.equal((await begin(fixture)).end, 4);
  await using second = await fixture.openWriter({ writer: 'one' });
  await record(fixture, second, 4, 5);
  await second.end(fixture.run);
  for (let count = 0; count < 3; count++) await pass(fixture);
  sleeper.awake();
  await assert.rejects(putting, { code: 'FENCED' });
  await first.end(fixture.run);
  for (let count = 0; count < 3; count++) await pass(fixture);
  assert.deepEqual(await restored(fixture), [2, 5]);
});

test('nothing is put where what the ends rest on is sure, and what was put again is not put once more', async () => {
  await using fixture = await opened();
  const before = fixture.memory.keys();
  assert.equal((await begin(fixture)).end, 2);
  assert.deepEqual(fixture.memory.keys(), before);

  await using killed = await fixture.openWriter({ writer: 'one' });
  await record(fixture, killed, 2, 3);
  assert.equal((await begin(fixture)).end, 3);
  const after = fixture.memory.keys();
  assert.equal((await begin(fixture)).end, 3);
  assert.deepEqual(fixture.memory.keys(), after);
  for (let count = 0; count < 3; count++) await pass(fixture);
  assert.deepEqual(await restored(fixture), [2, 3]);
});

test('what a record that nobody is sure of has lost is not gone on from', async () => {
  await using fixture = await opened();
  const before = fixture.memory.keys();
  await using killed = await fixture.openWriter({ writer: 'one' });
  await record(fixture, killed, 2, 3);
  for (const key of fixture.memory.keys()) {
    if (key.startsWith('logs/') && !before.includes(key)) fixture.memory.remove(key);
  }
  assert.equal((await begin(fixture)).end, 2);
});
