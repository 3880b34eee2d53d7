import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PlainMemory } from '../archive/plain-memory.ts';
import type { MarkRecord } from '../repository/catalogue.ts';
import type { JournalDraft } from '../repository/journal-writer.ts';
import type { SegmentRecord } from '../repository/log-view.ts';
import type { RepositoryWriter } from '../repository/writer.ts';
import { fakeMark, fakeSegment } from '../testing/fake-records.ts';
import { mergeJournal } from './merge.ts';

const MIB = 1024 * 1024;
const run = { signal: new AbortController().signal };

/** What a merge puts, by a writer that has put these: `1-3 3-5, 4 marks`. */
async function merged(
  own: { readonly runs?: readonly (readonly SegmentRecord[])[]; readonly marks?: readonly MarkRecord[] },
  { withMarks = true, plain = new PlainMemory(MIB) } = {},
): Promise<readonly string[]> {
  const puts: string[] = [];
  const frames = new Map<number, Uint8Array>();
  const writer = {
    joinPacks: async () => undefined,
    packsNow: (ids: readonly string[]) => ids,
    ownJournal: async () => ({ runs: [], marks: [], ...own }),
    readBody: async ({ storedBytes }: SegmentRecord) => {
      const known = frames.get(storedBytes) ?? new Uint8Array(storedBytes);
      frames.set(storedBytes, known);
      return known;
    },
    sealFrame: (_history: string, payload: Uint8Array) => payload,
    putJournal: async ({ segments, marks }: JournalDraft) => {
      const told = segments.map(({ after, upTo }) => `${Number(after.order)}-${Number(upTo.order)}`);
      puts.push([...told, `${marks.length} marks`].join(' '));
      const bytes = segments.reduce((sum, segment) => sum + segment.frames.byteLength, 0);
      assert.ok(bytes <= 64 * MIB, `${bytes} bytes in a record`);
    },
  };
  // All that a merge calls.
  await mergeJournal(writer as unknown as RepositoryWriter, { tier: 'minutes', withMarks, plain }, run);
  return puts;
}

/** So many marks of one record. */
function record(count: number): readonly MarkRecord[] {
  const first = fakeMark(1);
  return Array.from({ length: count }, (_, at) => ({ ...fakeMark(at), key: first.key }));
}

test('segments and marks are joined into one record', async () => {
  const segments = [fakeSegment(1, 2), fakeSegment(2, 3), fakeSegment(3, 4)];
  assert.deepEqual(await merged({ runs: [segments], marks: [...record(2), ...record(3)] }), ['1-4 5 marks']);
  assert.deepEqual(await merged({ runs: [segments], marks: record(2) }, { withMarks: false }), ['1-4 0 marks']);
});

test('nothing is put where nothing can be joined: a segment or a record alone, or one that is full', async () => {
  assert.deepEqual(await merged({}), []);
  assert.deepEqual(await merged({ runs: [[fakeSegment(1, 2)]], marks: record(50) }), []);
  assert.deepEqual(await merged({ marks: [...record(50), ...record(100), ...record(720)] }), []);
  assert.deepEqual(await merged({ marks: [...record(50), ...record(100), ...record(1)] }), ['51 marks']);
});

test('a record holds no more than fits into memory, however much is joined', async () => {
  const storedBytes = 10 * MIB;
  const segments = Array.from({ length: 21 }, (_, at) => fakeSegment(at, at + 1, { storedBytes }));
  const marks = Array.from({ length: 50 }, () => record(99)).flat();
  assert.deepEqual(await merged({ runs: [segments], marks }), [
    '0-3 3-6 1980 marks',
    '6-9 9-12 1980 marks',
    '12-15 15-18 990 marks',
    '18-21 0 marks',
  ]);
});
