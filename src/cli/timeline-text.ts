import type { TimelineResult, TimelineStoreResult, WindowResult } from '../app/results.ts';
import type { Exactness } from '../core/position.ts';
import { printable } from '../core/printable.ts';
import { createTimeFormat, formatDuration, formatNumberOf } from './format.ts';
import { cut, flowing, hanging, padded, widthOf } from './text-width.ts';
import { drawnGlyph, drawTimeline, GLYPHS } from './timeline-picture.ts';
import type { Glyph, Page, Picture } from './timeline-picture.ts';

const LEAST_COLUMNS = 20;
const MOST_GAPS = 20;
const MOST_WINDOWS = 5;
const LONGEST_NAME = 24;
const TOGETHER = 'together';

/**
 * History as a picture as wide as `columns` (at least 20), with what can be restored and what is missing in words below. Times are in the result's
 * zone. No line is wider.
 */
export function timelineText(result: TimelineResult, printer: Omit<Page, 'name'>): readonly string[] {
  const columns = Math.max(printer.columns, LEAST_COLUMNS);
  const { unicode, paint } = printer;
  const page: TextPage = {
    columns,
    unicode,
    paint,
    name: nameColumn(result, { columns, ellipsis: unicode ? '…' : '~' }),
    time: createTimeFormat(result.timezone),
  };
  const picture = drawTimeline(result, page);
  return [
    ...headline(result, picture, page),
    '',
    ...picture.lines,
    '',
    ...legend(picture, page),
    '',
    ...restorable(result, page),
    ...gapList(result, page),
  ];
}

type TextPage = Page & { readonly time: (at: string) => string };

function nameColumn(
  { stores }: TimelineResult,
  { columns, ellipsis }: { readonly columns: number; readonly ellipsis: string },
): Page['name'] {
  const widest = stores.reduce((width, { store }) => Math.max(width, widthOf(printable(store))), TOGETHER.length);
  const width = Math.min(widest, LONGEST_NAME, Math.floor(columns / 4));
  return (text) => `${padded(cut(printable(text), width, ellipsis), width)}  `;
}

function headline({ from, to, timezone }: TimelineResult, { columnMs }: Picture, page: TextPage): readonly string[] {
  const text = `${page.time(from)} to ${page.time(to)}, ${timezone}; a column is ${roughly(columnMs)}`;
  return hanging('', text, page.columns).map((line) => page.paint('bold', line));
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
] as const;

/** `25 min`, `3.9 h`: two digits or more of one unit. */
function roughly(ms: number): string {
  const [unit, lengthMs] = UNITS.find(([, length]) => ms >= length) ?? ['s', 1000];
  const count = ms / lengthMs;
  return `${count < 9.95 ? Number(count.toFixed(1)) : Math.round(count)} ${unit}`;
}

function legend({ used }: Picture, page: TextPage): readonly string[] {
  const isShown = (glyph: string): glyph is Glyph => glyph !== 'blank' && new Set<string>(used).has(glyph);
  const parts = Object.keys(GLYPHS)
    .filter(isShown)
    .map((glyph) => `${drawnGlyph(glyph, page)} ${page.paint('dim', GLYPHS[glyph].says)}`);
  return flowing('', parts, { width: page.columns, between: '   ' });
}

function restorable(result: TimelineResult, page: TextPage): readonly string[] {
  const { stores } = result;
  if (stores.every(({ windows }) => windows.length === 0)) {
    return hanging(
      '',
      'Nothing of this time can be restored: it has no base. `tidemark backup` takes one.',
      page.columns,
    );
  }
  return [
    page.paint('bold', 'What can be restored'),
    ...stores.flatMap((store) => entry(store.store, windowTexts(store, page), page)),
    ...entry(TOGETHER, togetherTexts(result, page), page),
    ...hanging('', exactnessText(stores), page.columns).map((line) => page.paint('dim', line)),
  ];
}

/** A name and lines of text after it, each of which may need several. */
function entry(name: string, texts: readonly string[], page: TextPage): readonly string[] {
  return texts.flatMap((text, index) => hanging(page.name(index === 0 ? name : ''), text, page.columns));
}

const EXACT: Readonly<Record<Exactness, string>> = {
  position: 'exact to the position',
  time: 'exact to the time',
  observation: 'as it was read, each part at its own time',
};

function exactnessText(stores: TimelineResult['stores']): string {
  const groups = Map.groupBy(stores, ({ exact }) => exact);
  return [...groups]
    .flatMap(([exact, of]) =>
      exact === undefined ? [] : [`${of.map(({ store }) => printable(store)).join(', ')}: ${EXACT[exact]}`],
    )
    .join('; ');
}

function windowTexts({ windows }: TimelineStoreResult, { time }: TextPage): readonly string[] {
  if (windows.length === 0) return ['nothing'];
  const spans = groupMoments(windows);
  const shown = spans.slice(-MOST_WINDOWS);
  const earlier = spans.length - shown.length;
  return [
    ...(earlier > 0 ? [`${formatNumberOf(earlier, 'span')} before: see --json`] : []),
    ...shown.map(({ from, to, moments }) => {
      if (moments === 0) return `${time(from)} to ${time(to)}`;
      return moments === 1 ? `only at ${time(from)}` : `only at ${moments} moments, ${time(from)} to ${time(to)}`;
    }),
  ];
}

/** `moments`: how many there are where there is nothing in between; 0 where every moment is. */
type Span = WindowResult & { readonly moments: number };

/** Moments that follow each other are told as one. */
function groupMoments(windows: readonly WindowResult[]): readonly Span[] {
  const spans: Span[] = [];
  for (const { from, to } of windows) {
    const before = spans.at(-1);
    const isMoment = from === to;
    if (isMoment && before !== undefined && before.moments > 0) {
      spans[spans.length - 1] = { from: before.from, to, moments: before.moments + 1 };
    } else spans.push({ from, to, moments: isMoment ? 1 : 0 });
  }
  return spans;
}

function togetherTexts({ together }: TimelineResult, { time }: TextPage): readonly string[] {
  if (together === undefined) return ['never: no mark of this time is complete'];
  const { marks, first, last, longestPause, mostSkewMs } = together;
  return [
    marks === 1
      ? `at 1 mark, ${last.id}, ${time(last.at)}`
      : `at ${formatNumberOf(marks, 'mark')}, ${time(first.at)} to ${time(last.at)}`,
    `longest time without one: ${formatDuration(longestPause.durationMs)}, from ${time(longestPause.from)}`,
    mostSkewMs === undefined ? 'sealed' : `clock, skew ${formatDuration(mostSkewMs)} at most`,
  ];
}

function gapList({ stores, to }: TimelineResult, page: TextPage): readonly string[] {
  const { columns, paint, time } = page;
  const gaps = stores
    .flatMap(({ store, gaps: ofStore }) => ofStore.map((gap) => ({ ...gap, store })))
    .toSorted((left, right) => Date.parse(left.from) - Date.parse(right.from));
  if (gaps.length === 0) return [];
  const left = Math.max(gaps.length - MOST_GAPS, 0);
  const lines = gaps.slice(left).flatMap((gap) => {
    const length = formatDuration(Date.parse(gap.to ?? to) - Date.parse(gap.from));
    const span = gap.to === undefined ? `since ${time(gap.from)}` : `${time(gap.from)} to ${time(gap.to)}`;
    return entry(gap.store, [`${span}, ${length}:`, printable(gap.reason)], page);
  });
  const title = `${formatNumberOf(gaps.length, 'gap')}: what was in between can’t be restored`;
  return [
    '',
    ...hanging('', title, columns).map((line) => paint('red', line)),
    ...(left > 0 ? hanging('', `the first ${left} of them: see --json, or narrow the time by --to`, columns) : []),
    ...lines,
  ];
}
