import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { nextOccurrence, previousOccurrence } from './cron-times.ts';
import { BugError } from './must.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

function iso(atMs: number | undefined): string {
  return atMs === undefined ? 'never' : new Date(atMs).toISOString().slice(0, 16);
}

/** The occurrences after a time, one after another. */
function following(schedule: string, timezone: string, after: string, count: number): readonly string[] {
  const found: string[] = [];
  for (let at: number | undefined = Date.parse(after); found.length < count && at !== undefined; ) {
    at = nextOccurrence(schedule, timezone, at);
    found.push(iso(at));
  }
  return found;
}

type Case = {
  readonly says: string;
  readonly schedule: string;
  readonly zone: string;
  readonly after: string;
  readonly times: readonly string[];
};

const cases: readonly Case[] = [
  {
    says: 'a time of day in a zone without summer time',
    schedule: '30 3 * * *',
    zone: 'Asia/Kolkata',
    after: '2026-03-28T22:00Z',
    times: ['2026-03-29T22:00', '2026-03-30T22:00'],
  },
  {
    says: 'every quarter of an hour',
    schedule: '*/15 * * * *',
    zone: 'UTC',
    after: '2026-12-31T23:40Z',
    times: ['2026-12-31T23:45', '2027-01-01T00:00'],
  },
  {
    says: 'a value with a step goes on to the end of its field',
    schedule: '50/4 * * * *',
    zone: 'UTC',
    after: '2026-01-01T00:00Z',
    times: ['2026-01-01T00:50', '2026-01-01T00:54', '2026-01-01T00:58', '2026-01-01T01:50'],
  },
  {
    says: 'either of the two days, where both are restricted',
    schedule: '0 0 13 * FRI',
    zone: 'UTC',
    after: '2026-02-06T00:00Z',
    times: ['2026-02-13T00:00', '2026-02-20T00:00', '2026-02-27T00:00', '2026-03-06T00:00', '2026-03-13T00:00'],
  },
  {
    says: 'both of the two days, where one has a star',
    schedule: '0 0 */2 * 1',
    zone: 'UTC',
    after: '2026-04-03T00:00Z',
    times: ['2026-04-13T00:00', '2026-04-27T00:00', '2026-05-11T00:00'],
  },
  {
    says: 'Sunday is 0 and 7',
    schedule: '0 12 * * 6-7',
    zone: 'UTC',
    after: '2026-05-01T00:00Z',
    times: ['2026-05-02T12:00', '2026-05-03T12:00', '2026-05-09T12:00'],
  },
  {
    says: 'names of months and days',
    schedule: '0 0 * jan,Jun MON',
    zone: 'UTC',
    after: '2026-01-20T00:00Z',
    times: ['2026-01-26T00:00', '2026-06-01T00:00'],
  },
  {
    says: '29 February',
    schedule: '0 0 29 2 *',
    zone: 'UTC',
    after: '2026-01-01T00:00Z',
    times: ['2028-02-29T00:00', '2032-02-29T00:00'],
  },
  { says: '31 February', schedule: '0 0 31 2 *', zone: 'Europe/Berlin', after: '2026-01-01T00:00Z', times: ['never'] },
  {
    says: 'a time that does not exist counts right after the gap',
    schedule: '30 2 * * *',
    zone: 'Europe/Berlin',
    after: '2026-03-28T00:00Z',
    times: ['2026-03-28T01:30', '2026-03-29T01:00', '2026-03-30T00:30'],
  },
  {
    says: 'several of them count once, and once together with one that is there',
    schedule: '0,20,40 2,3 * * *',
    zone: 'America/New_York',
    after: '2026-03-08T06:00Z',
    times: ['2026-03-08T07:00', '2026-03-08T07:20', '2026-03-08T07:40', '2026-03-09T06:00'],
  },
  {
    says: 'a time that happens twice counts the first time',
    schedule: '30 1 * * *',
    zone: 'America/New_York',
    after: '2026-10-31T12:00Z',
    times: ['2026-11-01T05:30', '2026-11-02T06:30'],
  },
  {
    says: 'so do times of a range of hours',
    schedule: '0 0-23/2 * * *',
    zone: 'Europe/Berlin',
    after: '2026-10-24T22:00Z',
    times: ['2026-10-25T00:00', '2026-10-25T03:00'],
  },
  {
    says: 'each hour that there is, where the hour is a star: an hour that happens twice',
    schedule: '30 * * * *',
    zone: 'Europe/Berlin',
    after: '2026-10-24T23:40Z',
    times: ['2026-10-25T00:30', '2026-10-25T01:30', '2026-10-25T02:30'],
  },
  {
    says: 'each hour that there is, where the hour is a star: an hour that does not exist',
    schedule: '30 * * * *',
    zone: 'Europe/Berlin',
    after: '2026-03-28T23:40Z',
    times: ['2026-03-29T00:30', '2026-03-29T01:30'],
  },
  {
    says: 'a gap of half an hour',
    schedule: '15 2 * * *',
    zone: 'Australia/Lord_Howe',
    after: '2026-10-02T16:00Z',
    times: ['2026-10-03T15:30', '2026-10-04T15:15'],
  },
  {
    says: 'half an hour that happens twice',
    schedule: '45 1 * * *',
    zone: 'Australia/Lord_Howe',
    after: '2026-04-03T15:00Z',
    times: ['2026-04-04T14:45', '2026-04-05T15:15'],
  },
  {
    says: 'half an hour that happens twice, where the minute is a star',
    schedule: '*/20 * * * *',
    zone: 'Australia/Lord_Howe',
    after: '2026-04-04T14:20Z',
    times: ['2026-04-04T14:40', '2026-04-04T15:10', '2026-04-04T15:30'],
  },
];

for (const { says, schedule, zone, after, times } of cases) {
  test(`a schedule means: ${says}`, () => {
    assert.deepEqual(following(schedule, zone, after, times.length), times);
    for (const found of times.filter((at) => at !== 'never')) {
      const atMs = Date.parse(`${found}Z`);
      assert.equal(iso(previousOccurrence(schedule, zone, atMs)), found);
      assert.equal(iso(previousOccurrence(schedule, zone, atMs + 1)), found);
      assert.notEqual(iso(previousOccurrence(schedule, zone, atMs - 1)), found);
    }
  });
}

test('31 February has not been either', () => {
  assert.equal(previousOccurrence('0 0 31 2 *', 'UTC', Date.UTC(2026, 0, 1)), undefined);
});

test('a schedule with a mistake is a bug', () => {
  assert.throws(() => nextOccurrence('60 * * * *', 'UTC', 0), BugError);
});

/** What clocks in a zone show, as if that were UTC. The offset of each quarter of an hour is asked for once. */
function wallClock(zone: string): (atMs: number) => number {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  });
  const offsets = new Map<number, number>();
  return (atMs) => {
    const quarterMs = Math.floor(atMs / (15 * MINUTE_MS)) * 15 * MINUTE_MS;
    let offsetMs = offsets.get(quarterMs);
    if (offsetMs === undefined) {
      const parts = Object.fromEntries(format.formatToParts(quarterMs).map(({ type, value }) => [type, Number(value)]));
      const { year = 0, month = 1, day = 1, hour = 0, minute = 0 } = parts;
      offsetMs = Date.UTC(year, month - 1, day, hour, minute) - quarterMs;
      offsets.set(quarterMs, offsetMs);
    }
    return atMs + offsetMs;
  };
}

type FieldModel = { readonly text: string; readonly star: boolean; readonly has: (value: number) => boolean };

function fieldModel(from: number, to: number): fc.Arbitrary<FieldModel> {
  const value = fc.integer({ min: from, max: to });
  const step = fc.integer({ min: 1, max: to + 2 });
  const ends = fc.tuple(value, value).map(([left, right]) => [Math.min(left, right), Math.max(left, right)] as const);
  const every = (first: number, last: number, by: number) => (asked: number) =>
    asked >= first && asked <= last && (asked - first) % by === 0;
  return fc.oneof(
    fc.constant({ text: '*', star: true, has: () => true }),
    step.map((by) => ({ text: `*/${by}`, star: true, has: every(from, to, by) })),
    fc.uniqueArray(value, { minLength: 1, maxLength: 3 }).map((values) => {
      return { text: values.join(','), star: false, has: (asked: number) => values.includes(asked) };
    }),
    fc.tuple(ends, step).map(([[first, last], by]) => {
      return { text: `${first}-${last}/${by}`, star: false, has: every(first, last, by) };
    }),
  );
}

type ScheduleModel = {
  readonly text: string;
  readonly everyHour: boolean;
  readonly fits: (wallMs: number) => boolean;
};

const anyDay: fc.Arbitrary<FieldModel> = fc.constant({ text: '*', star: true, has: () => true });

/** When clocks are changed. */
const nightHour: fc.Arbitrary<FieldModel> = fc.integer({ min: 0, max: 4 }).map((hour) => {
  return { text: `${hour}`, star: false, has: (asked) => asked === hour };
});

const schedules: fc.Arbitrary<ScheduleModel> = fc
  .tuple(
    fieldModel(0, 59),
    fc.oneof(fieldModel(0, 23), nightHour),
    fc.oneof(anyDay, anyDay, fieldModel(1, 31)),
    fc.oneof(anyDay, anyDay, anyDay, fieldModel(1, 12)),
    fc.oneof(anyDay, anyDay, fieldModel(0, 7)),
  )
  .map(([minute, hour, day, month, weekday]) => {
    const fitsDay = (date: Date): boolean => {
      const isDay = day.has(date.getUTCDate());
      const isWeekday = weekday.has(date.getUTCDay()) || (date.getUTCDay() === 0 && weekday.has(7));
      return day.star || weekday.star ? isDay && isWeekday : isDay || isWeekday;
    };
    return {
      text: [minute, hour, day, month, weekday].map(({ text }) => text).join(' '),
      everyHour: minute.star || hour.star,
      fits: (wallMs) => {
        const date = new Date(wallMs);
        const fitsTime = minute.has(date.getUTCMinutes()) && hour.has(date.getUTCHours());
        return fitsTime && month.has(date.getUTCMonth() + 1) && fitsDay(date);
      },
    };
  });

/** All occurrences from one minute to another, by looking at each. */
function walk(
  { everyHour, fits }: ScheduleModel,
  wall: (atMs: number) => number,
  fromMs: number,
  toMs: number,
): number[] {
  const found: number[] = [];
  let latestMs = wall(fromMs - DAY_MS);
  for (let atMs = fromMs - DAY_MS + MINUTE_MS; atMs <= toMs; atMs += MINUTE_MS) {
    const wallMs = wall(atMs);
    let counts = fits(wallMs) && (everyHour || wallMs > latestMs);
    for (let skipped = latestMs + MINUTE_MS; !everyHour && skipped < wallMs; skipped += MINUTE_MS) {
      counts ||= fits(skipped);
    }
    if (counts && atMs >= fromMs) found.push(atMs);
    latestMs = Math.max(latestMs, wallMs);
  }
  return found;
}

test('the next and the previous time are those that looking at each minute finds', () => {
  /** Moments at which clocks are changed. */
  const changes: Readonly<Record<string, readonly string[]>> = {
    UTC: ['2028-02-29T00:00Z'],
    'Europe/Berlin': ['2026-03-29T01:00Z', '2026-10-25T01:00Z'],
    'America/New_York': ['2026-03-08T07:00Z', '2026-11-01T06:00Z'],
    'Australia/Lord_Howe': ['2026-04-04T15:00Z', '2026-10-03T15:30Z'],
    'Asia/Kolkata': ['2026-05-31T18:30Z'],
    'America/Sao_Paulo': ['2018-02-18T02:00Z', '2018-11-04T03:00Z'],
    'Antarctica/Troll': ['2026-03-29T01:00Z', '2026-10-25T01:00Z'],
    'Pacific/Chatham': ['2026-04-04T14:00Z', '2026-09-26T14:00Z'],
  };
  const walls = new Map(Object.keys(changes).map((zone) => [zone, wallClock(zone)]));
  const moment = fc
    .constantFrom(...Object.entries(changes).flatMap(([zone, all]) => all.map((change) => [zone, change] as const)))
    .chain(([zone, change]) =>
      fc.integer({ min: -DAY_MS, max: DAY_MS }).map((aside) => ({
        zone,
        atMs: Date.parse(change) + Math.round(aside / 1000) * 1000 + (aside % 3 === 0 ? 1 : 0),
      })),
    );
  fc.assert(
    fc.property(schedules, moment, (schedule, { zone, atMs }) => {
      const minuteMs = Math.floor(atMs / MINUTE_MS) * MINUTE_MS;
      const [fromMs, toMs] = [minuteMs - DAY_MS, minuteMs + DAY_MS];
      const all = walk(schedule, walls.get(zone) ?? assert.fail(zone), fromMs, toMs);
      const next = nextOccurrence(schedule.text, zone, atMs);
      const previous = previousOccurrence(schedule.text, zone, atMs);
      const context = `${schedule.text} in ${zone} at ${new Date(atMs).toISOString()}`;
      const inside = (found: number | undefined): number | undefined =>
        found !== undefined && found >= fromMs && found <= toMs ? found : undefined;
      assert.equal(iso(inside(next)), iso(all.find((found) => found > atMs)), `next of ${context}`);
      assert.equal(iso(inside(previous)), iso(all.findLast((found) => found <= atMs)), `previous of ${context}`);
    }),
    { numRuns: 300 },
  );
});
