import { TidemarkError } from '../core/errors.ts';
import { nearest } from '../core/nearest.ts';
import { parseDuration } from '../core/units.ts';
import type { Catalogue, MarkRecord } from '../repository/catalogue.ts';
import { historyGaps, historySpans } from '../repository/history-spans.ts';
import { markState, newestMark } from '../repository/mark.ts';
import { isoTime } from './shown.ts';

const NEAREST_SHOWN = 2;
/** How a time is written. */
export const TIME_HINT = 'Write one such as 2026-11-20T14:05:00Z, "2026-11-20 14:05" or "5m ago".';

type Known = Pick<Catalogue, 'marks' | 'bases' | 'histories' | 'gaps'>;

/**
 * The mark that an operator means: `latest` (the newest complete one), an id or its beginning, a name, or a time, which means the newest complete
 * mark at or before it. `timezone` is for times without a zone. `stores`: which of its stores are meant; none means all.
 * @throws TARGET_UNKNOWN, TARGET_AMBIGUOUS, TARGET_OUTSIDE_WINDOW and TARGET_IN_GAP naming the window and the nearest marks
 */
export function resolveTarget(
  catalogue: Known,
  target: string,
  options: { readonly nowMs: number; readonly timezone: string; readonly stores?: readonly string[] },
): MarkRecord {
  const { marks } = catalogue;
  const complete = marks.filter(({ mark }) => markState(mark) === 'complete');
  if (target === 'latest') {
    const newest = newestMark(complete);
    if (newest !== undefined) return newest;
    throw new TidemarkError('TARGET_OUTSIDE_WINDOW', 'there is no complete mark yet', {
      hint: 'Take one with `tidemark backup`.',
    });
  }
  const exact = marks.find(({ mark }) => mark.id === target);
  if (exact !== undefined) return exact;
  const named = marks.filter(({ mark }) => mark.name === target);
  if (named.length > 0) return onlyOne(named, target);
  const atMs = parseTargetTime(target, options);
  if (atMs !== undefined) return atOrBefore(catalogue, complete, { target, atMs, stores: options.stores ?? [] });
  const begun = target.length >= 4 ? marks.filter(({ mark }) => mark.id.startsWith(target)) : [];
  if (begun.length > 0) return onlyOne(begun, target);
  throw new TidemarkError('TARGET_UNKNOWN', `no mark is called ${target}`, {
    hint: unknownHint(target, marks, complete),
  });
}

function onlyOne(found: readonly MarkRecord[], target: string): MarkRecord {
  const [first, second] = found;
  if (first !== undefined && second === undefined) return first;
  const ids = found.map(({ mark }) => mark.id);
  throw new TidemarkError('TARGET_AMBIGUOUS', `${found.length} marks fit ${target}`, {
    hint: `Name one by its id: ${ids.slice(-5).join(', ')}.`,
  });
}

type AtTime = { readonly target: string; readonly atMs: number; readonly stores: readonly string[] };

function atOrBefore(catalogue: Known, complete: readonly MarkRecord[], asked: AtTime): MarkRecord {
  const { target, atMs } = asked;
  const found = complete.findLast(({ mark }) => mark.atMs <= atMs);
  if (found === undefined) {
    throw new TidemarkError('TARGET_OUTSIDE_WINDOW', `no complete mark at or before ${target} (${isoTime(atMs)})`, {
      hint: windowHint(complete, 'its first marks are', complete.slice(0, NEAREST_SHOWN)),
    });
  }
  const gap = gapAt(catalogue, found, asked);
  if (gap === undefined) return found;
  const next = complete.find(({ mark }) => mark.atMs > atMs);
  throw new TidemarkError('TARGET_IN_GAP', `${target} (${isoTime(atMs)}) lies in a gap of ${gap}`, {
    hint: windowHint(complete, 'the nearest marks are', next === undefined ? [found] : [found, next]),
  });
}

/** Of the stores that are meant, the gap in which the time lies; a mark within the gap is as near as one can come. */
function gapAt(catalogue: Known, { mark }: MarkRecord, { atMs, stores }: AtTime): string | undefined {
  for (const store of stores.length > 0 ? stores : Object.keys(mark.positions)) {
    const gaps = historyGaps(catalogue, store, historySpans(catalogue, store));
    const gap = gaps.find(({ fromMs, toMs = Infinity }) => mark.atMs <= fromMs && fromMs < atMs && atMs < toMs);
    if (gap === undefined) continue;
    const until =
      gap.toMs === undefined ? `since ${isoTime(gap.fromMs)}` : `from ${isoTime(gap.fromMs)} to ${isoTime(gap.toMs)}`;
    return `${store}, ${until}: ${gap.reason}`;
  }
  return undefined;
}

function unknownHint(target: string, marks: readonly MarkRecord[], complete: readonly MarkRecord[]): string {
  const meant = nearest(
    target,
    marks.flatMap(({ mark }) => [mark.id, ...(mark.name === undefined ? [] : [mark.name])]),
  );
  if (meant !== undefined) return `Did you mean ${meant}? \`tidemark marks\` lists them all.`;
  const newest = complete.slice(-NEAREST_SHOWN).map(({ mark }) => mark.id);
  return newest.length === 0
    ? NO_MARKS
    : `The newest marks are ${newest.join(' and ')}; \`tidemark marks\` lists them all.`;
}

const NO_MARKS = 'There are no complete marks yet; take one with `tidemark backup`.';

function windowHint(complete: readonly MarkRecord[], says: string, near: readonly MarkRecord[]): string {
  const [first] = complete;
  const last = complete.at(-1);
  if (first === undefined || last === undefined) return NO_MARKS;
  const marks = near.map(({ mark }) => `${mark.id} of ${isoTime(mark.atMs)}`).join(' and ');
  return `The window goes from ${isoTime(first.mark.atMs)} to ${isoTime(last.mark.atMs)}; ${says} ${marks}.`;
}

/** `2026-11-20T14:05:00Z`, `2026-11-20 14:05` in the zone, `2026-11-20`, `5m ago`. Undefined for what is no time. */
export function parseTargetTime(
  text: string,
  options: { readonly nowMs: number; readonly timezone: string },
): number | undefined {
  const ago = /^(\S+) ago$/.exec(text.trim());
  if (ago?.[1] !== undefined) {
    const durationMs = parseDuration(ago[1]);
    return durationMs === undefined ? undefined : options.nowMs - durationMs;
  }
  const match =
    /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?(Z|[+-]\d{2}:\d{2})?)?$/.exec(
      text.trim(),
    );
  if (match === null) return undefined;
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '0', zone] = match;
  const plain = `${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.padEnd(3, '0')}`;
  const asUtcMs = Date.parse(`${plain}${zone ?? 'Z'}`);
  if (Number.isNaN(asUtcMs) || !isoTime(Date.parse(`${plain}Z`)).startsWith(`${year}-${month}-${day}T${hour}`)) {
    return undefined;
  }
  return zone === undefined ? fromZone(asUtcMs, options.timezone, text) : asUtcMs;
}

/** The moment at which clocks in the zone show what UTC shows at `wallMs`. @throws TARGET_AMBIGUOUS for an hour that happens twice */
function fromZone(wallMs: number, timezone: string, text: string): number {
  const candidates = new Set<number>();
  for (const probeMs of [wallMs - 86_400_000, wallMs, wallMs + 86_400_000]) {
    const candidateMs = wallMs - zoneOffsetMs(probeMs, timezone);
    if (zoneOffsetMs(candidateMs, timezone) === wallMs - candidateMs) candidates.add(candidateMs);
  }
  const [first, second] = [...candidates].toSorted((left, right) => left - right);
  if (first === undefined) return wallMs - zoneOffsetMs(wallMs, timezone);
  if (second !== undefined) {
    throw new TidemarkError('TARGET_AMBIGUOUS', `${text} happened twice in ${timezone}`, {
      hint: `Write ${isoTime(first)} or ${isoTime(second)}.`,
    });
  }
  return first;
}

function zoneOffsetMs(atMs: number, timezone: string): number {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: timezone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
  const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]));
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(atMs / 1000) * 1000;
}
