import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { MarkRecord } from './catalogue.ts';
import type { Mark } from './mark.ts';
import { selectMarks } from './retention.ts';
import type { KeepReason, RetentionPolicy, Selection } from './retention.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOWHERE = { lineage: 'a', order: '0', resume: '0' };
const NOTHING: RetentionPolicy = { windowMs: 0, last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0 };

type Asked = Partial<Mark> & { readonly pinned?: boolean; readonly base?: string; readonly isConfirmed?: boolean };

let ids = 0;

function markAt(at: string | number, asked: Asked = {}): MarkRecord {
  const { pinned = false, base = 'manifests/a', isConfirmed = true, ...rest } = asked;
  const atMs = typeof at === 'number' ? at : Date.parse(at);
  ids += 1;
  const mark: Mark = {
    id: `mark-${ids}`,
    tags: [],
    class: 'clock',
    atMs,
    skewMs: 0,
    bases: { store: base },
    missing: [],
    ...rest,
    positions: Object.fromEntries(Object.keys(rest.bases ?? { store: base }).map((store) => [store, NOWHERE])),
  };
  const standsOn = new Map(Object.entries(mark.bases));
  const by = { session: 'a', credential: 'a' };
  const key = `journal/${mark.id}`;
  return { key, mark, signed: mark, modifiedMs: atMs, pinned, ...by, isConfirmed, heldBy: [key], standsOn };
}

function select(
  marks: readonly MarkRecord[],
  policy: Partial<RetentionPolicy>,
  options: { readonly timezone?: string; readonly keptBases?: ReadonlyMap<string, 'newest base' | 'proven base'> } = {},
): Selection {
  const { timezone = 'UTC', keptBases = new Map() } = options;
  const sorted = marks.toSorted((left, right) => left.mark.atMs - right.mark.atMs);
  return selectMarks({
    marks: sorted,
    policy: { ...NOTHING, ...policy },
    timezone,
    keptBases,
  });
}

function timesKept(marks: readonly MarkRecord[], { kept }: Selection, reason: KeepReason): readonly string[] {
  const chosen = marks.filter(({ mark }) => kept.get(mark.id)?.includes(reason) ?? false);
  return chosen.map(({ mark }) => new Date(mark.atMs).toISOString().slice(0, 16)).toSorted();
}

test('of each hour, day, week and month the newest mark stays, counted back from the newest', () => {
  const marks = [
    '2026-05-31T10:00:00Z',
    '2026-06-29T10:00:00Z',
    '2026-06-30T10:00:00Z',
    '2026-07-01T09:10:00Z',
    '2026-07-01T09:50:00Z',
    '2026-07-01T10:05:00Z',
    '2026-07-01T10:55:00Z',
  ].map((at) => markAt(at));
  const selection = select(marks, { hourly: 2, daily: 2, weekly: 2, monthly: 2 });
  assert.deepEqual(timesKept(marks, selection, 'hourly'), ['2026-07-01T09:50', '2026-07-01T10:55']);
  assert.deepEqual(timesKept(marks, selection, 'daily'), ['2026-06-30T10:00', '2026-07-01T10:55']);
  assert.deepEqual(timesKept(marks, selection, 'weekly'), ['2026-05-31T10:00', '2026-07-01T10:55']);
  assert.deepEqual(timesKept(marks, selection, 'monthly'), ['2026-06-30T10:00', '2026-07-01T10:55']);
});

test('marks of another store take no place of this one’s, and a store that came later ends no other’s turn', () => {
  const marks = [
    markAt('2026-06-29T10:00:00Z', { bases: { mail: 'manifests/a' } }),
    markAt('2026-06-30T10:00:00Z', { bases: { mail: 'manifests/b' } }),
    markAt('2026-07-01T10:00:00Z', { bases: { mail: 'manifests/c' } }),
    markAt('2026-07-01T11:00:00Z', { bases: { shop: 'manifests/d' } }),
    markAt('2026-07-02T11:00:00Z', { bases: { shop: 'manifests/e', mail: 'manifests/c' } }),
  ];
  const selection = select(marks, { last: 1, daily: 2 });
  assert.deepEqual(timesKept(marks, selection, 'daily'), ['2026-07-01T10:00', '2026-07-01T11:00', '2026-07-02T11:00']);
  assert.deepEqual(timesKept(marks, selection, 'last'), ['2026-07-02T11:00']);

  const atOnce = [
    markAt('2026-06-01T03:00:10Z', { bases: { mail: 'manifests/a' } }),
    markAt('2026-06-01T03:00:20Z', { bases: { shop: 'manifests/b' } }),
    markAt('2026-06-01T03:00:30Z', { bases: { shop: 'manifests/c' } }),
    markAt('2026-06-04T03:00:00Z', { bases: { shop: 'manifests/d' } }),
  ];
  const kept = select(atOnce, { windowMs: 14 * DAY_MS });
  assert.deepEqual(kept.forgotten, [atOnce[1]]);
});

test('hours without marks don’t count', () => {
  const marks = ['2026-01-01T01:00:00Z', '2026-03-01T01:00:00Z', '2026-07-01T01:00:00Z'].map((at) => markAt(at));
  assert.equal(timesKept(marks, select(marks, { hourly: 2 }), 'hourly').length, 2);
});

test('days and months begin at midnight of the zone', () => {
  // 23:30 and 00:30 in Berlin, on both sides of a month's end; one day and month in UTC.
  const marks = ['2026-07-31T21:30:00Z', '2026-07-31T22:30:00Z'].map((at) => markAt(at));
  const berlin = select(marks, { daily: 5, monthly: 5 }, { timezone: 'Europe/Berlin' });
  assert.equal(timesKept(marks, berlin, 'daily').length, 2);
  assert.equal(timesKept(marks, berlin, 'monthly').length, 2);
  const utc = select(marks, { daily: 5, monthly: 5 });
  assert.equal(timesKept(marks, utc, 'daily').length, 1);
  assert.equal(timesKept(marks, utc, 'monthly').length, 1);
});

test('an hour that happens twice is two hours, and one that is left out is none', () => {
  // 2026-10-25 in Berlin: 02:30 summer time, 02:30 winter time, 03:30.
  const autumn = ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z', '2026-10-25T02:30:00Z'].map((at) => markAt(at));
  const twice = select(autumn, { hourly: 9 }, { timezone: 'Europe/Berlin' });
  assert.equal(timesKept(autumn, twice, 'hourly').length, 3);
  // 2026-03-29: 01:30, then 03:30.
  const spring = ['2026-03-29T00:30:00Z', '2026-03-29T01:30:00Z', '2026-03-29T01:45:00Z'].map((at) => markAt(at));
  const leftOut = select(spring, { hourly: 9 }, { timezone: 'Europe/Berlin' });
  assert.deepEqual(timesKept(spring, leftOut, 'hourly'), ['2026-03-29T00:30', '2026-03-29T01:45']);
});

test('zones that are half an hour off have whole hours of their own', () => {
  // 10:29, 10:31 and 11:01 in Kolkata.
  const marks = ['2026-07-01T04:59:00Z', '2026-07-01T05:01:00Z', '2026-07-01T05:31:00Z'].map((at) => markAt(at));
  const selection = select(marks, { hourly: 9 }, { timezone: 'Asia/Kolkata' });
  assert.deepEqual(timesKept(marks, selection, 'hourly'), ['2026-07-01T05:01', '2026-07-01T05:31']);
});

test('weeks are those of ISO 8601, also across a year’s end', () => {
  // Monday 2026-12-28 to Sunday 2027-01-03 is one week, 2026-12-27 and 2027-01-04 lie in others.
  const marks = ['2026-12-27', '2026-12-28', '2026-12-31', '2027-01-03', '2027-01-04'].map((day) =>
    markAt(`${day}T12:00:00Z`),
  );
  const selection = select(marks, { weekly: 9 });
  assert.deepEqual(timesKept(marks, selection, 'weekly'), ['2026-12-27T12:00', '2027-01-03T12:00', '2027-01-04T12:00']);
});

test('in the window all marks of two days stay, before that one a minute', () => {
  const now = Date.parse('2026-07-10T00:00:00Z');
  const young = [0, 10_000, 47 * HOUR_MS, 48 * HOUR_MS].map((ageMs) => markAt(now - ageMs));
  const old = [72 * HOUR_MS, 72 * HOUR_MS + 20_000, 72 * HOUR_MS + 70_000].map((ageMs) => markAt(now - ageMs + 59_000));
  const beyond = markAt(now - 8 * DAY_MS);
  const all = [...young, ...old, beyond];
  const selection = select(all, { windowMs: 7 * DAY_MS });
  assert.equal(timesKept(all, selection, 'recent').length, young.length);
  assert.equal(timesKept(all, selection, 'window').length, 2);
  assert.deepEqual(
    selection.forgotten.map(({ mark }) => mark.id),
    [must(beyond), must(old[1])],
  );
});

function must(record: MarkRecord | undefined): string {
  return record?.mark.id ?? '';
}

test('named, sealed and pinned marks stay, and every reason is told', () => {
  const old = '2020-01-01T00:00:00Z';
  const marks = [
    markAt(old, { name: 'release' }),
    markAt(old, { class: 'sealed' }),
    markAt(old, { pinned: true, name: 'x', class: 'sealed' }),
    markAt(old),
    markAt('2026-01-01T00:00:00Z'),
  ];
  const { kept, forgotten } = select(marks, { last: 1 });
  assert.deepEqual(
    marks.map(({ mark }) => kept.get(mark.id)),
    [['named'], ['sealed'], ['pinned', 'named', 'sealed'], undefined, ['recent', 'last']],
  );
  assert.deepEqual(
    forgotten.map(({ mark }) => mark.id),
    [must(marks[3])],
  );
});

test('a partial mark takes nobody’s place, and does not set the time', () => {
  const now = Date.parse('2026-07-10T12:00:00Z');
  const complete = markAt(now - DAY_MS);
  const partial = markAt(now, { missing: ['orders'] });
  const oldPartial = markAt(now - 30 * DAY_MS, { missing: ['orders'] });
  const marks = [oldPartial, complete, partial];
  const selection = select(marks, { windowMs: DAY_MS / 2, last: 1, daily: 5, hourly: 5, weekly: 5, monthly: 5 });
  assert.deepEqual(selection.kept.get(complete.mark.id), ['recent', 'last', 'hourly', 'daily', 'weekly', 'monthly']);
  assert.deepEqual(selection.kept.get(partial.mark.id), ['recent']);
  assert.deepEqual(selection.forgotten, [oldPartial]);
});

test('where no mark is complete, the newest one sets the time', () => {
  const marks = [0, 10].map((days) => markAt(Date.parse('2026-07-10T12:00:00Z') + days * DAY_MS, { missing: ['a'] }));
  assert.deepEqual(select(marks, { windowMs: DAY_MS }).forgotten, marks.slice(0, 1));
});

test('a base that must not be lost keeps its newest mark', () => {
  const marks = [
    markAt('2026-01-01T00:00:00Z', { base: 'manifests/proven' }),
    markAt('2026-01-02T00:00:00Z', { base: 'manifests/proven' }),
    markAt('2026-01-03T00:00:00Z', { base: 'manifests/other' }),
    markAt('2026-02-03T00:00:00Z', { base: 'manifests/newest', missing: ['orders'] }),
    markAt('2026-07-03T00:00:00Z', { base: 'manifests/unrelated' }),
  ];
  const keptBases = new Map([
    ['manifests/proven', 'proven base'],
    ['manifests/newest', 'newest base'],
    ['manifests/unmarked', 'newest base'],
  ] as const);
  const { kept, forgotten } = select(marks, {}, { keptBases });
  assert.deepEqual(kept.get(must(marks[1])), ['proven base']);
  assert.deepEqual(kept.get(must(marks[3])), ['newest base']);
  assert.deepEqual(
    forgotten.map(({ mark }) => mark.id),
    [must(marks[0]), must(marks[2])],
  );
});

test('nothing at all is nothing to keep', () => {
  const { kept, forgotten } = select([], { last: 5 });
  assert.deepEqual([kept.size, forgotten], [0, []]);
});

const START_MS = Date.parse('2026-01-01T00:00:00Z');
const count = fc.integer({ min: 0, max: 6 });
const policies: fc.Arbitrary<RetentionPolicy> = fc.record({
  windowMs: fc.integer({ min: 0, max: 30 }).map((days) => days * DAY_MS),
  last: count,
  hourly: count,
  daily: count,
  weekly: count,
  monthly: count,
});
const records: fc.Arbitrary<readonly MarkRecord[]> = fc
  .array(
    fc.record({
      minutes: fc.integer({ min: 0, max: 90 * 24 * 60 }),
      name: fc.option(fc.constant('a name'), { nil: undefined, freq: 9 }),
      sealed: fc.boolean(),
      pinned: fc.boolean(),
      partial: fc.boolean(),
      base: fc.integer({ min: 0, max: 4 }),
    }),
    { maxLength: 40 },
  )
  .map((all) =>
    all
      .map(({ minutes, name, sealed, pinned, partial, base }) =>
        markAt(START_MS + minutes * 60_000, {
          name,
          class: sealed ? 'sealed' : 'clock',
          pinned: pinned && minutes % 7 === 0,
          missing: partial ? ['orders'] : [],
          base: `manifests/${base}`,
        }),
      )
      .toSorted((left, right) => left.mark.atMs - right.mark.atMs),
  );
const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Chatham', 'Asia/Kolkata');

test('each mark is kept with a reason or given up, and never both', () => {
  fc.assert(
    fc.property(records, policies, zones, (marks, policy, timezone) => {
      const { kept, forgotten } = select(marks, policy, { timezone });
      const lost = new Set(forgotten.map(({ mark }) => mark.id));
      for (const { mark } of marks) assert.equal(lost.has(mark.id), (kept.get(mark.id) ?? []).length === 0);
      const stay = marks.filter(({ mark }) => !lost.has(mark.id));
      assert.deepEqual([...kept.keys()], [...new Set(stay.map(({ mark }) => mark.id))], 'ascending by time');
    }),
  );
});

test('no count is exceeded, and each is used up where there is enough', () => {
  fc.assert(
    fc.property(records, policies, zones, (marks, policy, timezone) => {
      const selection = select(marks, policy, { timezone });
      const complete = marks.filter(({ mark }) => mark.missing.length === 0);
      assert.equal(timesKept(marks, selection, 'last').length, Math.min(policy.last, complete.length));
      for (const bucket of ['hourly', 'daily', 'weekly', 'monthly'] as const) {
        const buckets = timesKept(marks, select(marks, { [bucket]: 1000 }, { timezone }), bucket).length;
        assert.equal(timesKept(marks, selection, bucket).length, Math.min(policy[bucket], buckets), bucket);
      }
    }),
  );
});

test('what a policy keeps, a laxer one keeps as well', () => {
  fc.assert(
    fc.property(records, policies, policies, zones, (marks, policy, more, timezone) => {
      const laxer = {
        windowMs: policy.windowMs + more.windowMs,
        last: policy.last + more.last,
        hourly: policy.hourly + more.hourly,
        daily: policy.daily + more.daily,
        weekly: policy.weekly + more.weekly,
        monthly: policy.monthly + more.monthly,
      };
      const kept = select(marks, laxer, { timezone }).kept;
      for (const id of select(marks, policy, { timezone }).kept.keys()) assert.ok(kept.has(id));
    }),
  );
});

test('asked again about what is left, a policy gives up nothing more', () => {
  fc.assert(
    fc.property(records, policies, zones, (marks, policy, timezone) => {
      const { kept } = select(marks, policy, { timezone });
      const left = marks.filter(({ mark }) => kept.has(mark.id));
      assert.deepEqual(select(left, policy, { timezone }).forgotten, []);
    }),
  );
});

test('named, sealed and pinned marks and protected bases survive every policy', () => {
  const bases = fc.subarray(['manifests/0', 'manifests/1', 'manifests/2', 'manifests/3', 'manifests/4']);
  fc.assert(
    fc.property(records, policies, bases, (marks, policy, protectedKeys) => {
      const keptBases = new Map(protectedKeys.map((key) => [key, 'newest base' as const]));
      const { forgotten, kept } = select(marks, policy, { keptBases });
      for (const { mark, pinned } of forgotten) assert.ok(!pinned && mark.name === undefined && mark.class === 'clock');
      for (const base of protectedKeys) {
        const newest = marks.findLast(({ mark }) => Object.values(mark.bases).includes(base));
        if (newest !== undefined) assert.ok(kept.get(newest.mark.id)?.includes('newest base'));
      }
    }),
  );
});

test('a mark that its writer may take back takes no place of another, and goes when it is old', () => {
  const unsure = { isConfirmed: false };
  const sure = ['2026-06-29T10:00:00Z', '2026-06-30T10:00:00Z'].map((at) => markAt(at));
  const [old, young] = [markAt('2026-06-28T10:00:00Z', unsure), markAt('2026-06-30T11:00:00Z', unsure)];
  const keptBases = new Map([['manifests/a', 'newest base'] as const]);
  const { forgotten } = select([old, ...sure, young], { last: 1, daily: 1 }, { keptBases });
  assert.deepEqual(
    forgotten.map(({ mark }) => mark.id),
    [old, sure[0]].map((record) => record?.mark.id),
  );
});
