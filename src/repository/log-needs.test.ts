import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeBase, fakeMark, fakeSegment } from '../testing/fake-records.ts';
import { positionAt } from '../testing/repository-fixture.ts';
import type { BaseRecord, MarkRecord } from './catalogue.ts';
import { basesByHistory, basesOfMarks, neededSegments, objectsOf, placeIn } from './log-needs.ts';
import { HistoryView } from './log-view.ts';
import type { SegmentRecord } from './log-view.ts';

function known(bases: readonly BaseRecord[], segments: readonly SegmentRecord[]) {
  return {
    bases: new Map(bases.map((base) => [base.key, base])),
    histories: new Map([['orders', new HistoryView(bases, segments)]]),
  };
}

const [base1, base5] = [fakeBase(1), fakeBase(5)];
const [s13, s36, s69] = [fakeSegment(1, 3), fakeSegment(3, 6), fakeSegment(6, 9)];
const all = known([base1, base5], [s13, s36, s69]);

type Known = ReturnType<typeof known>;

/** As it is read of a catalogue. */
function read(from: Known, mark: MarkRecord): MarkRecord {
  return { ...mark, standsOn: basesByHistory(from, mark) };
}

function neededFor(
  from: Known,
  marks: readonly MarkRecord[],
  ends: readonly BaseRecord[] = [],
): readonly SegmentRecord[] {
  return [...neededSegments(from, { marks: marks.map((mark) => read(from, mark)), ends })];
}

test('a mark stands on the bases that it names, and on those from which its positions are reached', () => {
  const basesOf = (mark: MarkRecord): readonly string[] => [...basesOfMarks([read(all, mark)])];
  assert.deepEqual(basesOf(fakeMark(4)), [base1.key]);
  assert.deepEqual(basesOf(fakeMark(8)), [base5.key]);
  assert.deepEqual(basesOf(fakeMark(5, { bases: { orders: base1.key } })), [base1.key]);
  assert.deepEqual(basesOf(fakeMark(8, { credential: 'b' })), []);
  assert.deepEqual(basesOf(fakeMark(6, { floors: { orders: positionAt(4) } })), [base1.key]);
  const gone = fakeMark(5, { bases: { orders: 'manifests/gone' } });
  assert.deepEqual([...basesByHistory(all, gone)], [['orders', 'manifests/gone']]);
});

function needed(orders: readonly number[], ends: readonly BaseRecord[] = []): readonly SegmentRecord[] {
  return neededFor(
    all,
    orders.map((order) => fakeMark(order)),
    ends,
  );
}

test('needed are the segments that lead to the marks, and of protected bases those up to the end of their log', () => {
  assert.deepEqual(needed([]), []);
  assert.deepEqual(needed([1, 5]), []);
  assert.deepEqual(needed([2]), [s13]);
  assert.deepEqual(needed([2, 4]), [s13, s36]);
  assert.deepEqual(needed([7]), [s36, s69]);
  assert.deepEqual(needed([2], [base5]), [s13, s36, s69]);
  assert.deepEqual(needed([10]), []);
});

test('the log of a fuzzy base is needed for its own cut', () => {
  const fuzzy = fakeBase(5, { logFrom: 2 });
  const marks = [fakeMark(5, { bases: { orders: fuzzy.key } })];
  assert.deepEqual(neededFor(known([fuzzy], [s13, s36, s69]), marks), [s13, s36]);
});

test('a segment that was merged into another is not needed any more', () => {
  const merged = fakeSegment(1, 6);
  const both = known([base1], [s13, s36, merged]);
  assert.deepEqual(neededFor(both, [fakeMark(2), fakeMark(5)]), [merged]);
});

test('what leads there without a segment that may be taken back is needed beside it', () => {
  const unsure = { isConfirmed: false };
  const needed = (...segments: SegmentRecord[]): ReadonlySet<SegmentRecord> => {
    return new Set(neededFor(known([base1], segments), [fakeMark(2), fakeMark(5)]));
  };
  const merged = fakeSegment(1, 6, unsure);
  assert.deepEqual(needed(s13, s36, s69, merged), new Set([merged, s13, s36]));
  assert.deepEqual(needed(s13, merged), new Set([merged, s13]));
  assert.deepEqual(needed(merged), new Set([merged]));
  const piece = fakeSegment(1, 3, unsure);
  const [s12, s23] = [fakeSegment(1, 2), fakeSegment(2, 3)];
  assert.deepEqual(needed(s12, s23, piece, s36, merged), new Set([merged, piece, s36, s12, s23]));
});

test('of observations a segment stays that alone stops at a mark: others pass it, and were not joined from it', () => {
  const observed = fakeBase(1, { exact: 'observation' });
  const anew = fakeSegment(1, 7);
  const needed = (segments: readonly SegmentRecord[], base = observed): readonly SegmentRecord[] => {
    return neededFor(known([base], segments), [fakeMark(3), fakeMark(7)]);
  };
  const [s34, s47] = [fakeSegment(3, 4), fakeSegment(4, 7)];
  assert.deepEqual(needed([s13, anew]), [anew, s13]);
  assert.deepEqual(needed([s13, s34, anew]), [anew, s13], 'what follows on it leads nowhere');
  assert.deepEqual(needed([s13, s34, s47, anew]), [anew], 'it was joined from these');
  assert.deepEqual(needed([s13, s34, s47, fakeSegment(1, 4), anew]), [anew]);
  assert.deepEqual(needed([s13, fakeSegment(3, 9), anew]), [anew, s13]);
  assert.deepEqual(needed([s13, anew], base1), [anew]);
});

test('a segment takes its record, and its frames where they lie apart', () => {
  assert.deepEqual(objectsOf({ ...s13, body: undefined }), [s13.key]);
  assert.deepEqual(objectsOf({ ...s13, body: 'digest' }), [s13.key, 'logs/a/digest']);
});

test('a history that has the name of what every object has is one like any other', () => {
  const { mark, credential } = fakeMark(4);
  assert.equal(placeIn({ mark, credential }, 'constructor'), undefined);
  const position = positionAt(4);
  const named = { ...mark, positions: { constructor: position }, bases: {}, floors: {} };
  const place = { position, credential, floor: undefined, base: undefined };
  assert.deepEqual(placeIn({ mark: named, credential }, 'constructor'), place);
});
