import { quoted } from './printable.ts';

type Field = { readonly name: string; readonly from: number; readonly to: number; readonly names: readonly string[] };

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const DAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

const FIELDS: readonly Field[] = [
  { name: 'minute', from: 0, to: 59, names: [] },
  { name: 'hour', from: 0, to: 23, names: [] },
  { name: 'day of the month', from: 1, to: 31, names: [] },
  { name: 'month', from: 1, to: 12, names: MONTHS },
  { name: 'day of the week', from: 0, to: 7, names: DAYS },
];

/** What is wrong with a schedule in cron's five fields, in a few words; undefined when nothing is. */
export function cronMistake(text: string): string | undefined {
  const parts = text.trim().split(/[ \t]+/);
  if (parts.length !== FIELDS.length) {
    return `expected a schedule of five fields such as 0 3 * * * (minute, hour, day, month, day of the week)`;
  }
  for (const [index, field] of FIELDS.entries()) {
    for (const item of (parts[index] ?? '').split(',')) {
      const mistake = itemMistake(item, field);
      if (mistake !== undefined) return mistake;
    }
  }
  return undefined;
}

/** One item of a field: `*`, `5`, `MON`, `1-5`, each with an optional step such as `/15`. */
function itemMistake(item: string, field: Field): string | undefined {
  const [range = '', step, ...rest] = item.split('/');
  const ends = range.split('-');
  if (rest.length > 0 || ends.length > 2) return `${field.name}: ${quoted(item)} is not understood`;
  if (step !== undefined && !(/^[0-9]{1,4}$/.test(step) && Number(step) > 0)) {
    return `${field.name}: the step in ${quoted(item)} must be a number above 0`;
  }
  if (range === '*') return undefined;
  const values: number[] = [];
  for (const end of ends) {
    const value = valueOf(end, field);
    if (value === undefined) return `${field.name}: ${quoted(item)} is not understood`;
    if (value < field.from || value > field.to) {
      return `${field.name}: ${value} is outside of ${field.from} to ${field.to}`;
    }
    values.push(value);
  }
  const [first = 0, last = first] = values;
  return first > last ? `${field.name}: ${quoted(item)} runs backwards` : undefined;
}

function valueOf(text: string, field: Field): number | undefined {
  if (/^[0-9]{1,4}$/.test(text)) return Number(text);
  const index = field.names.indexOf(text.toUpperCase());
  return index < 0 ? undefined : index + (field.names === MONTHS ? 1 : 0);
}

/** When a schedule is due: numbers as `Date` has them, but months from 1. A day counts that fits either of two restricted fields. */
export type CronTimes = {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  isDay(day: { readonly dayOfMonth: number; readonly month: number; readonly weekday: number }): boolean;
};

/** @param text without a mistake */
export function cronTimes(text: string): CronTimes {
  const parts = text.trim().split(/[ \t]+/);
  const [minutes, hours, days, months, weekdays] = FIELDS.map((field, index) => valuesOf(parts[index] ?? '', field));
  const isAny = (index: number): boolean => (parts[index] ?? '').startsWith('*');
  const has = (values: ReadonlySet<number> | undefined, value: number): boolean => values?.has(value) ?? false;
  return {
    minutes: minutes ?? new Set(),
    hours: hours ?? new Set(),
    isDay({ dayOfMonth, month, weekday }) {
      if (!has(months, month)) return false;
      const fits = [has(days, dayOfMonth), has(weekdays, weekday) || (weekday === 0 && has(weekdays, 7))];
      return isAny(2) || isAny(4) ? fits.every(Boolean) : fits.some(Boolean);
    },
  };
}

function valuesOf(part: string, field: Field): ReadonlySet<number> {
  const values = new Set<number>();
  for (const item of part.split(',')) {
    const [range = '', step] = item.split('/');
    const [first = '', last] = range.split('-');
    const from = range === '*' ? field.from : (valueOf(first, field) ?? field.to + 1);
    // `5/15` begins at 5 and has no end.
    const open = range === '*' || (last === undefined && step !== undefined);
    const to = open ? field.to : (valueOf(last ?? first, field) ?? from);
    for (let value = from; value <= to; value += Number(step ?? 1)) values.add(value);
  }
  return values;
}

const MINUTES_A_DAY = 24 * 60;
const MINUTE_MS = 60_000;
const DAY_MS = MINUTES_A_DAY * MINUTE_MS;
/** After so many years days fall on the same days of the week. */
const YEARS = 28;

/** The longest time from one moment of a schedule to the next, where no clock is changed. Infinite when it is never due. */
export function longestPauseMs(text: string): number {
  const { minutes, hours, isDay } = cronTimes(text);
  const ofDay = [...hours].flatMap((hour) => [...minutes].map((minute) => hour * 60 + minute));
  const due = ofDay.toSorted((left, right) => left - right);
  const [first = 0] = due;
  const last = due.at(-1) ?? 0;
  let longest = due.reduce((most, minute, index) => Math.max(most, minute - (due[index - 1] ?? minute)), 0);
  let before: number | undefined;
  for (let day = 0; day < YEARS * 366; day++) {
    const date = new Date(day * DAY_MS);
    const [dayOfMonth, month, weekday] = [date.getUTCDate(), date.getUTCMonth() + 1, date.getUTCDay()];
    if (!isDay({ dayOfMonth, month, weekday })) continue;
    if (before !== undefined) longest = Math.max(longest, (day - before) * MINUTES_A_DAY - last + first);
    before = day;
  }
  return before === undefined ? Infinity : longest * MINUTE_MS;
}
