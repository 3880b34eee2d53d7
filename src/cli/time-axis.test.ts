import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnsOf, timeAxis } from './time-axis.ts';

type Span = { readonly from: string; readonly to: string; readonly zone?: string; readonly columns?: number };

function axis({ from, to, zone = 'UTC', columns = 66 }: Span): string {
  const scale = { fromMs: Date.parse(from), toMs: Date.parse(to), columns };
  const { upper, lower, ruler } = timeAxis(scale, { zone, unicode: true });
  return `\n${upper}\n${lower}\n${ruler}\n`;
}

test('a span touches the columns in which something of it lies, and a moment touches one', () => {
  const scale = { fromMs: 1000, toMs: 2000, columns: 10 };
  assert.deepEqual(columnsOf(scale, 1000, 1100), { first: 0, last: 0 });
  assert.deepEqual(columnsOf(scale, 1099, 1101), { first: 0, last: 1 });
  assert.deepEqual(columnsOf(scale, 1100, 1100), { first: 1, last: 1 });
  assert.deepEqual(columnsOf(scale, 2000, 2000), { first: 9, last: 9 });
  assert.deepEqual(columnsOf(scale, 0, Number.POSITIVE_INFINITY), { first: 0, last: 9 });
  assert.equal(columnsOf(scale, 0, 999), undefined);
  assert.equal(columnsOf(scale, 2001, 3000), undefined);
});

test('the ruler counts seconds, minutes, hours, days, weeks, months or years, as there is room', () => {
  const to = '2026-11-20T14:01:00Z';
  assert.equal(
    axis({ from: '2026-11-20T14:00:00Z', to, columns: 60 }),
    `
Fri 2026-11-20
14:00:00       14:00:15       14:00:30       14:00:45
┬──────────────┬──────────────┬──────────────┬──────────────
`,
  );
  assert.equal(
    axis({ from: '2026-11-17T05:00:00Z', to, zone: 'Asia/Kolkata' }),
    `
          Wed 2026-11-18      Thu 2026-11-19      Fri 2026-11-20
 12:00    00:00     12:00     00:00     12:00     00:00    12:00
─┬────────┬─────────┬─────────┬─────────┬─────────┬────────┬──────
`,
  );
  assert.equal(
    axis({ from: '2026-11-13T05:00:00Z', to }),
    `
Nov 2026
       Sat 14   Sun 15  Mon 16   Tue 17   Wed 18   Thu 19   Fri 20
───────┬────────┬───────┬────────┬────────┬────────┬────────┬─────
`,
  );
  assert.equal(
    axis({ from: '2026-10-13T05:00:00Z', to }),
    `
Oct 2026                        Nov 2026
         19          26           02          09          16
─────────┬───────────┬────────────┬───────────┬───────────┬───────
`,
  );
  assert.equal(
    axis({ from: '2024-05-13T05:00:00Z', to }),
    `
2024            2025                      2026
   Jul    Oct   Jan    Apr   Jul    Oct   Jan    Apr   Jul    Oct
───┬──────┬─────┬──────┬─────┬──────┬─────┬──────┬─────┬──────┬───
`,
  );
  assert.equal(axis({ from: '1970-05-13T05:00:00Z', to, columns: 20 }), '\n\n   1980   2000\n───┬──────┬──────┬──\n');
});

test('an hour that happens twice is two hours long, and one that is skipped is not there', () => {
  const zone = 'Europe/Berlin';
  assert.equal(
    axis({ from: '2026-10-24T22:00:00Z', to: '2026-10-25T23:00:00Z', zone, columns: 75 }),
    `
Sun 2026-10-25
00:00       03:00    06:00    09:00    12:00    15:00    18:00    21:00
┬───────────┬────────┬────────┬────────┬────────┬────────┬────────┬────────
`,
  );
  assert.equal(
    axis({ from: '2026-03-28T23:00:00Z', to: '2026-03-29T22:00:00Z', zone, columns: 69 }),
    `
Sun 2026-03-29
00:00 03:00    06:00    09:00    12:00    15:00    18:00    21:00
┬─────┬────────┬────────┬────────┬────────┬────────┬────────┬────────
`,
  );
});

test('a day whose midnight is skipped still begins', () => {
  assert.equal(
    axis({ from: '2026-09-04T00:00:00Z', to: '2026-09-08T00:00:00Z', zone: 'America/Santiago' }),
    `
  Fri 2026-09-04   Sat 2026-09-05  Sun 2026-09-06  Mon 2026-09-07
  00:00    12:00   00:00   12:00           12:00   00:00   12:00
──┬────────┬───────┬───────┬───────────────┬───────┬───────┬──────
`,
  );
});

test('no span and no room break it', () => {
  const moment = '2026-11-20T14:00:00.400Z';
  assert.equal(axis({ from: moment, to: moment, columns: 20 }), '\nFri 2026-11-20\n\n────────────────────\n');
  assert.equal(axis({ from: '2026-11-20T05:00:00Z', to: moment, columns: 1 }), '\n\n\n─\n');
});
