import { own } from '../core/own.ts';
import { isWithin } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import { baseAtMs } from './base-order.ts';
import type { BaseRecord, Catalogue } from './catalogue.ts';
import type { LogRun, SegmentRecord } from './log-view.ts';

/**
 * A stretch of a history without a break: a run of its log with the bases that lie on it, or a base that no log follows. Log times are the store's,
 * those of bases the object store's, those of marks their writer's: for people, not for decisions.
 */
export type HistorySpan = {
  readonly lineage: string;
  readonly credential: string;
  /** The fewest segments that cover it; none where nothing was recorded after a base. */
  readonly segments: readonly SegmentRecord[];
  /** By ascending cut, also those that can't be restored because the log lacks what they need. */
  readonly bases: readonly BaseRecord[];
  /** Its positions: after `after` up to `upTo`. */
  readonly after: Position;
  readonly upTo: Position;
  /**
   * Up to `toMs` nothing happened that is not in it: it ends there, or a mark or base found the history still at its end. Where a gap begins before its end
   * that is `toMs`: the store has left it there, and what lies behind may never have been seen by anyone.
   */
  readonly fromMs: number;
  readonly toMs: number;
  /** From when on every moment up to `toMs` can be restored; undefined where nothing can. */
  readonly restorableFromMs: number | undefined;
};

/** What is missing of a history. Without `toMs` it lasts: no base has begun anew since. */
export type HistoryGap = { readonly fromMs: number; readonly toMs: number | undefined; readonly reason: string };

const UNTOLD = 'the log ends here and the next base begins anew; why was not written down';

type Known = Pick<Catalogue, 'bases' | 'histories' | 'marks' | 'gaps'>;

/** The stretches of a history, ascending by time. */
export function historySpans(catalogue: Known, history: string): readonly HistorySpan[] {
  const view = catalogue.histories.get(history);
  if (view === undefined) return [];
  const reaches = (base: BaseRecord): boolean => view.reachOf(base) !== undefined;
  const bases = catalogue.bases.values().filter(({ summary }) => summary.history === history);
  const onRuns = Map.groupBy(bases, (base) => view.runFrom(base));
  const covers = view.coveredRuns();
  const spans = [
    ...view.runs.map((run, index) => spanOf({ run, segments: covers[index] ?? [] }, onRuns.get(run) ?? [], reaches)),
    ...(onRuns.get(undefined) ?? []).map((base) => spanOf(undefined, [base], reaches)),
  ];
  const seen = lastSeen(catalogue, history, spans);
  const gaps = catalogue.gaps.filter((gap) => gap.history === history);
  return spans
    .map((span) => {
      const leftMs = leftAtMs(span, gaps);
      return leftMs === undefined ? { ...span, toMs: Math.max(span.toMs, seen.get(span) ?? 0) } : endedAt(span, leftMs);
    })
    .toSorted((left, right) => left.fromMs - right.fromMs || left.toMs - right.toMs);
}

function spanOf(
  log: { readonly run: LogRun; readonly segments: readonly SegmentRecord[] } | undefined,
  bases: readonly BaseRecord[],
  reaches: (base: BaseRecord) => boolean,
): HistorySpan {
  const byCut = bases.toSorted((left, right) => (left.summary.cut.order < right.summary.cut.order ? -1 : 1));
  const times = [...byCut.map(baseAtMs), ...(log === undefined ? [] : [log.run.fromMs, log.run.toMs])];
  const [first] = byCut;
  const restorable = byCut.find(reaches);
  const { summary } = first ?? {};
  const after = log?.run.after ?? summary?.logFrom;
  const upTo = log?.run.upTo ?? summary?.cut;
  if (after === undefined || upTo === undefined) throw new RangeError('a stretch of a history has a log or a base');
  return {
    lineage: upTo.lineage,
    credential: log?.segments[0]?.credential ?? first?.credential ?? '',
    segments: log?.segments ?? [],
    bases: byCut,
    after,
    upTo,
    fromMs: Math.min(...times),
    toMs: Math.max(...times),
    restorableFromMs: restorable && baseAtMs(restorable),
  };
}

/** When a store went on from a place of a stretch with something else than what follows there. */
function leftAtMs(span: HistorySpan, gaps: Known['gaps']): number | undefined {
  const times = gaps
    .filter(({ after, credential }) => after && credential === span.credential && isWithin(span, after))
    .filter(({ after }) => after !== undefined && after.order < span.upTo.order)
    .map(({ fromMs }) => fromMs);
  return times.length === 0 ? undefined : Math.min(...times);
}

function endedAt(span: HistorySpan, leftMs: number): HistorySpan {
  const { fromMs, restorableFromMs = Infinity } = span;
  const toMs = Math.max(fromMs, Math.min(span.toMs, leftMs));
  return { ...span, toMs, restorableFromMs: restorableFromMs > toMs ? undefined : restorableFromMs };
}

/** When a mark last found a history at a place of a stretch. One that names a base says nothing about later than that. */
function lastSeen(
  { marks }: Pick<Catalogue, 'marks'>,
  history: string,
  spans: readonly HistorySpan[],
): ReadonlyMap<HistorySpan, number> {
  const owned = Map.groupBy(spans, ({ lineage, credential }) => `${lineage} ${credential}`);
  const seen = new Map<HistorySpan, number>();
  for (const { mark, credential } of marks) {
    const position = own(mark.positions, history);
    if (position === undefined || own(mark.bases, history) !== undefined) continue;
    for (const span of owned.get(`${position.lineage} ${credential}`) ?? []) {
      if (isWithin(span, position)) seen.set(span, Math.max(mark.atMs, seen.get(span) ?? 0));
    }
  }
  return seen;
}

/**
 * What is missing of a history, ascending by time: what its writers noted, each until the base that begins anew, and where a log ends before such a
 * base without a note. Between bases alone nothing was to be recorded, so nothing is missing.
 */
export function historyGaps(
  { gaps }: Pick<Known, 'gaps'>,
  history: string,
  spans: readonly HistorySpan[],
): readonly HistoryGap[] {
  const noted = gaps
    .filter((gap) => gap.history === history)
    .map(({ after, credential, fromMs, toMs, reason }): HistoryGap => {
      const ended = after && spans.find((span) => span.credential === credential && isWithin(span, after));
      // Later than its last commit a mark may have found it still there.
      const knownMs = ended === undefined ? fromMs : Math.max(fromMs, Math.min(ended.toMs, toMs));
      const nextMs = nextBaseMs(spans, ended, knownMs);
      return { fromMs: knownMs, toMs: nextMs && Math.max(nextMs, toMs), reason };
    });
  const all = joined(noted);
  for (const span of spans) {
    const { toMs: fromMs } = span;
    const isLog = span.toMs > span.fromMs;
    const goesOn = spans.some((other) => other !== span && other.fromMs <= fromMs && fromMs < other.toMs);
    const toMs = nextBaseMs(spans, span, fromMs);
    if (!isLog || goesOn || toMs === undefined || toMs <= fromMs) continue;
    const isNoted = all.some((gap) => gap.fromMs <= toMs && (gap.toMs ?? Infinity) >= fromMs);
    if (!isNoted) all.push({ fromMs, toMs, reason: UNTOLD });
  }
  return all.toSorted((left, right) => left.fromMs - right.fromMs);
}

/** When the next base was written that does not lie on the stretch that ended. */
function nextBaseMs(spans: readonly HistorySpan[], ended: HistorySpan | undefined, fromMs: number): number | undefined {
  const times = spans
    .filter((span) => span !== ended)
    .flatMap(({ bases }) => bases.map(baseAtMs))
    .filter((atMs) => atMs >= fromMs);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** What was noted several times before a base ended it is one gap. */
function joined(gaps: readonly HistoryGap[]): HistoryGap[] {
  const all: HistoryGap[] = [];
  for (const gap of gaps.toSorted((left, right) => left.fromMs - right.fromMs)) {
    const before = all.at(-1);
    if (before === undefined || gap.fromMs > (before.toMs ?? Infinity)) {
      all.push(gap);
      continue;
    }
    const toMs = before.toMs === undefined || gap.toMs === undefined ? undefined : Math.max(before.toMs, gap.toMs);
    const reason = before.reason.includes(gap.reason) ? before.reason : `${before.reason}; ${gap.reason}`;
    all[all.length - 1] = { fromMs: before.fromMs, toMs, reason };
  }
  return all;
}

/** Every moment of each can be restored, ascending; a base that no log follows is one moment. */
export function restorableTimes(
  spans: readonly HistorySpan[],
): readonly { readonly fromMs: number; readonly toMs: number }[] {
  return spans
    .flatMap(({ restorableFromMs, toMs }) =>
      restorableFromMs === undefined ? [] : [{ fromMs: restorableFromMs, toMs }],
    )
    .toSorted((left, right) => left.fromMs - right.fromMs);
}
