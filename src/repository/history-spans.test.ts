import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogFixture, positionAt } from '../testing/log-fixture.ts';
import { loadCatalogue } from './catalogue.ts';
import { historyGaps, historySpans, restorableTimes } from './history-spans.ts';

type Seen = {
  /** From, to, segments, bases. */
  readonly spans: readonly (readonly number[])[];
  readonly gaps: readonly (readonly [number, number | undefined])[];
  readonly windows: readonly (readonly [number, number])[];
  readonly reasons: readonly string[];
};

/** Times in seconds after the start. */
async function seen(fixture: LogFixture, store = 'orders'): Promise<Seen> {
  const { repository } = fixture;
  const catalogue = await loadCatalogue(repository.owner, [], repository.run);
  assert.deepEqual(catalogue.findings, []);
  const spans = historySpans(catalogue, store);
  const gaps = historyGaps(catalogue, store, spans);
  const seconds = (atMs: number): number => Math.round((atMs - fixture.at(0)) / 1000);
  return {
    spans: spans.map(({ fromMs, toMs, segments, bases }) => [
      seconds(fromMs),
      seconds(toMs),
      segments.length,
      bases.length,
    ]),
    gaps: gaps.map(({ fromMs, toMs }) => [seconds(fromMs), toMs === undefined ? undefined : seconds(toMs)]),
    windows: restorableTimes(spans).map(({ fromMs, toMs }) => [seconds(fromMs), seconds(toMs)]),
    reasons: gaps.map(({ reason }) => reason),
  };
}

test('a log and the bases on it are one stretch, from its first base on', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.log('orders', {
    after: 1,
    commits: [
      [2, 15],
      [3, 20],
    ],
  });
  await fixture.base('orders', { at: 30, order: 3 });
  await fixture.log('orders', { after: 3, commits: [[5, 40]] });
  const { spans, gaps, windows } = await seen(fixture);
  assert.deepEqual(spans, [[10, 40, 2, 2]]);
  assert.deepEqual(windows, [[10, 40]]);
  assert.deepEqual(gaps, []);
});

test('bases without a log are moments, and nothing is missing between them', async () => {
  await using fixture = await LogFixture.create();
  for (const [at, order] of [
    [10, 1],
    [20, 2],
    [30, 3],
  ] as const) {
    await fixture.base('orders', { at, order });
  }
  const { spans, gaps, windows } = await seen(fixture);
  assert.deepEqual(spans, [
    [10, 10, 0, 1],
    [20, 20, 0, 1],
    [30, 30, 0, 1],
  ]);
  assert.deepEqual(windows, [
    [10, 10],
    [20, 20],
    [30, 30],
  ]);
  assert.deepEqual(gaps, []);
});

test('a mark that finds a history still at its end prolongs it; one that names a base does not', async () => {
  await using fixture = await LogFixture.create();
  const { key } = await fixture.base('orders', { at: 10, order: 1 });
  await fixture.mark(20, { positions: { orders: positionAt(1) } });
  await fixture.mark(30, { positions: { orders: positionAt(1) }, bases: { orders: key } });
  assert.deepEqual((await seen(fixture)).windows, [[10, 20]]);
  await fixture.log('orders', { after: 1, commits: [[2, 40]] });
  await fixture.mark(50, { positions: { orders: positionAt(2) } });
  assert.deepEqual((await seen(fixture)).windows, [[10, 50]]);
});

test('a base that needs a log is restorable only with it', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 5, logFrom: 3 });
  assert.deepEqual((await seen(fixture)).windows, []);
  await fixture.log('orders', { after: 3, commits: [[4, 5]] });
  assert.deepEqual((await seen(fixture)).windows, []);
  await fixture.log('orders', { after: 4, commits: [[6, 20]] });
  assert.deepEqual((await seen(fixture)).windows, [[10, 20]]);
});

test('a gap lasts from what was known last to the base that begins anew', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.log('orders', { after: 1, commits: [[2, 15]] });
  await fixture.mark(20, { positions: { orders: positionAt(2) } });
  await fixture.gap({ store: 'orders', after: positionAt(2), from: 15, to: 25, reason: 'the slot was lost' });
  assert.deepEqual((await seen(fixture)).gaps, [[20, undefined]]);
  // The base failed at first, so that the same gap was noted again.
  await fixture.gap({ store: 'orders', after: positionAt(2), from: 15, to: 28, reason: 'the slot was lost' });
  await fixture.base('orders', { at: 30, order: 1, lineage: 'b' });
  await fixture.log('orders', { lineage: 'b', after: 1, commits: [[2, 40]] });
  const { gaps, reasons, windows } = await seen(fixture);
  assert.deepEqual(gaps, [[20, 30]]);
  assert.deepEqual(reasons, ['the slot was lost']);
  assert.deepEqual(windows, [
    [10, 20],
    [30, 40],
  ]);
});

test('what was recorded of a server behind the place where its successor took over is told as a gap, whatever marks stand on it', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.log('orders', {
    after: 1,
    commits: [
      [2, 15],
      [3, 20],
      [4, 25],
    ],
  });
  await fixture.base('orders', { at: 26, order: 4 });
  await fixture.mark(27, { positions: { orders: positionAt(4) } });
  await fixture.gap({ store: 'orders', after: positionAt(3), from: 20, to: 30, reason: 'another became master' });
  await fixture.base('orders', { at: 35, order: 1, lineage: 'b' });
  const { spans, gaps, windows } = await seen(fixture);
  assert.deepEqual(spans, [
    [10, 20, 1, 2],
    [35, 35, 0, 1],
  ]);
  assert.deepEqual(gaps, [[20, 35]]);
  assert.deepEqual(windows, [
    [10, 20],
    [35, 35],
  ]);
});

test('where a log ended and a base began anew without a note, that is a gap as well', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.log('orders', { after: 1, commits: [[2, 20]] });
  assert.deepEqual((await seen(fixture)).gaps, []);
  await fixture.base('orders', { at: 30, order: 9 });
  await fixture.base('orders', { at: 40, order: 10 });
  const { gaps, reasons } = await seen(fixture);
  assert.deepEqual(gaps, [[20, 30]]);
  assert.match(reasons[0] ?? '', /the log ends here/);
});

test('what two writers recorded of one history at a time is not joined, and is no gap', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.base('orders', { at: 12, order: 1 }, 'bert');
  await fixture.log('orders', { after: 1, commits: [[2, 20]] });
  await fixture.log('orders', { after: 1, commits: [[3, 30]] }, 'bert');
  const { spans, gaps } = await seen(fixture);
  assert.deepEqual(spans, [
    [10, 20, 1, 1],
    [12, 30, 1, 1],
  ]);
  assert.deepEqual(gaps, []);
});

test('a gap is after the log of the writer that noted it, whatever another has recorded', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.base('orders', { at: 12, order: 1 }, 'bert');
  await fixture.log('orders', {
    after: 1,
    commits: [
      [2, 15],
      [3, 60],
    ],
  });
  await fixture.log('orders', { after: 1, commits: [[2, 15]] }, 'bert');
  await fixture.gap({ store: 'orders', after: positionAt(2), from: 15, to: 30, reason: 'it was away' }, 'bert');
  assert.deepEqual((await seen(fixture)).gaps, [[15, undefined]]);
});

test('an unknown history has nothing', async () => {
  await using fixture = await LogFixture.create();
  assert.deepEqual(await seen(fixture, 'never'), { spans: [], gaps: [], windows: [], reasons: [] });
});
