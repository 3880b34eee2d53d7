import { assume } from './must.ts';
import { quoted } from './printable.ts';

type Field = {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** How many different values it has: Sunday has two numbers. */
  readonly count: number;
  readonly names: readonly string[];
};

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const DAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

const FIELDS: readonly Field[] = [
  { name: 'minute', from: 0, to: 59, count: 60, names: [] },
  { name: 'hour', from: 0, to: 23, count: 24, names: [] },
  { name: 'day of the month', from: 1, to: 31, count: 31, names: [] },
  { name: 'month', from: 1, to: 12, count: 12, names: MONTHS },
  { name: 'day of the week', from: 0, to: 7, count: 7, names: DAYS },
];

/** Every `step`th value from `first` to `last`; `any` when they were written as `*`. */
type Item = { readonly any: boolean; readonly first: number; readonly last: number; readonly step: number };

/** What is wrong with a schedule in cron's five fields, in a few words; undefined when nothing is. */
export function cronMistake(text: string): string | undefined {
  const parts = partsOf(text);
  if (parts.length !== FIELDS.length) {
    return `expected a schedule of five fields such as 0 3 * * * (minute, hour, day, month, day of the week)`;
  }
  return FIELDS.flatMap((field, index) => parseItems(parts[index], field)).find((item) => typeof item === 'string');
}

/**
 * A schedule that has no mistake, in fewer words: a field is a list of numbers, `*`, or `*` with a step that is no larger than the field has
 * values. Means the same.
 */
export function plainCron(text: string): readonly string[] {
  const parts = partsOf(text);
  return FIELDS.map((field, index) =>
    parseItems(parts[index], field)
      .map((item) => plainItem(item, field))
      .join(','),
  );
}

function plainItem(item: Item | string, { count }: Field): string {
  assume(typeof item !== 'string', 'a schedule without a mistake');
  const { any, first, last, step } = item;
  if (any) return step === 1 ? '*' : `*/${Math.min(step, count)}`;
  const values: number[] = [];
  for (let value = first; value <= last; value += step) values.push(value);
  return values.join(',');
}

function partsOf(text: string): readonly string[] {
  return text.trim().split(/[ \t]+/);
}

function parseItems(part: string | undefined, field: Field): readonly (Item | string)[] {
  return (part ?? '').split(',').map((item) => parseItem(item, field));
}

/**
 * One item of a field: `*`, `5`, `MON`, `1-5`, each with an optional step such as `/15`; a single value with a step goes on to the field's end.
 * What is wrong with it, in a few words, if something is.
 */
function parseItem(item: string, field: Field): Item | string {
  const [range = '', stepText, ...rest] = item.split('/');
  const ends = range.split('-');
  if (rest.length > 0 || ends.length > 2) return `${field.name}: ${quoted(item)} is not understood`;
  if (stepText !== undefined && !(/^[0-9]{1,4}$/.test(stepText) && Number(stepText) > 0)) {
    return `${field.name}: the step in ${quoted(item)} must be a number above 0`;
  }
  const step = Number(stepText ?? 1);
  if (range === '*') return { any: true, first: field.from, last: field.to, step };
  const values: number[] = [];
  for (const end of ends) {
    const value = valueOf(end, field);
    if (value === undefined) return `${field.name}: ${quoted(item)} is not understood`;
    if (value < field.from || value > field.to) {
      return `${field.name}: ${value} is outside of ${field.from} to ${field.to}`;
    }
    values.push(value);
  }
  const [first = 0, last = stepText === undefined ? first : field.to] = values;
  return first > last ? `${field.name}: ${quoted(item)} runs backwards` : { any: false, first, last, step };
}

function valueOf(text: string, field: Field): number | undefined {
  if (/^[0-9]{1,4}$/.test(text)) return Number(text);
  const index = field.names.indexOf(text.toUpperCase());
  return index < 0 ? undefined : index + (field.names === MONTHS ? 1 : 0);
}
