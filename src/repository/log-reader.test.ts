import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../core/errors.ts';
import { logBytes, readLogBytes } from '../core/log-bytes.ts';
import { must } from '../core/must.ts';
import { positionAt, RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureEntry, FixtureTransaction } from '../testing/repository-fixture.ts';
import { loadCatalogue } from './catalogue.ts';
import { PayloadBuilder, payloadOf } from './format/log-payload.ts';
import type { SegmentDraft } from './journal-writer.ts';
import { placeOf, readLog } from './log-reader.ts';
import type { LogRange } from './log-reader.ts';
import type { SegmentRecord } from './log-view.ts';
import type { RepositoryWriter } from './writer.ts';

const entry = (text: string): FixtureEntry => ({ attributes: Buffer.from(text) });

function transactions(from: number, to: number): readonly FixtureTransaction[] {
  return Array.from({ length: to - from }, (_, index) => {
    const order = from + index + 1;
    return {
      order,
      entries: new Map([
        [`name ${order}`, entry(`value ${order}`)],
        ['gone', undefined],
      ]),
    };
  });
}

async function recorded(
  fixture: RepositoryFixture,
  segments: readonly (readonly [number, number])[],
): Promise<readonly SegmentRecord[]> {
  await using writer = await fixture.openWriter({ writer: 'one' });
  for (const [after, upTo] of segments) {
    const segment = await fixture.segment(writer, { store: 'orders', after, transactions: transactions(after, upTo) });
    await writer.putJournal({ marks: [], segments: [segment], gaps: [] }, fixture.run);
  }
  await writer.end(fixture.run);
  fixture.remembered = writer.heads;
  return await segmentsOf(fixture);
}

async function segmentsOf(fixture: RepositoryFixture): Promise<readonly SegmentRecord[]> {
  const { segments, findings } = await loadCatalogue(fixture.owner, [], fixture.run);
  assert.deepEqual(findings, []);
  return segments;
}

async function read(fixture: RepositoryFixture, range: LogRange): Promise<readonly number[]> {
  const orders: number[] = [];
  for await (const batch of readLog(fixture.owner, range, fixture.run)) {
    for (const { entries, commit } of batch) {
      const order = Number(commit.position.order);
      assert.equal(commit.atMs, order * 1000);
      // What went comes first.
      assert.deepEqual(
        entries.map(({ name }) => Buffer.from(name).toString()),
        ['gone', `name ${order}`],
      );
      assert.ok('removed' in must(entries[0], 'an entry'));
      orders.push(order);
    }
  }
  return orders;
}

function range(segments: readonly SegmentRecord[], after: number, upTo: number): LogRange {
  return { segments, after: positionAt(after), upTo: positionAt(upTo) };
}

const isDamage = (error: unknown): boolean => isTidemarkError(error, 'REPOSITORY_DAMAGED');

test('transactions come in order, each once, also from segments that overlap and go beyond what is wanted', async () => {
  await using fixture = await RepositoryFixture.create();
  const segments = await recorded(fixture, [
    [0, 4],
    [2, 6],
    [6, 7],
    [7, 300],
  ]);
  assert.deepEqual(await read(fixture, range(segments, 0, 7)), [1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(await read(fixture, range(segments, 3, 5)), [4, 5]);
  assert.deepEqual(await read(fixture, range(segments, 4, 4)), []);
  assert.equal((await read(fixture, range(segments, 0, 300))).length, 300);
  assert.equal(segments[3]?.body?.length, 64);
  assert.equal(segments[0]?.body, undefined);
});

test('a position between two transactions stands for what was before it; one beyond the log is damage', async () => {
  await using fixture = await RepositoryFixture.create();
  await using writer = await fixture.openWriter({ writer: 'one' });
  const some = transactions(0, 10).filter(({ order }) => order % 3 === 0);
  const segment = await fixture.segment(writer, { store: 'orders', after: 0, transactions: some });
  await writer.putJournal({ marks: [], segments: [segment], gaps: [] }, fixture.run);
  const segments = await segmentsOf(fixture);
  assert.deepEqual(await read(fixture, range(segments, 0, 8)), [3, 6]);
  await assert.rejects(read(fixture, range(segments, 0, 10)), isDamage);
});

test('another thing at the place that is wanted, or at the one where it begins, is a fork and damage', async () => {
  await using fixture = await RepositoryFixture.create();
  const segments = await recorded(fixture, [[0, 5]]);
  const forked = { segments, after: positionAt(2), upTo: positionAt(4) };
  await assert.rejects(read(fixture, { ...forked, upTo: positionAt(4, 'other') }), isDamage);
  await assert.rejects(read(fixture, { ...forked, after: positionAt(2, 'other') }), isDamage);
  assert.deepEqual(await read(fixture, forked), [3, 4]);
});

test('a place between two transactions is reached, unless it is to be the place of one', async () => {
  await using fixture = await RepositoryFixture.create();
  const segments = await recorded(fixture, [[0, 5]]);
  const between = { ...positionAt(3), order: `${positionAt(3).order}5` };
  const range = { segments, after: positionAt(0), upTo: between };
  assert.deepEqual(await read(fixture, range), [1, 2, 3]);
  await assert.rejects(read(fixture, { ...range, stopsThere: true }), isDamage);
  assert.deepEqual(await read(fixture, { ...range, upTo: positionAt(3), stopsThere: true }), [1, 2, 3]);
});

async function withDraft(change: (draft: SegmentDraft, writer: RepositoryWriter) => SegmentDraft): Promise<void> {
  await using fixture = await RepositoryFixture.create();
  await using writer = await fixture.openWriter({ writer: 'one' });
  const draft = await fixture.segment(writer, { store: 'orders', after: 0, transactions: transactions(0, 3) });
  await writer.putJournal({ marks: [], segments: [change(draft, writer)], gaps: [] }, fixture.run);
  const segments = await segmentsOf(fixture);
  const upTo = must(segments[0], 'a segment').upTo;
  await assert.rejects(read(fixture, { segments, after: positionAt(0), upTo }), isDamage);
}

test('frames that do not begin where the segment does, do not end there, or do not follow on each other are damage', async () => {
  await withDraft((draft) => ({ ...draft, upTo: positionAt(5) }));
  await withDraft((draft) => ({ ...draft, after: { ...draft.after, order: '0' } }));
  await withDraft((draft) => ({ ...draft, frames: Buffer.concat([draft.frames, draft.frames]) }));
  await withDraft((draft) => ({ ...draft, frames: draft.frames.subarray(0, -1) }));
  await withDraft((draft) => ({ ...draft, frames: new Uint8Array(0) }));
});

test('commits that do not ascend, and changes after the last commit, are damage', async () => {
  const commit = (order: number) => ({ position: positionAt(order), atMs: 1 });
  const sealed = (pieces: (builder: PayloadBuilder) => void) =>
    withDraft((draft, writer) => {
      const builder = new PayloadBuilder();
      pieces(builder);
      return { ...draft, frames: writer.sealFrame('orders', payloadOf(draft.after, [builder.takePieces()])) };
    });
  await sealed((builder) => {
    for (const order of [1, 3, 2, 3]) builder.piece({ changes: [], commit: commit(order) });
  });
  await sealed((builder) => {
    for (const order of [1, 1, 3]) builder.piece({ changes: [], commit: commit(order) });
  });
  await sealed((builder) => {
    builder.piece({ changes: [], commit: commit(3) });
    builder.piece({ changes: [{ name: Buffer.from('x'), removed: true }] });
  });
});

test('a body that is gone or changed is named', async () => {
  await using fixture = await RepositoryFixture.create();
  const segments = await recorded(fixture, [[0, 300]]);
  const place = placeOf(must(segments[0], 'a segment'));
  assert.match(place, /^logs\//);
  const bytes = must(fixture.memory.get(place), 'a body');
  for (const changed of [bytes.subarray(1), Buffer.concat([bytes, Buffer.of(0)]), Buffer.from(bytes).fill(1, 9, 10)]) {
    fixture.memory.put(place, changed);
    await assert.rejects(
      read(fixture, range(segments, 0, 300)),
      (error) => isDamage(error) && error instanceof Error && error.message.includes(place),
    );
  }
  fixture.memory.remove(place);
  await assert.rejects(read(fixture, range(segments, 0, 300)), (error) => isTidemarkError(error, 'OBJECT_NOT_FOUND'));
});

/** All bytes of a range. Each follows on the one before, and none lies behind its commit. */
async function bytesIn(fixture: RepositoryFixture, wanted: LogRange): Promise<Uint8Array> {
  const found: Uint8Array[] = [];
  let place = Number(wanted.after.order);
  for (const { entries, commit } of (await Array.fromAsync(readLog(fixture.owner, wanted, fixture.run))).flat()) {
    for (const { start, bytes } of entries.map(readLogBytes)) {
      assert.equal(Number(start), place);
      place += bytes.byteLength;
      found.push(bytes);
    }
    assert.ok(place <= Number(commit.position.order) && commit.position.order <= wanted.upTo.order);
  }
  return Buffer.concat(found);
}

test('of a log of bytes every byte between two places comes once, also where they lie within what was received at once', async () => {
  await using fixture = await RepositoryFixture.create();
  const commits = [3, 4, 9, 20, 21, 40];
  const byteAt = (place: number): number => (place * 37) % 251;
  const bytesOf = (from: number, to: number): Uint8Array =>
    Uint8Array.from({ length: to - from }, (_, index) => byteAt(from + index));
  await using writer = await fixture.openWriter({ writer: 'one' });
  const transaction = (order: number, index: number): FixtureTransaction => {
    const change = logBytes(BigInt(commits[index - 1] ?? 0), bytesOf(commits[index - 1] ?? 0, order));
    assert.ok('attributes' in change);
    const name = Buffer.from(change.name).toString('latin1');
    return { order, entries: new Map([[name, { attributes: change.attributes }]]) };
  };
  const all = commits.map(transaction);
  for (const [after, part] of [[0, all.slice(0, 2)] as const, [4, all.slice(2)] as const]) {
    const segment = await fixture.segment(writer, { store: 'orders', after, transactions: part });
    await writer.putJournal({ marks: [], segments: [segment], gaps: [] }, fixture.run);
  }
  await writer.end(fixture.run);
  const segments = await segmentsOf(fixture);
  for (let after = 0; after <= 40; after++) {
    for (let upTo = after; upTo <= 40; upTo++) {
      const found = await bytesIn(fixture, { ...range(segments, after, upTo), isBytes: true });
      assert.deepEqual([...found], [...bytesOf(after, upTo)], `from ${after} to ${upTo}`);
    }
  }
});
