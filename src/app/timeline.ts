import { TidemarkError } from '../core/errors.ts';
import { own } from '../core/own.ts';
import { quoted } from '../core/printable.ts';
import { newestBase } from '../repository/catalogue.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { baseAtMs } from '../repository/base-order.ts';
import { historyGaps, historySpans, restorableTimes } from '../repository/history-spans.ts';
import type { HistoryGap, HistorySpan } from '../repository/history-spans.ts';
import type { OpenApplication } from './application.ts';
import { knownStores } from './chosen-stores.ts';
import { timezoneOf } from './look.ts';
import type { RepositoryReader } from './look.ts';
import type { MarkResult, TimelineResult, TimelineStoreResult } from './results.ts';
import { isoTime, markResult } from './shown.ts';
import { parseTargetTime, TIME_HINT } from './target.ts';
import { thinned, togetherOf } from './timeline-marks.ts';

export type TimelineRequest = {
  /** Names; none means all. */
  readonly stores: readonly string[];
  /** Times as an operator writes them, as `parseTargetTime` takes them. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
};

/** The history of the stores within a span: without one, all there is. @throws USAGE for what is no time or no store */
export function timeline(
  application: OpenApplication,
  { catalogue }: RepositoryReader,
  request: TimelineRequest,
): TimelineResult {
  const { configuration, runtime } = application.context;
  const stores = knownStores(catalogue, configuration, request.stores);
  const moment = { nowMs: runtime.clock.nowMs(), timezone: timezoneOf(application) };
  return timelineOf(catalogue, { ...request, ...moment, stores, isAll: request.stores.length === 0 });
}

export type TimelineOptions = TimelineRequest & {
  readonly nowMs: number;
  readonly timezone: string;
  /** Whether marks without any of `stores` are shown. */
  readonly isAll: boolean;
};

type StoreHistory = {
  readonly store: string;
  readonly spans: readonly HistorySpan[];
  readonly gaps: readonly HistoryGap[];
};

/** What a catalogue says of the history of these stores. @throws USAGE */
export function timelineOf(catalogue: Catalogue, options: TimelineOptions): TimelineResult {
  const histories = options.stores.map((store): StoreHistory => {
    const spans = historySpans(catalogue, store);
    return { store, spans, gaps: historyGaps(catalogue, store, spans) };
  });
  const marks = catalogue.marks
    .filter(({ mark }) => options.isAll || options.stores.some((store) => own(mark.positions, store) !== undefined))
    .map(({ mark, pinned }) => markResult(mark, pinned));
  const { fromMs, toMs } = shownTime(histories, marks, options);
  const to = isoTime(toMs);
  const within = marks.filter(({ at }) => fromMs <= Date.parse(at) && Date.parse(at) <= toMs);
  const listed = thinned(within);
  return {
    from: isoTime(fromMs),
    to,
    timezone: options.timezone,
    stores: histories.map((history) => storeResult(catalogue, history, { fromMs, toMs })),
    marks: listed,
    marksLeftOut: within.length - listed.length,
    together: togetherOf(within, to),
  };
}

type Time = { readonly fromMs: number; readonly toMs: number };

/** What was written by a clock that goes ahead is shown as well. */
function shownTime(histories: readonly StoreHistory[], marks: readonly MarkResult[], options: TimelineOptions): Time {
  const stretches = histories.flatMap(({ spans, gaps }) => [...spans, ...gaps]);
  const times = [marks.at(0), marks.at(-1)].flatMap((mark) => (mark === undefined ? [] : [Date.parse(mark.at)]));
  const latest = stretches.reduce((most, { fromMs, toMs }) => Math.max(most, toMs ?? fromMs), Math.max(0, ...times));
  const toMs = givenTime('--to', options.to, options) ?? Math.max(options.nowMs, latest);
  const earliest = stretches.reduce((least, { fromMs }) => Math.min(least, fromMs), Math.min(toMs, ...times));
  const fromMs = givenTime('--from', options.from, options) ?? Math.min(earliest, toMs);
  if (fromMs <= toMs) return { fromMs, toMs };
  throw new TidemarkError(
    'USAGE',
    `what is to be shown begins at ${isoTime(fromMs)} and ends before, at ${isoTime(toMs)}`,
  );
}

/** @throws USAGE for what is no time */
function givenTime(
  option: string,
  text: string | undefined,
  options: { readonly nowMs: number; readonly timezone: string },
): number | undefined {
  if (text === undefined) return undefined;
  const atMs = parseTargetTime(text, options);
  if (atMs !== undefined) return atMs;
  throw new TidemarkError('USAGE', `${option}: ${quoted(text)} is no time`, { hint: TIME_HINT });
}

function storeResult(
  catalogue: Catalogue,
  { store, spans, gaps }: StoreHistory,
  { fromMs, toMs }: Time,
): TimelineStoreResult {
  const isShown = (stretch: { readonly fromMs: number; readonly toMs: number | undefined }): boolean =>
    stretch.fromMs <= toMs && (stretch.toMs ?? Infinity) >= fromMs;
  const bases = spans
    .flatMap((span) => span.bases)
    .map((base) => ({ base, atMs: baseAtMs(base) }))
    .filter(({ atMs }) => fromMs <= atMs && atMs <= toMs)
    .toSorted((left, right) => left.atMs - right.atMs);
  return {
    store,
    exact: newestBase(catalogue, store)?.summary.exact,
    bases: bases.map(({ base, atMs }) => ({
      id: base.key,
      at: isoTime(atMs),
      proven: base.provenAtMs !== undefined,
    })),
    logs: spans
      .filter((span) => (span.segments.length > 0 || span.toMs > span.fromMs) && isShown(span))
      .map((span) => ({ from: isoTime(span.fromMs), to: isoTime(span.toMs), segments: span.segments.length })),
    gaps: gaps.filter(isShown).map((gap) => ({
      from: isoTime(gap.fromMs),
      ...(gap.toMs === undefined ? {} : { to: isoTime(gap.toMs) }),
      reason: gap.reason,
    })),
    windows: restorableTimes(spans)
      .filter(isShown)
      .map(({ fromMs: from, toMs: to }) => ({ from: isoTime(from), to: isoTime(to) })),
  };
}
