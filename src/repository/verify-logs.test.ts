import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import { createSeededRandom } from '../flow/random.ts';
import { positionAt, RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureEntry, FixtureTransaction } from '../testing/repository-fixture.ts';
import { loadCatalogue } from './catalogue.ts';
import type { SegmentDraft } from './journal-writer.ts';
import { placeOf } from './log-reader.ts';
import { segmentPackKeys } from './log-view.ts';
import type { SegmentRecord } from './log-view.ts';
import { verifyRepository } from './verify.ts';
import type { VerifyReport } from './verify.ts';
import { checkInPlace } from './verify/check-in-place.ts';
import type { DecoderOf } from './verify/decoding.ts';

const STORE = 'orders';

async function verify(
  fixture: RepositoryFixture,
  share: number,
  decoderOf: DecoderOf = async () => undefined,
): Promise<VerifyReport> {
  const access = await fixture.open();
  const openChecker = async (): Promise<ReturnType<typeof checkInPlace>> => checkInPlace(access);
  const { random } = fixture.runtime;
  const { remembered, run } = fixture;
  return await verifyRepository(
    { access, remembered, share, random, openChecker, decoderOf, onProgress: () => undefined },
    run,
  );
}

/** One entry with attributes that do not pack, and one with a content, at each place. */
function transactions(after: number, upTo: number): readonly FixtureTransaction[] {
  return Array.from({ length: upTo - after }, (_, index) => {
    const order = after + index + 1;
    const random = createSeededRandom(order);
    const large = { attributes: random.bytes(4), content: random.bytes(4000) };
    const entries = new Map<string, FixtureEntry>([
      [`name ${order}`, { attributes: random.bytes(300) }],
      [`large ${order}`, large],
    ]);
    return { order, entries };
  });
}

type Logged = {
  readonly fixture: RepositoryFixture;
  /** In the record, apart, and beyond every mark. */
  readonly segments: readonly SegmentRecord[];
  readonly marks: readonly string[];
} & AsyncDisposable;

/** A base, two segments with a mark each, and one that no mark needs. */
async function logged(spoil: (draft: SegmentDraft) => SegmentDraft = (draft) => draft): Promise<Logged> {
  const fixture = await RepositoryFixture.create();
  await using writer = await fixture.openWriter({ writer: 'one' });
  await fixture.writeBase(writer, STORE, new Map([['name 0', { attributes: Buffer.from('x') }]]), { cut: 0 });
  const marks: string[] = [];
  for (const [after, upTo, isMarked] of [
    [0, 2, true],
    [2, 60, true],
    [60, 120, false],
  ] as const) {
    const segment = await fixture.segment(writer, { store: STORE, after, transactions: transactions(after, upTo) });
    const mark = { ...fixture.markOf(new Map()), positions: { [STORE]: positionAt(upTo) } };
    if (isMarked) marks.push(`${mark.id} ${STORE}`);
    const draft = { marks: isMarked ? [mark] : [], segments: [after === 0 ? spoil(segment) : segment], gaps: [] };
    await writer.putJournal(draft, fixture.run);
    await fixture.clock.advance(2000);
  }
  await writer.end(fixture.run);
  fixture.remembered = writer.heads;
  const { segments } = await loadCatalogue(fixture.owner, [], fixture.run);
  return { fixture, segments, marks, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

function flip({ memory }: RepositoryFixture, key: string, at: number): void {
  const bytes = Buffer.from(must(memory.get(key), 'the object'));
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  memory.put(key, bytes);
}

async function shown(fixture: RepositoryFixture, share: number): Promise<readonly string[]> {
  const { damage } = await verify(fixture, share);
  return damage.map(({ object, kind, affects }) => `${kind} ${object}: ${affects.join(', ')}`);
}

test('segments that lead to marks are counted, and where nothing is damaged nothing is said', async () => {
  await using log = await logged();
  for (const share of [0, 0.5, 1]) {
    const report = await verify(log.fixture, share);
    assert.deepEqual([report.segments, report.bases, report.damage], [2, 1, []]);
    assert.equal(report.proven.length, share === 1 ? 1 : 0);
  }
});

test('the contents of segments are among the chunks that are checked', async () => {
  await using log = await logged();
  const { chunks, bytes } = await verify(log.fixture, 1);
  assert.ok(chunks >= 60);
  assert.ok(bytes > 60 * 4000);
});

test('a body that is gone or has another size is found without reading it, one that was changed by reading it', async () => {
  for (const [spoil, byStructure] of [
    [(fixture: RepositoryFixture, key: string) => fixture.memory.remove(key), true],
    [(fixture: RepositoryFixture, key: string) => fixture.memory.put(key, Buffer.alloc(10)), true],
    [(fixture: RepositoryFixture, key: string) => flip(fixture, key, 40), false],
  ] as const) {
    await using log = await logged();
    const place = placeOf(must(log.segments[1], 'a segment'));
    assert.match(place, /^logs\//);
    spoil(log.fixture, place);
    const expected = [`log ${place}: ${log.marks[1]}`];
    assert.deepEqual(await shown(log.fixture, 0), byStructure ? expected : []);
    assert.deepEqual(await shown(log.fixture, 1), expected);
  }
});

test('a body that no mark needs is none of its business', async () => {
  await using log = await logged();
  log.fixture.memory.remove(placeOf(must(log.segments[2], 'a segment')));
  assert.deepEqual(await shown(log.fixture, 1), []);
});

test('a journal record that is gone or damaged takes the marks with it that its log led to', async () => {
  for (const spoil of [
    (fixture: RepositoryFixture, key: string) => fixture.memory.remove(key),
    (fixture: RepositoryFixture, key: string) => flip(fixture, key, 300),
  ]) {
    await using log = await logged();
    const { key } = must(log.segments[0], 'a segment');
    spoil(log.fixture, key);
    for (const share of [0, 1]) {
      const found = await shown(log.fixture, share);
      assert.equal(found.length, 2, found.join('\n'));
      assert.ok(found.includes(`log the log of ${STORE}: ${log.marks[1]}`), found.join('\n'));
      assert.match(found.join('\n'), /chain record 2 of session|journal journal\//);
    }
  }
});

test('a damaged pack of a segment is named with the marks that stand on the segment', async () => {
  await using log = await logged();
  const segment = must(log.segments[1], 'a segment');
  const [pack] = segmentPackKeys(segment);
  flip(log.fixture, must(pack, 'a pack'), 200);
  assert.deepEqual(await shown(log.fixture, 0), []);
  const [found, ...others] = await shown(log.fixture, 1);
  assert.deepEqual(others, []);
  assert.match(found ?? '', new RegExp(`^pack ${pack}: ${log.marks[1]}, ${STORE}:large \\d+`));
  log.fixture.memory.remove(must(pack, 'a pack'));
  assert.deepEqual(await shown(log.fixture, 0), [`pack ${pack}: ${log.marks[1]}`]);
});

const LIES: Readonly<Record<string, (draft: SegmentDraft) => SegmentDraft>> = {
  'frames twice': (draft) => ({ ...draft, frames: Buffer.concat([draft.frames, draft.frames]) }),
  'frames that are cut off': (draft) => ({ ...draft, frames: draft.frames.subarray(0, -1) }),
  'no frames': (draft) => ({ ...draft, frames: new Uint8Array(0) }),
  'packs that are not named': (draft) => ({ ...draft, packs: [] }),
};

test('what a liar signed is found by reading every byte', async () => {
  for (const [what, spoil] of Object.entries(LIES)) {
    await using log = await logged(spoil);
    const { key } = must(log.segments[0], 'a segment');
    const found = await shown(log.fixture, 1);
    assert.ok(
      found.some((text) => text.includes(`${key}: `) && log.marks.every((mark) => text.includes(mark))),
      `${what}: ${found.join('\n')}`,
    );
  }
});
