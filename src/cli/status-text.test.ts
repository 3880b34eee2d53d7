import assert from 'node:assert/strict';
import { styleText, stripVTControlCharacters } from 'node:util';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { MarkResult, StatusResult, StatusStoreResult } from '../app/results.ts';
import { createTimeFormat } from './format.ts';
import { statusText } from './status-text.ts';
import { widthOf } from './text-width.ts';

const time = createTimeFormat('Europe/Berlin');

type Shown = { readonly columns?: number; readonly unicode?: boolean };

function lines(result: StatusResult, { columns = 80, unicode = true }: Shown = {}): readonly string[] {
  return statusText(result, { columns, unicode, time, paint: (_style, text) => text });
}

function shown(result: StatusResult, options?: Shown): string {
  return `\n${lines(result, options).join('\n')}\n`;
}

const lastMark: MarkResult = {
  id: '20261120-130455-ab12',
  tags: [],
  class: 'clock',
  at: '2026-11-20T13:04:55.000Z',
  skewMs: 12,
  state: 'complete',
  partial: [],
  pinned: false,
};

function storeOf(store: string, more: Partial<StatusStoreResult> = {}): StatusStoreResult {
  return {
    store,
    state: 'recording',
    lagMs: 1234,
    lastBaseAt: '2026-11-20T02:00:12.000Z',
    nextBaseAt: '2026-11-21T02:00:00.000Z',
    window: { from: '2026-11-06T02:00:12.000Z', to: '2026-11-20T13:04:58.766Z' },
    spooledBytes: 0,
    ...more,
  };
}

const well: StatusResult = {
  at: '2026-11-20T13:05:00.000Z',
  up: { processId: 4711, startedAt: '2026-11-19T08:12:40.000Z' },
  stores: [
    storeOf('orders'),
    storeOf('catalog', { lagMs: 310 }),
    storeOf('uploads', { lagMs: 42_000, spooledBytes: 3_500_000 }),
  ],
  repository: { id: 'r', url: '/srv/backups/shop', formatVersion: 1, reachable: true },
  lastMark,
  alarms: [],
};

const ill: StatusResult = {
  ...well,
  stores: [
    storeOf('orders', {
      state: 'retrying',
      lagMs: 840_000,
      spooledBytes: 850_000_000,
      trouble: {
        code: 'STORE_UNREACHABLE',
        message: 'db1:5432 refuses connections',
        hint: 'Start the server, or correct its url in the manifest; recording goes on by itself.',
      },
    }),
    storeOf('catalog'),
    storeOf('sessions-of-customers', { state: 'starting', lagMs: undefined, lastBaseAt: undefined, window: undefined }),
  ],
  repository: { ...well.repository, reachable: false },
  alarms: [
    {
      code: 'LAG',
      store: 'orders',
      message: 'the repository is 14 min behind the store, 2 min are allowed',
      hint: 'If this host were lost now, so would be these 14 min: mend what keeps it from recording.',
    },
    {
      code: 'STORE_UNREACHABLE',
      store: 'orders',
      message: 'db1:5432 refuses connections',
      hint: 'Start the server, or correct its url in the manifest; recording goes on by itself.',
    },
  ],
};

const down: StatusResult = {
  at: well.at,
  stores: [storeOf('orders', { state: 'idle', lagMs: undefined, nextBaseAt: undefined })],
  repository: well.repository,
  alarms: [],
};

test('all is well in a calm line; ages and times stand beside each other', () => {
  assert.equal(
    shown(well),
    `
Up since 2026-11-19 09:12:40, 1 d 4 h, process 4711
repository  /srv/backups/shop
last mark   5 s ago, 14:04:55, 20261120-130455-ab12, clock, skew 12 ms, complete

store    state          spooled  last base, next        restorable from, to
orders   recording          0 B  11 h ago     03:00:12  14 d ago  11-06 03:00
         1.2 s behind            in 12 h   11-21 03:00  1 s ago      14:04:58
catalog  recording          0 B  11 h ago     03:00:12  14 d ago  11-06 03:00
         310 ms behind           in 12 h   11-21 03:00  1 s ago      14:04:58
uploads  recording      3.3 MiB  11 h ago     03:00:12  14 d ago  11-06 03:00
         42 s behind             in 12 h   11-21 03:00  1 s ago      14:04:58

All stores are being recorded, and nothing needs you.
`,
  );
});

test('with room the times are whole', () => {
  assert.equal(
    shown(well, { columns: 110 }),
    `
Up since 2026-11-19 09:12:40, 1 d 4 h, process 4711
repository  /srv/backups/shop
last mark   5 s ago, 14:04:55, 20261120-130455-ab12, clock, skew 12 ms, complete

store    state          spooled  last base, next                restorable from, to
orders   recording          0 B  11 h ago  2026-11-20 03:00:12  14 d ago  2026-11-06 03:00:12
         1.2 s behind            in 12 h   2026-11-21 03:00:00  1 s ago   2026-11-20 14:04:58
catalog  recording          0 B  11 h ago  2026-11-20 03:00:12  14 d ago  2026-11-06 03:00:12
         310 ms behind           in 12 h   2026-11-21 03:00:00  1 s ago   2026-11-20 14:04:58
uploads  recording      3.3 MiB  11 h ago  2026-11-20 03:00:12  14 d ago  2026-11-06 03:00:12
         42 s behind             in 12 h   2026-11-21 03:00:00  1 s ago   2026-11-20 14:04:58

All stores are being recorded, and nothing needs you.
`,
  );
});

test('what is unhealthy comes last, each with what to do, and long names are cut', () => {
  assert.equal(
    shown(ill),
    `
Up since 2026-11-19 09:12:40, 1 d 4 h, process 4711
repository  /srv/backups/shop unreachable
last mark   5 s ago, 14:04:55, 20261120-130455-ab12, clock, skew 12 ms, complete

store       state          spooled  last base, next        restorable from, to
orders      retrying       810 MiB  11 h ago     03:00:12  14 d ago  11-06 03:00
            14 min behind           in 12 h   11-21 03:00  1 s ago      14:04:58
catalog     recording          0 B  11 h ago     03:00:12  14 d ago  11-06 03:00
            1.2 s behind            in 12 h   11-21 03:00  1 s ago      14:04:58
sessions-…  starting           0 B  unknown                unknown
            lag unknown             in 12 h   11-21 03:00

alarm orders: the repository is 14 min behind the store, 2 min are allowed
  If this host were lost now, so would be these 14 min: mend what keeps it from
  recording.
alarm orders: db1:5432 refuses connections
  Start the server, or correct its url in the manifest; recording goes on by
  itself.
`,
  );
});

test('a narrow terminal has a block of lines a store', () => {
  assert.equal(
    shown(ill, { columns: 40, unicode: false }),
    `
Up since 2026-11-19 09:12:40, 1 d 4 h,
process 4711
repository  /srv/backups/shop
            unreachable
last mark   5 s ago, 14:04:55,
            20261120-130455-ab12, clock,
            skew 12 ms, complete

orders
  state       retrying, 14 min behind
  spooled     810 MiB
  last base   11 h ago, 03:00:12
  next base   in 12 h, 11-21 03:00
  restorable  from 14 d ago, 11-06 03:00
              to 1 s ago, 14:04:58

catalog
  state       recording, 1.2 s behind
  spooled     0 B
  last base   11 h ago, 03:00:12
  next base   in 12 h, 11-21 03:00
  restorable  from 14 d ago, 11-06 03:00
              to 1 s ago, 14:04:58

sessions-of-customers
  state       starting, lag unknown
  spooled     0 B
  last base   unknown
  next base   in 12 h, 11-21 03:00
  restorable  unknown

alarm orders: the repository is 14 min
      behind the store, 2 min are
      allowed
  If this host were lost now, so would
  be these 14 min: mend what keeps it
  from recording.
alarm orders: db1:5432 refuses
      connections
  Start the server, or correct its url
  in the manifest; recording goes on by
  itself.
`,
  );
});

test('when it does not run it says how to start it, and nothing is said to be well', () => {
  assert.equal(
    shown(down),
    `
Not running: nothing is recorded. Start it with \`tidemark up\`.
repository  /srv/backups/shop
last mark   none yet: nothing can be restored together

store   state        spooled  last base, next     restorable from, to
orders  idle             0 B  11 h ago  03:00:12  14 d ago  11-06 03:00
        lag unknown           none                1 s ago      14:04:58
`,
  );
});

test('a repository out of reach, a store that is not recorded and an alarm are not well', () => {
  const isWell = (result: StatusResult): boolean => /nothing needs you/.test(shown(result));
  assert.equal(isWell(well), true);
  assert.equal(isWell({ ...well, repository: { ...well.repository, reachable: false } }), false);
  assert.equal(isWell({ ...well, stores: [...well.stores, storeOf('new', { state: 'starting' })] }), false);
  assert.equal(isWell({ ...well, alarms: [{ code: 'A', message: 'm', hint: 'h' }] }), false);
});

test('colours change nothing but colours, and what comes from outside can’t forge a line', () => {
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    styleText(style, text, { validateStream: false });
  const forged = { ...ill, alarms: [{ code: 'A', message: 'a\n\u001b[2J', hint: 'h' }] };
  const coloured = statusText(forged, { columns: 80, unicode: true, time, paint });
  assert.match(coloured.join(''), /\u001b\[31malarm/);
  assert.deepEqual(coloured.map(stripVTControlCharacters), lines(forged));
  assert.match(lines(forged).join('\n'), /alarm a\\x0a\\x1b\[2J\n/);
});

const moment = fc
  .integer({ min: Date.parse('2024-01-01T00:00:00Z'), max: Date.parse('2028-01-01T00:00:00Z') })
  .map((atMs) => new Date(atMs).toISOString());
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 });
const maybeMoment = fc.option(moment, { nil: undefined });
const anyStatus = fc.record({
  at: moment,
  up: fc.option(fc.record({ processId: fc.nat(), startedAt: moment }), { nil: undefined }),
  stores: fc.array(
    fc.record({
      store: text,
      state: fc.constantFrom('idle' as const, 'starting' as const, 'recording' as const, 'retrying' as const),
      lagMs: fc.option(fc.nat(), { nil: undefined }),
      lastBaseAt: maybeMoment,
      nextBaseAt: maybeMoment,
      window: fc.option(fc.record({ from: moment, to: moment }), { nil: undefined }),
      spooledBytes: fc.nat(),
      trouble: fc.option(fc.record({ code: fc.constant('FAILED' as const), message: text, hint: text }), {
        nil: undefined,
      }),
    }),
    { maxLength: 5 },
  ),
  repository: fc.record({ id: text, url: text, formatVersion: fc.constant(1), reachable: fc.boolean() }),
  lastMark: fc.option(fc.constant(lastMark), { nil: undefined }),
  alarms: fc.array(
    fc.record({ code: fc.constant('LAG'), store: fc.option(text, { nil: undefined }), message: text, hint: text }),
    {
      maxLength: 3,
    },
  ),
});

test('no line is wider than the terminal, and every store and alarm is told of', () => {
  const look = fc.record({ columns: fc.integer({ min: 20, max: 200 }), unicode: fc.boolean() });
  fc.assert(
    fc.property(anyStatus, look, (result, options) => {
      const all = lines(result, options);
      for (const line of all) assert.ok(widthOf(line) <= options.columns, line);
      const states = all.filter((line) => /(?:^|  )(?:idle|starting|recording|retrying)(?:,|  |$)/.test(line));
      // On fewer columns words are cut.
      if (options.columns >= 40) assert.ok(states.length >= result.stores.length, all.join('\n'));
      const alarms = all.filter((line) => line.startsWith('alarm'));
      assert.ok(alarms.length >= result.alarms.length);
    }),
  );
});
