import { fromHex } from '../core/bytes.ts';
import type { Position } from '../core/position.ts';
import { packKey } from './format/names.ts';
import type { BaseRecord } from './catalogue.ts';
import type { Gap, Segment } from './records/journal-body.ts';
import type { TrustedRecord } from './records/record-log.ts';

/** A segment that counts: its record is signed by a writer of its store, and not void. */
export type SegmentRecord = Segment & {
  /** Of the journal record. */
  readonly key: string;
  readonly credential: string;
  readonly session: string;
  readonly modifiedMs: number;
  /** Where its frames are in the record, unless they lie apart. */
  readonly offset: number;
  readonly trusted: TrustedRecord;
};

export type GapRecord = Gap & { readonly key: string; readonly session: string };

/** How a position is reached: a base, and what happened from its `logFrom` on, in order. Pieces may begin earlier and end later than needed. */
export type PointPlan = {
  readonly base: BaseRecord;
  readonly position: Position;
  readonly segments: readonly SegmentRecord[];
};

/** Segments of one lineage that follow on each other without a break, by ascending `after`. */
export type LogRun = {
  readonly lineage: string;
  readonly after: Position;
  readonly upTo: Position;
  readonly fromMs: number;
  readonly toMs: number;
  readonly segments: readonly SegmentRecord[];
};

/**
 * What the repository holds of one history: bases and the runs of its log. What two writers say is never joined: two recorders of one history would
 * be a fork.
 */
export class HistoryView {
  /** By lineage and credential, ascending by cut. */
  readonly #bases = new Map<string, BaseRecord[]>();
  readonly #runs = new Map<string, LogRun[]>();
  readonly #reached = new Map<BaseRecord, Position>();

  constructor(bases: readonly BaseRecord[], segments: readonly SegmentRecord[]) {
    const ownBases = Map.groupBy(bases, ({ summary, credential }) => ownerOf(summary.cut, credential));
    for (const [owner, own] of ownBases) {
      const byCut = own.toSorted((left, right) => compareOrders(left.summary.cut, right.summary.cut));
      this.#bases.set(owner, byCut);
    }
    const ownSegments = Map.groupBy(segments, ({ after, credential }) => ownerOf(after, credential));
    for (const [owner, own] of ownSegments) this.#runs.set(owner, runsOf(own));
  }

  get runs(): readonly LogRun[] {
    return [...this.#runs.values()].flat();
  }

  /** Up to where a writer has recorded the history: from its newest base on. */
  endOf(credential: string): Position | undefined {
    const own = [...this.#bases.values()].flat().filter((base) => base.credential === credential && base.isConfirmed);
    const newest = own.toSorted((left, right) => left.modifiedMs - right.modifiedMs).at(-1);
    return newest && (this.reachOf(newest) ?? newest.summary.cut);
  }

  /** Of each run the fewest segments that cover it. */
  coveredRuns(): readonly (readonly SegmentRecord[])[] {
    return this.runs.map(({ segments, after, upTo }) => coverOf(segments, after, upTo));
  }

  /** How to get to a position: from the newest base from which it is reached. Undefined when it can't be. */
  planTo(position: Position): PointPlan | undefined {
    const base = this.baseFor(position);
    return base && { base, position, segments: this.segmentsFrom(base, position) };
  }

  /** The newest base from which a position is reached. */
  baseFor(position: Position): BaseRecord | undefined {
    let newest: BaseRecord | undefined;
    for (const [owner, bases] of this.#bases) {
      if (!owner.startsWith(`${position.lineage} `)) continue;
      const base = this.#newestReaching(bases, position);
      if (base !== undefined && base.summary.cut.order > (newest?.summary.cut.order ?? '')) newest = base;
    }
    return newest;
  }

  #newestReaching(bases: readonly BaseRecord[], position: Position): BaseRecord | undefined {
    // The newest one nearly always does.
    for (let at = lastAtOrBefore(bases, position); at >= 0; at--) {
      const base = bases[at];
      if (base !== undefined && this.#isReached(base, position)) return base;
    }
    return undefined;
  }

  /** Up to where the log goes on from a base: its cut where there is none. Undefined when not even that is reached. */
  reachOf(base: BaseRecord): Position | undefined {
    const known = this.#reached.get(base);
    if (known !== undefined) return known;
    const { logFrom, cut } = base.summary;
    const run = this.runFrom(base);
    const isCovered = run !== undefined && run.upTo.order >= cut.order;
    const reach = isCovered ? run.upTo : logFrom.order === cut.order ? cut : undefined;
    if (reach !== undefined) this.#reached.set(base, reach);
    return reach;
  }

  /** The run of the log on which a base lies. */
  runFrom({ summary: { logFrom }, credential }: BaseRecord): LogRun | undefined {
    const runs = this.#runs.get(ownerOf(logFrom, credential)) ?? [];
    return runs.find(({ after, upTo }) => after.order <= logFrom.order && logFrom.order <= upTo.order);
  }

  /** The fewest segments that lead from a base to a position that it reaches. */
  segmentsFrom(base: BaseRecord, position: Position): readonly SegmentRecord[] {
    const { logFrom, cut } = base.summary;
    const run = this.runFrom(base);
    // A base that is exact needs no log for its own cut.
    if (run === undefined || (logFrom.order === cut.order && cut.order === position.order)) return [];
    return coverOf(run.segments, logFrom, position);
  }

  #isReached(base: BaseRecord, position: Position): boolean {
    const reach = this.reachOf(base);
    return reach !== undefined && reach.order >= position.order;
  }
}

function ownerOf({ lineage }: Position, credential: string): string {
  return `${lineage} ${credential}`;
}

/** Keys of the packs with contents of a segment's entries. */
export function segmentPackKeys({ credential, packs }: SegmentRecord): readonly string[] {
  return packs.map((pack) => packKey(credential, fromHex(pack)));
}

function compareOrders(left: Position, right: Position): number {
  if (left.order === right.order) return 0;
  return left.order < right.order ? -1 : 1;
}

/** The last base whose cut is not after the position, or -1. */
function lastAtOrBefore(bases: readonly BaseRecord[], position: Position): number {
  let [low, high] = [0, bases.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((bases[middle]?.summary.cut.order ?? '') <= position.order) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Ascending by `after`; of those that begin at one place the longest first. */
function runsOf(segments: readonly SegmentRecord[]): LogRun[] {
  const ordered = segments.toSorted(
    (left, right) => compareOrders(left.after, right.after) || -compareOrders(left.upTo, right.upTo),
  );
  const runs: LogRun[] = [];
  let open: SegmentRecord[] = [];
  let end: SegmentRecord | undefined;
  const close = (): void => {
    const [first] = open;
    if (first === undefined || end === undefined) return;
    runs.push({
      lineage: first.after.lineage,
      after: first.after,
      upTo: end.upTo,
      fromMs: first.fromMs,
      toMs: end.toMs,
      segments: open,
    });
  };
  for (const segment of ordered) {
    if (end !== undefined && !followsOn(end, segment)) {
      close();
      [open, end] = [[], undefined];
    }
    open.push(segment);
    if (end === undefined || segment.upTo.order > end.upTo.order) end = segment;
  }
  close();
  return runs;
}

/** Two recorders of one history may have given one order to different things: what they say is not joined. */
function followsOn({ upTo }: SegmentRecord, { after }: SegmentRecord): boolean {
  if (after.order !== upTo.order) return after.order < upTo.order;
  return after.resume === upTo.resume;
}

/** Of segments that follow on each other: always the one that leads furthest. */
function coverOf(segments: readonly SegmentRecord[], from: Position, to: Position): readonly SegmentRecord[] {
  const cover: SegmentRecord[] = [];
  let reached = from.order;
  let best: SegmentRecord | undefined;
  for (const segment of segments) {
    if (reached >= to.order) break;
    if (segment.after.order > reached && best !== undefined) {
      cover.push(best);
      reached = best.upTo.order;
      best = undefined;
      if (reached >= to.order) break;
    }
    if (segment.upTo.order > reached && segment.upTo.order > (best?.upTo.order ?? '')) best = segment;
  }
  if (reached < to.order && best !== undefined) cover.push(best);
  return cover;
}
