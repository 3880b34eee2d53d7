import { createTimeFormat } from './format.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MONTH_MS = 30 * DAY_MS;

/** The first Monday after 1970 began: weeks are counted from it. */
const MONDAY_MS = 4 * DAY_MS;
const WEEK_DAYS = 7;

const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

/** A span of time as columns of equal length. */
export type Scale = { readonly fromMs: number; readonly toMs: number; readonly columns: number };

export type Columns = { readonly first: number; readonly last: number };

/** The columns that a span touches, at least one; undefined where it lies outside. A moment is a span without length. */
export function columnsOf({ fromMs, toMs, columns }: Scale, startMs: number, endMs: number): Columns | undefined {
  if (endMs < fromMs || startMs > toMs) return undefined;
  const columnAt = (atMs: number): number => Math.floor(((atMs - fromMs) / Math.max(toMs - fromMs, 1)) * columns);
  const within = (column: number): number => Math.min(Math.max(column, 0), columns - 1);
  const first = within(columnAt(startMs));
  // What ends where a column begins does not touch that column.
  const last = endMs > startMs ? within(columnAt(endMs - 1)) : first;
  return { first, last: Math.max(first, last) };
}

/** Lines above the rows of a picture: days or months, hours or days within them, and a ruler. */
export type Axis = { readonly upper: string; readonly lower: string; readonly ruler: string };

type Step = { readonly unit: 'ms' | 'day' | 'month'; readonly count: number };

/** `label` says what a wall clock shows that reads as UTC. */
type Labels = { readonly step: Step; readonly label: (wallMs: number) => string };
type Ruler = Labels & { readonly width: number; readonly upper?: readonly Labels[] };

const iso = (wallMs: number): string => new Date(wallMs).toISOString();
const weekday = (wallMs: number): string => WEEKDAYS[new Date(wallMs).getUTCDay()] ?? '';

const DAYS: readonly Labels[] = [
  { step: { unit: 'day', count: 1 }, label: (wallMs) => `${weekday(wallMs)} ${iso(wallMs).slice(0, 10)}` },
  { step: { unit: 'day', count: 1 }, label: (wallMs) => iso(wallMs).slice(5, 10) },
];
const MONTHS_OF_YEARS: readonly Labels[] = [
  { step: { unit: 'month', count: 1 }, label: (wallMs) => `${monthName(wallMs)} ${iso(wallMs).slice(0, 4)}` },
  { step: { unit: 'month', count: 1 }, label: monthName },
];
const YEARS: readonly Labels[] = [{ step: { unit: 'month', count: 12 }, label: (wallMs) => iso(wallMs).slice(0, 4) }];

/** From the finest to the coarsest; the first one whose labels have room is taken. */
const RULERS: readonly Ruler[] = [
  ...[1, 5, 15, 30].map((count) => clock(count * SECOND_MS, 8)),
  ...[1, 2, 5, 10, 15, 30].map((count) => clock(count * MINUTE_MS, 5)),
  ...[1, 2, 3, 6, 12].map((count) => clock(count * HOUR_MS, 5)),
  { ...days(1), width: 6, label: (wallMs) => `${weekday(wallMs)} ${iso(wallMs).slice(8, 10)}` },
  days(1),
  days(2),
  days(WEEK_DAYS),
  days(2 * WEEK_DAYS),
  { step: { unit: 'month', count: 1 }, width: 3, label: monthName, upper: YEARS },
  { step: { unit: 'month', count: 3 }, width: 3, label: monthName, upper: YEARS },
  ...[1, 2, 5, 10, 20, 50, 100].map((count) => years(count)),
];

function clock(stepMs: number, width: number): Ruler {
  return {
    step: { unit: 'ms', count: stepMs },
    width,
    label: (wallMs) => iso(wallMs).slice(11, 11 + width),
    upper: DAYS,
  };
}

function days(count: number): Ruler {
  return {
    step: { unit: 'day', count },
    width: 2,
    label: (wallMs) => iso(wallMs).slice(8, 10),
    upper: MONTHS_OF_YEARS,
  };
}

function years(count: number): Ruler {
  return { step: { unit: 'month', count: 12 * count }, width: 4, label: (wallMs) => iso(wallMs).slice(0, 4) };
}

function monthName(wallMs: number): string {
  return MONTHS[new Date(wallMs).getUTCMonth()] ?? '';
}

/** Ticks stand where clocks in the zone show round times, so that an hour which is skipped or happens twice is as short or long as it was. */
export function timeAxis(scale: Scale, { zone, unicode }: { readonly zone: string; readonly unicode: boolean }): Axis {
  const wall = new WallClock(zone);
  const ruler = fittingRuler(scale);
  const ticks = ticksOf(scale, ruler.step, wall);
  const upper = ruler.upper?.map((labels) => {
    const starts = ticksOf(scale, labels.step, wall);
    const begun = starts[0]?.column === 0 ? [] : [{ column: 0, wallMs: wall.at(scale.fromMs) }];
    return { labels, starts: [...begun, ...starts] };
  });
  const chosen = upper?.find(({ labels, starts }) => haveRoom(starts, labels)) ?? upper?.at(-1);
  const [line, tick] = unicode ? ['─', '┬'] : ['-', '+'];
  const marked = new Set(ticks.map(({ column }) => column));
  return {
    upper: chosen === undefined ? '' : labelLine(chosen.starts, chosen.labels, scale.columns),
    lower: labelLine(ticks, ruler, scale.columns),
    ruler: Array.from({ length: scale.columns }, (_, column) => (marked.has(column) ? tick : line)).join(''),
  };
}

function fittingRuler({ fromMs, toMs, columns }: Scale): Ruler {
  const perMs = columns / Math.max(toMs - fromMs, 1);
  const fitting = RULERS.find(({ step, width }) => lengthOf(step) * perMs >= width + 2);
  return fitting ?? years(1000);
}

function lengthOf({ unit, count }: Step): number {
  if (unit === 'ms') return count;
  return count * (unit === 'day' ? DAY_MS : MONTH_MS);
}

type Tick = { readonly column: number; readonly wallMs: number };

function ticksOf(scale: Scale, step: Step, wall: WallClock): readonly Tick[] {
  const ticks: Tick[] = [];
  const lastWallMs = wall.at(scale.toMs);
  for (let wallMs = roundedDown(wall.at(scale.fromMs), step); wallMs <= lastWallMs; wallMs = next(wallMs, step)) {
    const atMs = wall.moment(wallMs) ?? (step.unit === 'ms' ? undefined : wall.moment(wallMs + HOUR_MS));
    if (atMs === undefined || atMs < scale.fromMs || atMs >= scale.toMs) continue;
    const column = columnsOf(scale, atMs, atMs)?.first;
    if (column !== undefined) ticks.push({ column, wallMs });
  }
  return ticks;
}

function roundedDown(wallMs: number, { unit, count }: Step): number {
  if (unit !== 'month') {
    const stepMs = lengthOf({ unit, count });
    const startMs = unit === 'day' && count % WEEK_DAYS === 0 ? MONDAY_MS : 0;
    return startMs + Math.floor((wallMs - startMs) / stepMs) * stepMs;
  }
  const date = new Date(wallMs);
  return monthStart(Math.floor((date.getUTCFullYear() * 12 + date.getUTCMonth()) / count) * count);
}

function next(wallMs: number, { unit, count }: Step): number {
  if (unit !== 'month') return wallMs + lengthOf({ unit, count });
  const date = new Date(wallMs);
  return monthStart(date.getUTCFullYear() * 12 + date.getUTCMonth() + count);
}

function monthStart(months: number): number {
  return Date.UTC(Math.floor(months / 12), months % 12);
}

/** A label at each tick, but for those that would run into another one or over the end. */
function labelLine(ticks: readonly Tick[], labels: Labels, columns: number): string {
  let line = '';
  for (const [index, { column, wallMs }] of ticks.entries()) {
    const text = labels.label(wallMs);
    const isCrowdedOut = index === 0 && !hasRoom(ticks, index, labels);
    const isFree = line === '' || column > line.length;
    if (isFree && !isCrowdedOut && column + text.length <= columns) line = line.padEnd(column) + text;
  }
  return line;
}

/** The first one counts for nothing: what began before the picture may have little left in it. */
function haveRoom(ticks: readonly Tick[], labels: Labels): boolean {
  return ticks.every((_, index) => index === 0 || hasRoom(ticks, index, labels));
}

function hasRoom(ticks: readonly Tick[], index: number, { label }: Labels): boolean {
  const tick = ticks[index];
  const following = ticks[index + 1];
  return tick === undefined || following === undefined || tick.column + label(tick.wallMs).length < following.column;
}

/** What clocks of a zone show, as the milliseconds at which clocks in UTC show the same; whole seconds. */
class WallClock {
  readonly #format: (time: number) => string;

  constructor(zone: string) {
    this.#format = createTimeFormat(zone);
  }

  at(atMs: number): number {
    return Date.parse(`${this.#format(atMs).replace(' ', 'T')}Z`);
  }

  /** A moment at which the clocks show `wallMs`; undefined where they never do. */
  moment(wallMs: number): number | undefined {
    const guessMs = wallMs - (this.at(wallMs) - wallMs);
    const atMs = wallMs - (this.at(guessMs) - guessMs);
    return this.at(atMs) === wallMs ? atMs : undefined;
  }
}
