import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import { createSeededRandom } from '../flow/random.ts';
import { positionAt } from '../testing/repository-fixture.ts';
import { fakeBase, fakeSegment } from '../testing/fake-records.ts';
import type { BaseRecord } from './catalogue.ts';
import { HistoryView } from './log-view.ts';
import type { PointPlan, SegmentRecord } from './log-view.ts';

const A = 'a';
const B = 'b';

function view(bases: readonly BaseRecord[], segments: readonly SegmentRecord[]): HistoryView {
  return new HistoryView(bases, segments);
}

function shown(plan: PointPlan | undefined): string {
  if (plan === undefined) return 'none';
  const cut = Number(plan.base.summary.cut.order);
  return [cut, ...plan.segments.map(({ after, upTo }) => `${Number(after.order)}-${Number(upTo.order)}`)].join(' ');
}

function planned(from: HistoryView, order: number, credential = A): string {
  return shown(from.planTo({ position: positionAt(order), credential }));
}

test('a position is reached from the newest base before it, by the segments that lead there and no more', () => {
  const history = view([fakeBase(1), fakeBase(5)], [fakeSegment(1, 3), fakeSegment(3, 6), fakeSegment(6, 9)]);
  assert.equal(planned(history, 1), '1');
  assert.equal(planned(history, 2), '1 1-3');
  assert.equal(planned(history, 4), '1 1-3 3-6');
  assert.equal(planned(history, 5), '5');
  assert.equal(planned(history, 9), '5 3-6 6-9');
  assert.equal(planned(history, 10), 'none');
  assert.equal(planned(history, 0), 'none');
});

test('merged segments stand for those that they were merged from: the fewest are taken', () => {
  const small = [fakeSegment(1, 2), fakeSegment(2, 3), fakeSegment(3, 4), fakeSegment(4, 5)];
  const history = view([fakeBase(1)], [...small, fakeSegment(1, 3), fakeSegment(2, 4), fakeSegment(1, 4)]);
  assert.equal(planned(history, 5), '1 1-4 4-5');
  assert.equal(planned(history, 4), '1 1-4');
  assert.deepEqual(
    history.coveredRuns().map((run) => run.map(({ after, upTo }) => [Number(after.order), Number(upTo.order)])),
    [
      [
        [1, 4],
        [4, 5],
      ],
    ],
  );
});

test('a segment that ends where it is wanted is taken rather than one that passes it', () => {
  const segments = [fakeSegment(1, 2), fakeSegment(1, 3), fakeSegment(3, 5)];
  const history = view([fakeBase(1)], segments);
  assert.deepEqual(
    [2, 3, 4, 5].map((order) => planned(history, order)),
    ['1 1-2', '1 1-3', '1 1-3 3-5', '1 1-3 3-5'],
  );
});

test('nothing leads over a gap; behind it a base begins anew', () => {
  const history = view([fakeBase(1), fakeBase(7)], [fakeSegment(1, 3), fakeSegment(4, 6), fakeSegment(7, 8)]);
  assert.deepEqual(
    history.runs.map(({ after, upTo }) => [Number(after.order), Number(upTo.order)]),
    [
      [1, 3],
      [4, 6],
      [7, 8],
    ],
  );
  assert.equal(planned(history, 3), '1 1-3');
  assert.equal(planned(history, 5), 'none');
  assert.equal(planned(history, 8), '7 7-8');
});

test('a fuzzy base takes the log from before its cut, and without it leads nowhere', () => {
  const fuzzy = fakeBase(5, { logFrom: 3 });
  assert.equal(planned(view([fuzzy], []), 5), 'none');
  assert.equal(planned(view([fuzzy], [fakeSegment(3, 4)]), 5), 'none');
  assert.equal(planned(view([fuzzy], [fakeSegment(4, 6)]), 5), 'none');
  const covered = view([fakeBase(1), fuzzy], [fakeSegment(2, 4), fakeSegment(4, 6)]);
  assert.equal(planned(covered, 5), '5 2-4 4-6');
  assert.equal(planned(covered, 4), 'none');
});

test('a writer goes on where its log ends, and where a fuzzy base begins that the log has not reached yet', () => {
  const end = (bases: readonly BaseRecord[], segments: readonly SegmentRecord[], credential = A): number =>
    Number(view(bases, segments).endOf(credential)?.order);
  const fuzzy = fakeBase(5, { logFrom: 3 });
  assert.equal(end([fakeBase(1)], []), 1);
  assert.equal(end([fakeBase(1)], [fakeSegment(1, 3), fakeSegment(5, 6)]), 3);
  assert.equal(end([fakeBase(1), fuzzy], []), 3);
  assert.equal(end([fakeBase(1), fuzzy], [fakeSegment(1, 3)]), 3);
  assert.equal(end([fakeBase(1), fuzzy], [fakeSegment(1, 3), fakeSegment(3, 4)]), 4);
  assert.equal(end([fakeBase(1), fuzzy], [fakeSegment(1, 3), fakeSegment(3, 7)]), 7);
  assert.equal(end([fakeBase(1), fakeBase(9, { isConfirmed: false })], []), 1);
  assert.equal(end([fakeBase(1)], [], B), NaN);
});

test('it is told where the log ended before a base that was taken behind that, until log follows on the base', () => {
  const before = (bases: readonly BaseRecord[], segments: readonly SegmentRecord[], credential = A): number =>
    Number(view(bases, segments).endBefore(credential)?.order);
  const [first, later] = [fakeBase(1), fakeBase(9)];
  assert.equal(before([first, later], [fakeSegment(1, 3)]), 3);
  assert.equal(before([first, later], []), NaN);
  assert.equal(before([first, fakeBase(9, { logFrom: 6 })], [fakeSegment(1, 3)]), 3);
  assert.equal(before([first, later], [fakeSegment(1, 3), fakeSegment(9, 12)]), NaN);
  assert.equal(before([first, later], [fakeSegment(1, 9)]), NaN);
  assert.equal(before([first], [fakeSegment(1, 3)]), NaN);
  assert.equal(before([later], []), NaN);
  assert.equal(before([first, later], [fakeSegment(1, 3)], B), NaN);
});

test('of what a writer goes on from those segments are told that it may take back, also before a base behind them', () => {
  const unsure = (bases: readonly BaseRecord[], segments: readonly SegmentRecord[]): readonly SegmentRecord[] =>
    view(bases, segments).unsureSegments(A);
  const [first, later] = [fakeBase(1), fakeBase(9)];
  const sure = fakeSegment(1, 3);
  const last = fakeSegment(3, 5, { isConfirmed: false });
  assert.deepEqual(unsure([first], [sure, last]), [last]);
  assert.deepEqual(unsure([first, later], [sure, last]), [last]);
  assert.deepEqual(unsure([first, later], [sure, last, fakeSegment(9, 10)]), []);
  assert.deepEqual(unsure([first], [sure, last, fakeSegment(3, 5)]), []);
});

test('where a fuzzy base needs log that is not there, its writer’s end is reached from no base until the cut', () => {
  const unreached = (bases: readonly BaseRecord[], segments: readonly SegmentRecord[]): readonly unknown[] => {
    const found = view(bases, segments).unreachedEnd(A);
    return found === undefined ? [] : [found.after && Number(found.after.order), Number(found.from.order)];
  };
  const fuzzy = fakeBase(5, { logFrom: 4 });
  assert.deepEqual(unreached([fuzzy], []), [undefined, 5]);
  assert.deepEqual(unreached([fakeBase(1), fuzzy], [fakeSegment(1, 3)]), [3, 5]);
  assert.deepEqual(unreached([fakeBase(1), fuzzy], [fakeSegment(1, 4)]), []);
  assert.deepEqual(unreached([fakeBase(1), fuzzy], [fakeSegment(1, 3), fakeSegment(4, 6)]), []);
  assert.deepEqual(unreached([fakeBase(1)], []), []);
});

test('a copied repository keeps the order of its bases, whatever times the copy has', () => {
  const copied = view(
    [
      { ...fakeBase(1), modifiedMs: 200 },
      { ...fakeBase(9), modifiedMs: 100 },
    ],
    [fakeSegment(1, 3)],
  );
  assert.equal(Number(copied.endOf(A)?.order), 9);
});

test('what two writers recorded of one history is never joined, and a mark is reached by its own writer’s', () => {
  const history = view(
    [fakeBase(1), fakeBase(2, { credential: B, resume: 'b2' })],
    [fakeSegment(1, 3), fakeSegment(3, 4, { credential: B }), fakeSegment(2, 3, { credential: B, afterResume: 'b2' })],
  );
  assert.equal(planned(history, 3), '1 1-3');
  assert.equal(planned(history, 4), 'none');
  assert.equal(planned(history, 3, B), '2 2-3');
  assert.equal(planned(history, 4, B), '2 2-3 3-4');
});

test('a log that tells of another thing at the same place is a fork, and does not go on', () => {
  const forked = [fakeSegment(1, 3), fakeSegment(3, 5, { afterResume: 'other' })];
  const history = view([fakeBase(1), fakeBase(3, { resume: 'other' })], forked);
  assert.equal(history.runs.length, 2);
  assert.equal(planned(history, 3), '1 1-3');
  assert.equal(planned(history, 5), '3 3-5');
  assert.equal(planned(view([fakeBase(1)], forked), 5), 'none');
  const otherEnd = { position: positionAt(3, 'other'), credential: A };
  assert.equal(shown(view([fakeBase(1)], forked).planTo(otherEnd)), 'none');
  assert.equal(shown(view([fakeBase(3)], []).planTo(otherEnd)), 'none');
});

test('positions of another lineage are not reached', () => {
  const history = view([fakeBase(1)], [fakeSegment(1, 3)]);
  const goal = { position: { ...positionAt(2), lineage: 'another' }, credential: A };
  assert.equal(history.planTo(goal), undefined);
});

test('with a floor the base is one that still has what was removed since, where there is one', () => {
  const history = view([fakeBase(1), fakeBase(4)], [fakeSegment(1, 6)]);
  const goal = { position: positionAt(5), credential: A };
  assert.equal(shown(history.planTo({ ...goal, floor: positionAt(3) })), '1 1-6');
  assert.equal(shown(history.planTo({ ...goal, floor: positionAt(4) })), '4 1-6');
  assert.equal(shown(history.planTo({ ...goal, floor: { ...positionAt(3), lineage: 'another' } })), '4 1-6');
  assert.equal(shown(view([fakeBase(4)], [fakeSegment(1, 6)]).planTo({ ...goal, floor: positionAt(3) })), '4 1-6');
});

test('a base whose writer may have died before it knew is taken only where nothing else leads there', () => {
  const unsure = fakeBase(4, { isConfirmed: false });
  assert.equal(planned(view([fakeBase(1), unsure], [fakeSegment(1, 6)]), 5), '1 1-6');
  assert.equal(planned(view([unsure], [fakeSegment(1, 6)]), 5), '4 1-6');
});

/** Whether places from one to the other are covered, by looking at each; and by how few segments, by trying. */
function fewest(segments: readonly (readonly [number, number])[], from: number, to: number): number {
  let places = new Set([from]);
  for (let count = 0; count <= segments.length; count++) {
    if ([...places].some((place) => place >= to)) return count;
    const next = new Set<number>();
    for (const place of places) {
      for (const [after, upTo] of segments) if (after <= place && upTo > place) next.add(upTo);
    }
    places = next;
  }
  return Number.POSITIVE_INFINITY;
}

test('plans are those of a model that tries everything', () => {
  const seed = randomInt(2 ** 31);
  const random = createSeededRandom(seed);
  for (let round = 0; round < 500; round++) {
    const pairs = Array.from({ length: random.integer(12) }, () => {
      const after = random.integer(15);
      return [after, after + 1 + random.integer(5)] as const;
    });
    const bases = Array.from({ length: random.integer(4) }, () => {
      const cut = random.integer(18);
      return [random.chance(0.5) ? cut : Math.max(0, cut - random.integer(4)), cut] as const;
    });
    const history = view(
      bases.map(([logFrom, cut]) => fakeBase(cut, { logFrom })),
      random.shuffle(pairs.map(([after, upTo]) => fakeSegment(after, upTo))),
    );
    for (let order = 0; order < 20; order++) {
      const needed = (logFrom: number, cut: number): number =>
        logFrom === cut && cut === order ? 0 : fewest(pairs, logFrom, order);
      const leading = bases.filter(([logFrom, cut]) => cut <= order && needed(logFrom, cut) < Number.POSITIVE_INFINITY);
      const newest = Math.max(-1, ...leading.map(([, cut]) => cut));
      const label = `seed ${seed}, round ${round}, position ${order}`;
      const plan = history.planTo({ position: positionAt(order), credential: A });
      if (newest < 0) assert.equal(plan, undefined, label);
      else {
        const { base, segments } = must(plan, label);
        assert.equal(Number(base.summary.cut.order), newest, label);
        const least = needed(Number(base.summary.logFrom.order), newest);
        assert.equal(segments.length, least, label);
        assert.equal(
          fewest(
            segments.map(({ after, upTo }) => [Number(after.order), Number(upTo.order)]),
            Number(base.summary.logFrom.order),
            least === 0 ? 0 : order,
          ),
          least,
          label,
        );
      }
    }
  }
});
