import assert from 'node:assert/strict';
import { styleText, stripVTControlCharacters } from 'node:util';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { MarkResult, TimelineResult, TimelineStoreResult, WindowResult } from '../app/results.ts';
import { togetherOf } from '../app/timeline-marks.ts';
import { widthOf } from './text-width.ts';
import { timelineText } from './timeline-text.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const iso = (atMs: number): string => new Date(atMs).toISOString();
const utc = (text: string): string => iso(Date.parse(`${text.replace(' ', 'T')}Z`));

type Asked = {
  readonly exact?: TimelineStoreResult['exact'];
  readonly bases?: readonly string[];
  readonly proven?: readonly string[];
  readonly logs?: readonly (readonly [string, string])[];
  readonly gaps?: readonly (readonly [string, string | undefined, string])[];
};

/** Times as `2026-11-20 14:05` in UTC. */
function storeOf(store: string, asked: Asked = {}): TimelineStoreResult {
  const { exact = 'position', bases: unproven = [], proven = [], logs: spans = [], gaps = [] } = asked;
  const bases = [...unproven.map((at) => ({ at, proven: false })), ...proven.map((at) => ({ at, proven: true }))]
    .map((base, index) => ({ id: `base-${index}`, at: utc(base.at), proven: base.proven }))
    .toSorted((left, right) => Date.parse(left.at) - Date.parse(right.at));
  const logs = spans.map(([from, to]) => ({ from: utc(from), to: utc(to), segments: 1 }));
  return {
    store,
    exact,
    bases,
    logs,
    gaps: gaps.map(([from, to, reason]) => ({ from: utc(from), to: to === undefined ? to : utc(to), reason })),
    windows: windowsOf({ bases, logs }),
  };
}

function markAt(at: string, more: Partial<MarkResult> = {}): MarkResult {
  const id = at.replaceAll(/[-:]/g, '').replace(' ', '-');
  return {
    id: `${id}-ab12`,
    tags: [],
    class: 'clock',
    at: utc(at),
    skewMs: 12,
    state: 'complete',
    partial: [],
    pinned: false,
    ...more,
  };
}

/** Marks at equal distances from `from` on, before `to`. */
function marksBetween(from: string, to: string, everyMs: number): readonly MarkResult[] {
  const [startMs, endMs] = [Date.parse(utc(from)), Date.parse(utc(to))];
  return Array.from({ length: Math.ceil((endMs - startMs) / everyMs) }, (_, index) =>
    markAt(
      iso(startMs + index * everyMs)
        .slice(0, 19)
        .replace('T', ' '),
    ),
  );
}

type Shown = { readonly columns?: number; readonly unicode?: boolean };

/** From the first base on a log to the log's end, and at bases that lie on none. */
function windowsOf({ bases, logs }: Pick<TimelineStoreResult, 'bases' | 'logs'>): readonly WindowResult[] {
  const within = ({ from, to }: WindowResult): TimelineStoreResult['bases'] =>
    bases.filter(({ at }) => from <= at && at <= to);
  const spans = logs.flatMap((log) =>
    within(log)
      .slice(0, 1)
      .map(({ at }) => ({ from: at, to: log.to })),
  );
  const alone = bases.filter(({ at }) => logs.every(({ from, to }) => at < from || to < at));
  const moments = alone.map(({ at }) => ({ from: at, to: at }));
  return [...spans, ...moments].toSorted((left, right) => Date.parse(left.from) - Date.parse(right.from));
}

function wholeOf(drawn: Drawn): TimelineResult {
  return { ...drawn, marksLeftOut: 0, together: togetherOf(drawn.marks, drawn.to) };
}

/** All its marks are listed. */
type Drawn = Omit<TimelineResult, 'marksLeftOut' | 'together'>;

function lines(drawn: Drawn, { columns = 80, unicode = true }: Shown = {}): readonly string[] {
  return timelineText(wholeOf(drawn), { columns, unicode, paint: (_style, text) => text });
}

function shown(result: Drawn, options?: Shown): string {
  return `\n${lines(result, options).join('\n')}\n`;
}

const day = { from: utc('2026-11-19 13:05'), to: utc('2026-11-20 13:05'), timezone: 'Europe/Berlin' };

const orders = storeOf('orders', {
  proven: ['2026-11-20 02:00:12'],
  bases: ['2026-11-19 02:00:10', '2026-11-20 07:00:12'],
  logs: [
    ['2026-11-19 02:00', '2026-11-20 04:41:07'],
    ['2026-11-20 06:00', '2026-11-20 13:05'],
  ],
  gaps: [
    [
      '2026-11-20 04:41:07',
      '2026-11-20 06:00',
      'the replication slot was lost: the server had removed the log it needed',
    ],
  ],
});
const catalog = storeOf('catalog', {
  bases: ['2026-11-19 02:00:11', '2026-11-20 02:00:13'],
  logs: [['2026-11-19 02:00', '2026-11-20 13:05']],
});
const uploads = storeOf('uploads-of-customers', {
  exact: 'observation',
  bases: ['2026-11-19 20:00:12', '2026-11-20 02:00:15', '2026-11-20 08:00:15'],
});

const threeStores: Drawn = {
  ...day,
  stores: [orders, catalog, uploads],
  marks: [
    ...marksBetween('2026-11-19 13:05', '2026-11-20 04:41', 300_000),
    ...marksBetween('2026-11-20 04:45', '2026-11-20 07:00', 900_000).map((mark) => ({
      ...mark,
      state: 'partial' as const,
      partial: ['orders'],
    })),
    ...marksBetween('2026-11-20 07:05', '2026-11-20 13:05', 300_000),
    markAt('2026-11-20 10:12', { name: 'before-upgrade' }),
    markAt('2026-11-20 11:02', { name: 'v2-live' }),
    markAt('2026-11-20 12:30', { pinned: true }),
  ].toSorted((left, right) => Date.parse(left.at) - Date.parse(right.at)),
};

const empty: Drawn = { ...day, stores: [storeOf('orders'), storeOf('uploads')], marks: [] };
const oneBase: Drawn = {
  ...day,
  stores: [storeOf('orders', { bases: ['2026-11-20 02:00:12'] })],
  marks: [markAt('2026-11-20 02:00:12', { name: 'nightly' })],
};
const nights = Array.from({ length: 14 }, (_, night) => `2026-11-${String(night + 7).padStart(2, '0')} 02:00:10`);
const twoWeeks: Drawn = {
  ...day,
  from: utc('2026-11-06 13:05'),
  stores: [
    storeOf('orders', {
      bases: nights,
      logs: [
        ['2026-11-06 13:05', '2026-11-12 22:10'],
        ['2026-11-12 22:13', '2026-11-20 13:05'],
      ],
      gaps: [['2026-11-12 22:10', '2026-11-12 22:13', 'the disk of the spool was full']],
    }),
    storeOf('uploads', { exact: 'observation', bases: nights.filter((_, night) => night % 7 > 1) }),
  ],
  marks: nights.map((at) => markAt(at)),
};
const shortDay: Drawn = {
  ...day,
  from: utc('2026-10-24 22:00'),
  to: utc('2026-10-25 23:00'),
  stores: [
    storeOf('orders', { bases: ['2026-10-25 02:00'], gaps: [['2026-10-25 20:00', undefined, 'db1 does not answer']] }),
  ],
  marks: [],
};
test('nothing yet: rows without anything, and what to do', () => {
  assert.equal(
    shown(empty, { columns: 60 }),
    `
2026-11-19 14:05:00 to 2026-11-20 14:05:00, Europe/Berlin; a
column is 29 min

          Thu 2026-11-19      Fri 2026-11-20
                  18:00       00:00        06:00       12:00
          ────────┬───────────┬────────────┬───────────┬────
orders    ··················································
uploads   ··················································

· nothing

Nothing of this time can be restored: it has no base.
\`tidemark backup\` takes one.
`,
  );
});

test('one base: one moment, and the name of its mark', () => {
  assert.equal(
    shown(oneBase, { columns: 60 }),
    `
2026-11-19 14:05:00 to 2026-11-20 14:05:00, Europe/Berlin; a
column is 29 min

          Thu 2026-11-19      Fri 2026-11-20
                  18:00       00:00        06:00       12:00
          ────────┬───────────┬────────────┬───────────┬────
orders    ··························●·······················
marks                               ◆
                                    └ nightly

● base   · nothing   ◆ named or pinned

What can be restored
orders    only at 2026-11-20 03:00:12
together  at 1 mark, 20261120-020012-ab12,
          2026-11-20 03:00:12
          longest time without one: 11 h 4 min, from
          2026-11-20 03:00:12
          clock, skew 12 ms at most
orders: exact to the position
`,
  );
});

test('a day of three stores: what is proven, where the hole is, and what its log is good for before the next base', () => {
  assert.equal(
    shown(threeStores),
    `
2026-11-19 14:05:00 to 2026-11-20 14:05:00, Europe/Berlin; a column is 25 min

                      Thu 2026-11-19         Fri 2026-11-20
                        15:00  18:00  21:00  00:00   03:00  06:00  09:00  12:00
                      ──┬──────┬──────┬──────┬───────┬──────┬──────┬──────┬─────
orders                ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━◉━━━━━╳╳╳╳╌╌●━━━━━━━━━━━━━━
catalog               ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━●━━━━━━━━━━━━━━━━━━━━━━━━━━
uploads-of-customers  ················●··············●·············●············
marks                 ││││││││││││││││││││││││││││││││││││││◇◇◇◇◇││││││││◆│◆││◆│
                                                          before-upgrade ┘ │
                                                                   v2-live ┘

● base   ◉ proven base   ━ log: any moment   ╌ log without a base   ╳ gap
· nothing   │ marks   ◆ named or pinned   ◇ incomplete mark

What can be restored
orders                2026-11-19 03:00:10 to 2026-11-20 05:41:07
                      2026-11-20 08:00:12 to 2026-11-20 14:05:00
catalog               2026-11-19 03:00:11 to 2026-11-20 14:05:00
uploads-of-customers  only at 3 moments, 2026-11-19 21:00:12 to
                      2026-11-20 09:00:15
together              at 263 marks, 2026-11-19 14:05:00 to 2026-11-20 14:00:00
                      longest time without one: 2 h 25 min, from
                      2026-11-20 05:40:00
                      clock, skew 12 ms at most
orders, catalog: exact to the position; uploads-of-customers: as it was read,
each part at its own time

1 gap: what was in between can’t be restored
orders                2026-11-20 05:41:07 to 2026-11-20 07:00:00, 1 h 18 min:
                      the replication slot was lost: the server had removed the
                      log it needed
`,
  );
});

test('the same on a narrow terminal in ASCII', () => {
  assert.equal(
    shown(threeStores, { columns: 40, unicode: false }),
    `
2026-11-19 14:05:00 to
2026-11-20 14:05:00, Europe/Berlin; a
column is 51 min

                       Fri 2026-11-20
                18:00  00:00  06:00
            ----+------+------+------+--
orders      ===============@==XXo=======
catalog     ===============o============
uploads-o~  ........o......o......o.....
marks       |||||||||||||||||||??|||**|*
                     before-upgrade '|
                             v2-live '

o base   @ proven base
= log: any moment   X gap   . nothing
| marks   * named or pinned
? incomplete mark

What can be restored
orders      2026-11-19 03:00:10 to
            2026-11-20 05:41:07
            2026-11-20 08:00:12 to
            2026-11-20 14:05:00
catalog     2026-11-19 03:00:11 to
            2026-11-20 14:05:00
uploads-o~  only at 3 moments,
            2026-11-19 21:00:12 to
            2026-11-20 09:00:15
together    at 263 marks,
            2026-11-19 14:05:00 to
            2026-11-20 14:00:00
            longest time without one:
            2 h 25 min, from
            2026-11-20 05:40:00
            clock, skew 12 ms at most
orders, catalog: exact to the position;
uploads-of-customers: as it was read,
each part at its own time

1 gap: what was in between can’t be
restored
orders      2026-11-20 05:41:07 to
            2026-11-20 07:00:00,
            1 h 18 min:
            the replication slot was
            lost: the server had removed
            the log it needed
`,
  );
});

test('two weeks: a gap of minutes is not lost in hours', () => {
  assert.equal(
    shown(twoWeeks, { columns: 100 }),
    `
2026-11-06 14:05:00 to 2026-11-20 14:05:00, Europe/Berlin; a column is 3.7 h

          Nov 2026
            07     08    09    10     11    12     13    14     15    16    17     18    19     20
          ──┬──────┬─────┬─────┬──────┬─────┬──────┬─────┬──────┬─────┬─────┬──────┬─────┬──────┬───
orders    ╌╌╌●━━━━━●━━━━━━●━━━━━●━━━━━━●━━━━━●━━━━━╳●━━━━━●━━━━━●━━━━━━●━━━━━●━━━━━━●━━━━━●━━━━━━●━━
uploads   ················●·····●······●·····●······●··················●·····●······●·····●······●··
marks        ╷     ╷      ╷     ╷      ╷     ╷      ╷     ╷     ╷      ╷     ╷      ╷     ╷      ╷

● base   ━ log: any moment   ╌ log without a base   ╳ gap   · nothing   ╷ mark

What can be restored
orders    2026-11-07 03:00:10 to 2026-11-12 23:10:00
          2026-11-13 03:00:10 to 2026-11-20 14:05:00
uploads   only at 10 moments, 2026-11-09 03:00:10 to 2026-11-20 03:00:10
together  at 14 marks, 2026-11-07 03:00:10 to 2026-11-20 03:00:10
          longest time without one: 1 d, from 2026-11-07 03:00:10
          clock, skew 12 ms at most
orders: exact to the position; uploads: as it was read, each part at its own time

1 gap: what was in between can’t be restored
orders    2026-11-12 23:10:00 to 2026-11-12 23:13:00, 3 min:
          the disk of the spool was full
`,
  );
});

test('a day of 25 hours, with a gap that has no end', () => {
  assert.equal(
    shown(shortDay, { columns: 83 }),
    `
2026-10-25 00:00:00 to 2026-10-26 00:00:00, Europe/Berlin; a column is 21 min

          Sun 2026-10-25
          00:00      03:00    06:00    09:00   12:00    15:00    18:00    21:00
          ┬──────────┬────────┬────────┬───────┬────────┬────────┬────────┬────────
orders    ···········●····················································╳╳╳╳╳╳╳╳╳

● base   ╳ gap   · nothing

What can be restored
orders    only at 2026-10-25 03:00:00
together  never: no mark of this time is complete
orders: exact to the position

1 gap: what was in between can’t be restored
orders    since 2026-10-25 21:00:00, 3 h:
          db1 does not answer
`,
  );
});

test('names of marks hang where there is room, those of one column share a line, and what does not fit is left out', () => {
  const named = (at: string, name: string): MarkResult => markAt(`2026-11-20 ${at}`, { name });
  const marks = [
    named('00:00', 'first'),
    named('00:01', 'second'),
    named('05:00', 'a-name-that-is-longer-than-its-place'),
    named('05:30', 'third'),
    named('06:00', 'fourth'),
    named('06:30', 'fifth'),
  ];
  const all = lines({ ...day, stores: [], marks });
  const row = all.findIndex((line) => line.startsWith('marks'));
  assert.deepEqual(all.slice(row, row + 4), [
    'marks                                    ◆              ◆◆ ◆◆',
    '                               second +1 ┘         third ┘ │└ fifth',
    '                                                           └ fourth',
    '',
  ]);
});

test('a mark that lacks a store is never drawn as one that is complete', () => {
  const incomplete = markAt('2026-11-20 02:00', { name: 'nightly', state: 'partial', partial: ['orders'] });
  const row = (marks: readonly MarkResult[]): string | undefined =>
    lines({ ...day, stores: [], marks }).find((line) => line.startsWith('marks'));
  assert.match(row([incomplete]) ?? '', /^marks +◇$/);
  assert.match(row([incomplete, markAt('2026-11-20 02:00:01')]) ?? '', /^marks +╷$/);
});

test('of many gaps the newest are told, and of many spans the newest', () => {
  const hours = Array.from({ length: 23 }, (_, hour) => String(hour).padStart(2, '0'));
  const store = storeOf('orders', {
    bases: hours.map((hour) => `2026-11-20 ${hour}:00`),
    logs: hours.map((hour) => [`2026-11-20 ${hour}:00`, `2026-11-20 ${hour}:30`]),
    gaps: hours.map((hour) => [`2026-11-20 ${hour}:30`, `2026-11-20 ${hour}:59`, `reason ${hour}`]),
  });
  const text = shown({
    ...day,
    from: utc('2026-11-20 00:00'),
    to: utc('2026-11-20 23:00'),
    stores: [store],
    marks: [],
  });
  assert.match(text, /orders +18 spans before: see --json\n/);
  assert.match(text, /\n23 gaps: .*\nthe first 3 of them: .*\norders +2026-11-20 04:30:00 to .*\n +reason 03\n/);
  assert.match(text, /reason 22\n$/);
});

test('colours change nothing but colours, and what comes from outside can’t forge a line', () => {
  const forged = storeOf('orders\n\u001b[2J', { gaps: [['2026-11-20 02:00', undefined, 'a\nb']] });
  const result = { ...threeStores, stores: [...threeStores.stores, forged] };
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    styleText(style, text, { validateStream: false });
  const coloured = timelineText(wholeOf(result), { columns: 80, unicode: true, paint });
  assert.match(coloured.join(''), /\u001b\[31m/);
  assert.deepEqual(coloured.map(stripVTControlCharacters), lines(result));
  assert.match(lines(result).join('\n'), /orders\\x0a\\x1b\[2J .*a\\x0ab/s);
});

const moment = fc.integer({ min: Date.parse(day.from) - DAY_MS, max: Date.parse(day.to) + DAY_MS }).map(iso);
const span = fc
  .tuple(moment, moment)
  .map((ends) => ends.toSorted((left, right) => Date.parse(left) - Date.parse(right)));
const between = span.map(([from = '', to = '']) => ({ from, to }));
const anyStore = fc.record({
  store: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
  exact: fc.constantFrom('position' as const, 'time' as const, 'observation' as const),
  bases: fc.array(fc.record({ id: fc.string(), at: moment, proven: fc.boolean() }), { maxLength: 8 }),
  logs: fc.array(
    between.map((ends) => ({ ...ends, segments: 1 })),
    { maxLength: 4 },
  ),
  gaps: fc.array(
    fc
      .record({ from: moment, lengthMs: fc.option(fc.nat(HOUR_MS)), reason: fc.string({ unit: 'grapheme' }) })
      .map((gap) => ({
        from: gap.from,
        to: gap.lengthMs === null ? undefined : iso(Date.parse(gap.from) + gap.lengthMs),
        reason: gap.reason,
      })),
    { maxLength: 4 },
  ),
  windows: fc.array(between, { maxLength: 4 }),
});
const anyTimeline = fc.record({
  ends: span,
  timezone: fc.constantFrom('UTC', 'Europe/Berlin', 'America/Santiago', 'Asia/Kathmandu'),
  stores: fc.array(anyStore, { maxLength: 5 }),
  marks: fc.array(
    fc.record({
      at: moment,
      name: fc.option(fc.stringMatching(/^[a-z0-9-]{1,30}$/), { nil: undefined }),
      pinned: fc.boolean(),
    }),
    { maxLength: 12 },
  ),
});

test('no line is wider than the terminal, every store has a row, and every gap shows in it', () => {
  const look = fc.record({ columns: fc.integer({ min: 20, max: 200 }), unicode: fc.boolean() });
  fc.assert(
    fc.property(anyTimeline, look, ({ ends: [from = '', to = ''], marks, ...rest }, { columns, unicode }) => {
      const result = { from, to, ...rest, marks: marks.map((mark) => ({ ...markAt('2026-11-20 00:00'), ...mark })) };
      const all = lines(result, { columns, unicode });
      for (const line of all) assert.ok(widthOf(line) <= columns, line);
      const ruler = all.findIndex((line) => /^ +(?:[─┬]+|[-+]+)$/.test(line));
      const width = (all[ruler] ?? '').trimStart().length;
      for (const [index, { gaps }] of result.stores.entries()) {
        const row = Array.from(all[ruler + 1 + index] ?? '').slice(-width);
        assert.equal(row.length, width);
        assert.ok(
          row.every((cell) => (unicode ? '●◉━╌╳·' : 'o@=-X.').includes(cell)),
          row.join(''),
        );
        for (const gap of gaps) {
          const share = (Date.parse(gap.from) - Date.parse(from)) / Math.max(Date.parse(to) - Date.parse(from), 1);
          const isInside = share >= 0 && share <= 1;
          if (isInside) assert.equal(row[Math.min(Math.floor(share * width), width - 1)], unicode ? '╳' : 'X');
        }
      }
    }),
  );
});
