import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PlainMemory } from '../archive/plain-memory.ts';
import { must } from '../core/must.ts';
import { createSeededRandom } from '../flow/random.ts';
import { sweep } from '../repository/sweep.ts';
import type { RepositoryWriter } from '../repository/writer.ts';
import { openPoint } from '../restore/point.ts';
import { positionAt, RepositoryFixture } from '../testing/repository-fixture.ts';
import { mergeJournal } from './merge.ts';

const STORE = 'uploads';
const LEASE_MS = 60_000;
const INFO = { application: 'test', host: 'host', command: 'sweep', tool: 'tidemark test' };

function contentOf(order: number, sizeBytes: number): Uint8Array {
  return createSeededRandom(order).bytes(sizeBytes);
}

/** An observation with one new content, put with a mark. */
async function observe(
  fixture: RepositoryFixture,
  writer: RepositoryWriter,
  { order, sizeBytes }: { readonly order: number; readonly sizeBytes: number },
): Promise<void> {
  const entries = new Map([[`file ${order}`, { attributes: Buffer.from('x'), content: contentOf(order, sizeBytes) }]]);
  const log = { store: STORE, after: order - 1, transactions: [{ order, entries }] };
  const segment = await fixture.segment(writer, log);
  const mark = { ...fixture.markOf(new Map()), positions: { [STORE]: positionAt(order) } };
  await writer.putJournal({ marks: [mark], segments: [segment], gaps: [] }, fixture.run);
  await fixture.clock.advance(1000);
}

const merge = (fixture: RepositoryFixture, writer: RepositoryWriter): Promise<void> =>
  mergeJournal(writer, { tier: 'minutes', withMarks: true, plain: new PlainMemory(0) }, fixture.run);

function packsIn({ memory }: RepositoryFixture): number {
  return memory.keys().filter((key) => key.startsWith('packs/')).length;
}

/** Ends the session and lets sweeps free what nothing needs. */
async function sweepAll(fixture: RepositoryFixture, writer: RepositoryWriter): Promise<void> {
  await writer.publish(fixture.run);
  await writer.end(fixture.run);
  const access = await fixture.maintainerAccess();
  for (let pass = 0; pass < 4; pass++) {
    await fixture.clock.advance(3 * LEASE_MS);
    await sweep({ access, info: INFO, remembered: writer.heads, apply: true }, fixture.run);
  }
}

/** Reads each mark whole. */
async function assertRestores(fixture: RepositoryFixture, orders: number, sizeBytes: number): Promise<void> {
  await using reader = await fixture.openReader();
  const { catalogue } = reader;
  assert.deepEqual(catalogue.findings, []);
  assert.equal(catalogue.marks.length, orders);
  for (const { mark, credential } of catalogue.marks) {
    const position = must(mark.positions[STORE], 'a position');
    const plan = must(catalogue.histories.get(STORE)?.planTo({ position, credential }), 'a plan');
    using point = await openPoint(reader, plan, fixture.run);
    let count = 0;
    for await (const batch of point.entries(fixture.run)) {
      for (const { name, content } of batch) {
        const pieces = await Array.fromAsync(point.read(must(content, 'a content'), fixture.run));
        const order = Number(Buffer.from(name).toString().slice('file '.length));
        assert.deepEqual(Buffer.concat(pieces), Buffer.from(contentOf(order, sizeBytes)), `file ${order}`);
        count++;
      }
    }
    assert.equal(count, Number(position.order));
  }
}

async function recorded(options: { readonly sizeBytes: number; readonly mergeAt: readonly number[] }) {
  const fixture = await RepositoryFixture.create('packs', { leaseMs: LEASE_MS });
  const writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, new Map(), { cut: 0 });
  const before = packsIn(fixture);
  for (let order = 1; order <= 12; order++) {
    await observe(fixture, writer, { order, sizeBytes: options.sizeBytes });
    if (options.mergeAt.includes(order)) await merge(fixture, writer);
  }
  const grown = packsIn(fixture) - before;
  await sweepAll(fixture, writer);
  return {
    fixture,
    grown,
    left: packsIn(fixture) - before,
    async [Symbol.asyncDispose]() {
      await writer[Symbol.asyncDispose]();
      await fixture[Symbol.asyncDispose]();
    },
  };
}

test('small packs are joined when their segments are, and a sweep frees them; every mark restores', async () => {
  await using joined = await recorded({ sizeBytes: 800, mergeAt: [12] });
  assert.deepEqual([joined.grown, joined.left], [13, 1]);
  await assertRestores(joined.fixture, 12, 800);
});

test('what was joined is joined again with what comes later, as long as it is small', async () => {
  await using joined = await recorded({ sizeBytes: 800, mergeAt: [4, 8, 12] });
  assert.ok(joined.left <= 3, `${joined.left} packs are left`);
  await assertRestores(joined.fixture, 12, 800);
});

test('without a merge all packs stay', async () => {
  await using alone = await recorded({ sizeBytes: 800, mergeAt: [] });
  assert.deepEqual([alone.grown, alone.left], [12, 12]);
  await assertRestores(alone.fixture, 12, 800);
});
