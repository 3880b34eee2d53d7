import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCatalogue } from '../repository/catalogue.ts';
import { LogFixture, positionAt } from '../testing/log-fixture.ts';
import type { MarkResult, TimelineResult } from './results.ts';
import { isoTime } from './shown.ts';
import { timelineOf } from './timeline.ts';
import { thinned, togetherOf } from './timeline-marks.ts';

type Asked = { readonly stores?: readonly string[]; readonly from?: number; readonly to?: number };

/** With times in seconds after the start. */
async function timelineAt(fixture: LogFixture, asked: Asked = {}): Promise<TimelineResult> {
  const { repository } = fixture;
  const catalogue = await loadCatalogue(repository.owner, [], repository.run);
  const text = (seconds: number | undefined): string | undefined =>
    seconds === undefined ? undefined : isoTime(fixture.at(seconds));
  return timelineOf(catalogue, {
    stores: asked.stores ?? [...catalogue.histories.keys()],
    isAll: asked.stores === undefined,
    from: text(asked.from),
    to: text(asked.to),
    nowMs: repository.clock.nowMs(),
    timezone: 'UTC',
  });
}

/** Two stores, one of them with a gap, and marks before and after. */
async function history(): Promise<LogFixture> {
  const fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.base('uploads', { at: 12, order: 1 });
  await fixture.log('orders', { after: 1, commits: [[2, 20]] });
  await fixture.mark(22, { name: 'before', positions: { orders: positionAt(2), uploads: positionAt(1) } });
  await fixture.gap({ store: 'orders', after: positionAt(2), from: 22, to: 25, reason: 'the slot was lost' });
  await fixture.mark(28, { positions: { uploads: positionAt(1) }, missing: ['orders'] });
  await fixture.base('orders', { at: 30, order: 1, lineage: 'b' });
  await fixture.mark(40, { positions: { orders: positionAt(1, 'b'), uploads: positionAt(1) } });
  await fixture.waitUntil(50);
  return fixture;
}

test('without a span all there is is shown, up to now', async () => {
  await using fixture = await history();
  const { from, to, stores, marks, marksLeftOut, together } = await timelineAt(fixture);
  const iso = (seconds: number): string => isoTime(fixture.at(seconds));
  assert.deepEqual([from, to], [iso(10), iso(50)]);
  const [orders, uploads] = stores;
  assert.deepEqual(
    orders?.bases.map(({ at, proven }) => [at, proven]),
    [
      [iso(10), false],
      [iso(30), false],
    ],
  );
  assert.deepEqual(orders?.exact, 'position');
  assert.deepEqual(orders?.logs, [
    { from: iso(10), to: iso(22), segments: 1 },
    { from: iso(30), to: iso(40), segments: 0 },
  ]);
  assert.deepEqual(orders?.gaps, [{ from: iso(22), to: iso(30), reason: 'the slot was lost' }]);
  assert.deepEqual(orders?.windows, [
    { from: iso(10), to: iso(22) },
    { from: iso(30), to: iso(40) },
  ]);
  assert.deepEqual(uploads?.windows, [{ from: iso(12), to: iso(40) }]);
  assert.deepEqual(
    marks.map(({ at, state }) => [at, state]),
    [
      [iso(22), 'complete'],
      [iso(28), 'partial'],
      [iso(40), 'complete'],
    ],
  );
  assert.equal(marksLeftOut, 0);
  assert.equal(together?.marks, 2);
  assert.deepEqual(together?.longestPause, { from: iso(22), durationMs: 18_000 });
});

test('of a span what touches it is shown, as long as it is', async () => {
  await using fixture = await history();
  const { stores, marks } = await timelineAt(fixture, { stores: ['orders'], from: 31, to: 45 });
  const iso = (seconds: number): string => isoTime(fixture.at(seconds));
  const [orders] = stores;
  assert.deepEqual([orders?.bases, orders?.gaps], [[], []]);
  assert.deepEqual(orders?.logs, [{ from: iso(30), to: iso(40), segments: 0 }]);
  assert.deepEqual(
    marks.map(({ at }) => at),
    [iso(40)],
  );
});

test('a store without history, and a span that is none', async () => {
  await using fixture = await history();
  const { stores } = await timelineAt(fixture, { stores: ['new'] });
  assert.deepEqual(stores, [{ store: 'new', exact: undefined, bases: [], logs: [], gaps: [], windows: [] }]);
  await assert.rejects(timelineAt(fixture, { from: 20, to: 19 }), { code: 'USAGE' });
  const catalogue = await loadCatalogue(fixture.repository.owner, [], fixture.repository.run);
  const options = { stores: [], isAll: true, nowMs: fixture.at(50), timezone: 'UTC' };
  assert.throws(() => timelineOf(catalogue, { ...options, from: 'yesterday' }), { code: 'USAGE', message: /--from/ });
});

function markAt(seconds: number, more: Partial<MarkResult> = {}): MarkResult {
  const at = isoTime(seconds * 1000);
  return {
    id: `m${seconds}`,
    tags: [],
    class: 'clock',
    at,
    skewMs: 5,
    state: 'complete',
    partial: [],
    pinned: false,
    ...more,
  };
}

test('of many marks those are listed that somebody made, and the newest complete one of each stretch', () => {
  const marks = Array.from({ length: 1_000 }, (_, index) => {
    if (index === 5) return markAt(index, { name: 'named' });
    if (index === 6) return markAt(index, { pinned: true });
    if (index === 7) return markAt(index, { class: 'sealed' });
    return markAt(index, index % 100 === 99 ? { state: 'partial', partial: ['a'] } : {});
  });
  const listed = thinned(marks, 11);
  assert.deepEqual(
    listed.map(({ id }) => id),
    ['m5', 'm6', 'm7', 'm98', 'm198', 'm298', 'm398', 'm498', 'm598', 'm698', 'm798', 'm898', 'm998', 'm999'],
  );
  assert.deepEqual(thinned(listed, 14), listed);
});

test('what is said of all marks together does not depend on which are listed', () => {
  const marks = [
    markAt(1),
    markAt(2, { state: 'partial' }),
    markAt(4, { skewMs: 9 }),
    markAt(5, { class: 'sealed', skewMs: 0 }),
  ];
  const together = togetherOf(marks, isoTime(7_000));
  assert.deepEqual([together?.marks, together?.first.id, together?.last.id, together?.mostSkewMs], [3, 'm1', 'm5', 9]);
  assert.deepEqual(together?.longestPause, { from: isoTime(1_000), durationMs: 3_000 });
  assert.equal(togetherOf(marks.slice(1, 2), isoTime(7_000)), undefined);
  assert.equal(togetherOf(marks.slice(3), isoTime(7_000))?.mostSkewMs, undefined);
});
