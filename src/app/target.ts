import { TidemarkError } from '../core/errors.ts';
import { nearest } from '../core/nearest.ts';
import { parseDuration } from '../core/units.ts';
import type { Catalogue, MarkRecord } from '../repository/catalogue.ts';
import { historyGaps, historySpans } from '../repository/history-spans.ts';
import { markState, newestMark } from '../repository/mark.ts';
import { hasStore, marksOf, marksWhole, marksWith, storesOf } from './mark-stores.ts';
import { isoTime } from './shown.ts';

const NEAREST_SHOWN = 2;
const AMBIGUOUS_SHOWN = 5;
/** How a time is written. */
export const TIME_HINT = 'Write one such as 2026-11-20T14:05:00Z, "2026-11-20 14:05" or "5m ago".';

type Known = Pick<Catalogue, 'marks' | 'bases' | 'histories' | 'gaps'>;

export type TargetOptions = {
  readonly nowMs: number;
  /** For times without a zone. */
  readonly timezone: string;
  /** The stores that are named; none means all. */
  readonly stores?: readonly string[];
  /** Those of the manifest, which are meant where none are named. */
  readonly manifest?: readonly string[];
};

/**
 * The mark that an operator means: `latest` (the newest complete one), an id or its beginning, a name, or a time, which means the newest complete
 * mark at or before it. Of stores that are named it is the newest that has all of them, also one that is partial for others; of those of the
 * manifest the newest complete one that has all of them, or where none has, one of them. A mark of other stores alone is taken only by its id or
 * name, and by an id only where no other mark has it.
 * @throws TARGET_UNKNOWN, TARGET_AMBIGUOUS, TARGET_OUTSIDE_WINDOW and TARGET_IN_GAP naming the window and the nearest marks
 */
export function resolveTarget(catalogue: Known, target: string, options: TargetOptions): MarkRecord {
  const { marks } = catalogue;
  const meant = meantMarks(marks, options);
  if (target === 'latest') {
    const newest = newestMark(marksWith(meant.candidates, meant.wanted));
    if (newest !== undefined) return newest;
    throw noneYet(marks, meant);
  }
  const exact = marks.filter(({ mark }) => mark.id === target);
  if (exact.length > 0) return onlyOne(exact, target);
  const named = marks.filter(({ mark }) => mark.name === target);
  if (named.length > 0) return onlyOne(named, target);
  const atMs = parseTargetTime(target, options);
  if (atMs !== undefined) return atOrBefore(catalogue, meant, { target, atMs });
  const begun = target.length >= 4 ? marks.filter(({ mark }) => mark.id.startsWith(target)) : [];
  if (begun.length > 0) return onlyOne(begun, target);
  throw new TidemarkError('TARGET_UNKNOWN', `no mark is called ${target}`, {
    hint: unknownHint(target, marks),
  });
}

type Meant = {
  readonly named: readonly string[];
  /** Those that are named, or else those of the manifest. */
  readonly wanted: readonly string[];
  /** Marks that have all that are named, or else complete ones that are about one of those that are wanted. */
  readonly candidates: readonly MarkRecord[];
};

function meantMarks(marks: readonly MarkRecord[], { stores: named = [], manifest = [] }: TargetOptions): Meant {
  const wanted = named.length > 0 ? named : manifest;
  const whole = named.length > 0 ? marksWhole(marks, named) : [];
  return { named, wanted, candidates: whole.length > 0 ? whole : completeOf(marksOf(marks, wanted)) };
}

function completeOf(marks: readonly MarkRecord[]): readonly MarkRecord[] {
  return marks.filter(({ mark }) => markState(mark) === 'complete');
}

/** Why there is no mark to choose from. */
function noneYet(marks: readonly MarkRecord[], { named, wanted }: Meant): TidemarkError {
  const stores = wanted.join(', ');
  if (marks.length === 0 || marksOf(marks, wanted).length > 0) {
    const which = completeOf(marks).length === 0 ? '' : ` of ${stores}`;
    const hint = partialHint(marksOf(marks, wanted), named);
    return new TidemarkError('TARGET_OUTSIDE_WINDOW', `there is no complete mark${which} yet`, { hint });
  }
  const others = `The marks that are there are of ${storesOf(marks).join(', ')}`;
  if (named.length > 0) {
    return new TidemarkError('TARGET_UNKNOWN', `no mark has the store ${stores}`, { hint: `${others}.` });
  }
  const hint = `${others}: name a store, or a mark by its id, to go to one of them; \`tidemark backup\` takes one of your own.`;
  return new TidemarkError('TARGET_OUTSIDE_WINDOW', `there is no complete mark of ${stores} yet`, { hint });
}

/** What there is where no mark is complete. */
function partialHint(marks: readonly MarkRecord[], named: readonly string[]): string {
  const newest = newestMark(marks)?.mark;
  if (newest === undefined) return 'Take one with `tidemark backup`.';
  const told = `${newest.id}, without ${newest.missing.join(', ')}.`;
  if (named.length > 0) return `None has all that is named; the newest that has some of it is ${told}`;
  return `All are partial; the newest is ${told} To go to one, name it, or name the stores that are wanted.`;
}

function onlyOne(found: readonly MarkRecord[], target: string): MarkRecord {
  const [first, second] = found;
  if (first !== undefined && second === undefined) return first;
  const ids = found.map(({ mark }) => mark.id);
  const shown = found.slice(-AMBIGUOUS_SHOWN).map(({ mark }) => mark);
  const hint =
    new Set(ids).size === ids.length
      ? `Name one by its id: ${shown.map(({ id }) => id).join(', ')}.`
      : `Several have one id, which therefore names none of them. Go to a time instead; they are of ${shown.map((mark) => isoTime(mark.atMs)).join(', ')}.`;
  throw new TidemarkError('TARGET_AMBIGUOUS', `${found.length} marks fit ${target}`, { hint });
}

type AtTime = { readonly target: string; readonly atMs: number };

function atOrBefore(catalogue: Known, meant: Meant, { target, atMs }: AtTime): MarkRecord {
  const { candidates, named, wanted } = meant;
  if (candidates.length === 0) throw noneYet(catalogue.marks, meant);
  const isBefore = ({ mark }: MarkRecord): boolean => mark.atMs <= atMs;
  const found = marksWith(candidates.filter(isBefore), wanted).at(-1);
  if (found === undefined) {
    const which = named.length > 0 ? `mark of ${named.join(', ')}` : 'complete mark';
    throw new TidemarkError('TARGET_OUTSIDE_WINDOW', `no ${which} at or before ${target} (${isoTime(atMs)})`, {
      hint: windowHint(candidates, 'its first marks are', candidates.slice(0, NEAREST_SHOWN)),
    });
  }
  const gap = gapAt(catalogue, found, { atMs, stores: named });
  if (gap === undefined) return found;
  const [next] = marksWith(
    candidates.filter((record) => !isBefore(record)),
    wanted,
  );
  throw new TidemarkError('TARGET_IN_GAP', `${target} (${isoTime(atMs)}) lies in a gap of ${gap}`, {
    hint: windowHint(candidates, 'the nearest marks are', next === undefined ? [found] : [found, next]),
  });
}

/** Of the stores that are meant, the gap in which the time lies; a mark within the gap is as near as one can come. */
function gapAt(
  catalogue: Known,
  { mark }: MarkRecord,
  { atMs, stores }: { readonly atMs: number; readonly stores: readonly string[] },
): string | undefined {
  for (const store of stores.length > 0 ? stores : Object.keys(mark.positions)) {
    if (!hasStore(mark, store)) continue;
    const gaps = historyGaps(catalogue, store, historySpans(catalogue, store));
    const gap = gaps.find(({ fromMs, toMs = Infinity }) => mark.atMs <= fromMs && fromMs < atMs && atMs < toMs);
    if (gap === undefined) continue;
    const until =
      gap.toMs === undefined ? `since ${isoTime(gap.fromMs)}` : `from ${isoTime(gap.fromMs)} to ${isoTime(gap.toMs)}`;
    return `${store}, ${until}: ${gap.reason}`;
  }
  return undefined;
}

function unknownHint(target: string, marks: readonly MarkRecord[]): string {
  const meant = nearest(
    target,
    marks.flatMap(({ mark }) => [mark.id, ...(mark.name === undefined ? [] : [mark.name])]),
  );
  if (meant !== undefined) return `Did you mean ${meant}? \`tidemark marks\` lists them all.`;
  const newest = completeOf(marks)
    .slice(-NEAREST_SHOWN)
    .map(({ mark }) => mark.id);
  return newest.length === 0
    ? NO_MARKS
    : `The newest marks are ${newest.join(' and ')}; \`tidemark marks\` lists them all.`;
}

const NO_MARKS = 'There are no complete marks yet; take one with `tidemark backup`.';

function windowHint(candidates: readonly MarkRecord[], says: string, near: readonly MarkRecord[]): string {
  const [first] = candidates;
  const last = candidates.at(-1);
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
