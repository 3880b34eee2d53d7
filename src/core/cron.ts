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
