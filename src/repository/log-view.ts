import { fromHex } from '../core/bytes.ts';
import { firstIndex } from '../core/first-index.ts';
import { isSamePlace, isWithin } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import { newestOf } from './base-order.ts';
import type { BaseRecord } from './catalogue.ts';
import { packKey } from './format/names.ts';
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
  /** Its session went on with something else than a void. Until then its writer may take it back, however long it has been there. */
  readonly isConfirmed: boolean;
  readonly trusted: TrustedRecord;
};

export type GapRecord = Gap & { readonly key: string; readonly credential: string; readonly session: string };

/** How a position is reached: a base, and what happened from its `logFrom` on, in order. Pieces may begin earlier and end later than needed. */
export type PointPlan = {
  readonly base: BaseRecord;
  readonly position: Position;
  readonly segments: readonly SegmentRecord[];
};

/** A position of a mark that `credential` signed. `floor`: what was removed after it has to be there. */
export type Goal = {
  readonly position: Position;
  readonly credential: string;
  readonly floor?: Position | undefined;
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

  /** Up to where a writer has recorded the history, from its newest base on: what it records next goes on there, so that it reaches the base's cut. */
  endOf(credential: string): Position | undefined {
    const newest = newestOf(this.#basesOf(credential));
    return newest && (this.runFrom(newest)?.upTo ?? newest.summary.logFrom);
  }

  /** Where the log of a writer ended when its newest base was taken, if that begins behind it and none of its log follows on it. */
  endBefore(credential: string): Position | undefined {
    const newest = newestOf(this.#basesOf(credential));
    if (newest === undefined || this.runFrom(newest) !== undefined) return undefined;
    const { logFrom } = newest.summary;
    const followed = (this.#bases.get(ownerOf(logFrom, credential)) ?? []).filter((base) => this.runFrom(base));
    const ends = followed.flatMap((base) => this.reachOf(base) ?? []).filter(({ order }) => order < logFrom.order);
    return ends.toSorted(compareOrders).at(-1);
  }

  /**
   * Where no base leads to the end of what a writer has recorded, because the newest one needs log that is not there yet: the last place to which another
   * one leads, and the one from which on it will be so again. Undefined where one leads there.
   */
  unreachedEnd(credential: string): { readonly after: Position | undefined; readonly from: Position } | undefined {
    const own = this.#basesOf(credential);
    const position = this.endOf(credential);
    const newest = newestOf(own);
    if (newest === undefined || position === undefined || this.baseFor({ position, credential }) !== undefined) {
      return undefined;
    }
    const after = newestOf(own.filter((base) => this.reachOf(base) !== undefined));
    return { after: after && this.reachOf(after), from: newest.summary.cut };
  }

  /** Where a writer goes on: segments that it may take back still, and in whose place no others lead there. */
  unsureSegments(credential: string): readonly SegmentRecord[] {
    const newest = newestOf(this.#basesOf(credential));
    const before = this.endBefore(credential);
    const run = (newest && this.runFrom(newest)) ?? (before && this.#runTo(before, credential));
    const segments = run?.segments ?? [];
    const sure = runsOf(segments.filter(({ isConfirmed }) => isConfirmed));
    const isCovered = ({ after, upTo }: SegmentRecord): boolean =>
      sure.some((run) => run.after.order <= after.order && upTo.order <= run.upTo.order);
    return segments.filter((segment) => !segment.isConfirmed && !isCovered(segment));
  }

  #runTo(position: Position, credential: string): LogRun | undefined {
    const runs = this.#runs.get(ownerOf(position, credential)) ?? [];
    return runs.find(({ upTo }) => isSamePlace(upTo, position));
  }

  #basesOf(credential: string): readonly BaseRecord[] {
    return [...this.#bases.values()].flat().filter((base) => base.credential === credential && base.isConfirmed);
  }

  /** Of each run the fewest segments that cover it. */
  coveredRuns(): readonly (readonly SegmentRecord[])[] {
    return this.runs.map(({ segments, after, upTo }) => coverOf(segments, after, upTo));
  }

  /** How to get there: from the base that `baseFor` gives. Undefined when it can't be. */
  planTo(goal: Goal): PointPlan | undefined {
    const base = this.baseFor(goal);
    return base && this.planFrom(base, goal.position);
  }

  /** How to get there from this base. Undefined when it does not lead there. */
  planFrom(base: BaseRecord, position: Position): PointPlan | undefined {
    return this.reaches(base, position) ? { base, position, segments: this.segmentsFrom(base, position) } : undefined;
  }

  /**
   * The newest base from which a position is reached, by what the same credential wrote: one that is sure to be whole before one that is not, and one
   * that is not after the floor before others, because what was removed since is not in those.
   */
  baseFor({ position, credential, floor }: Goal): BaseRecord | undefined {
    const bases = this.#bases.get(ownerOf(position, credential)) ?? [];
    const last = lastAtOrBefore(bases, position.order);
    const before = floor?.lineage === position.lineage ? Math.min(last, lastAtOrBefore(bases, floor.order)) : last;
    const newest = (from: number, fits: (base: BaseRecord) => boolean): BaseRecord | undefined => {
      for (let at = from; at >= 0; at--) {
        const base = bases[at];
        if (base !== undefined && fits(base) && this.reaches(base, position)) return base;
      }
      return undefined;
    };
    const isSure = ({ isConfirmed }: BaseRecord): boolean => isConfirmed;
    return newest(before, isSure) ?? newest(last, isSure) ?? newest(last, () => true);
  }

  /** Up to where the log goes on from a base: its cut where there is none. Undefined when not even that is reached. */
  reachOf(base: BaseRecord): Position | undefined {
    const known = this.#reached.get(base);
    if (known !== undefined) return known;
    const { cut } = base.summary;
    const run = this.runFrom(base);
    const isCovered = run !== undefined && run.upTo.order >= cut.order;
    const reach = isCovered ? run.upTo : isExact(base) ? cut : undefined;
    if (reach !== undefined) this.#reached.set(base, reach);
    return reach;
  }

  /** Whether a base leads to a position, without finding the segments by which it does. */
  reaches(base: BaseRecord, position: Position): boolean {
    const { cut } = base.summary;
    const reach = this.reachOf(base);
    if (reach === undefined || cut.order > position.order) return false;
    if (cut.order === position.order) return isSamePlace(cut, position);
    return reach.order > position.order || isSamePlace(reach, position);
  }

  /** The run of the log on which a base lies. */
  runFrom({ summary: { logFrom }, credential }: BaseRecord): LogRun | undefined {
    const runs = this.#runs.get(ownerOf(logFrom, credential)) ?? [];
    return runs.find((run) => isWithin(run, logFrom));
  }

  /** The fewest segments that lead from a base to a position that it reaches. */
  segmentsFrom(base: BaseRecord, position: Position): readonly SegmentRecord[] {
    const { logFrom, cut } = base.summary;
    const run = this.runFrom(base);
    // A base that is exact needs no log for its own cut.
    if (run === undefined || (isExact(base) && cut.order === position.order)) return [];
    return coverOf(run.segments, logFrom, position);
  }

  /**
   * Segments that lead from a base to those of the positions that `cover`, segments that lead further, may pass without stopping: a segment ends
   * there, and none that follow on it lead to where the one of the cover ends, so that this was not joined from them.
   */
  deadEnds(
    base: BaseRecord,
    { positions, cover }: { readonly positions: readonly Position[]; readonly cover: readonly SegmentRecord[] },
  ): readonly SegmentRecord[] {
    const segments = this.runFrom(base)?.segments ?? [];
    const wanted = new Set(positions.map(placeKey));
    const used = new Set(cover);
    const ends = segments.filter((segment) => !used.has(segment) && wanted.has(placeKey(segment.upTo)));
    if (ends.length === 0) return [];
    const following = Map.groupBy(segments, ({ after }) => placeKey(after));
    return ends.flatMap(({ upTo }) => {
      const passing = cover.find((segment) => segment.after.order < upTo.order && upTo.order < segment.upTo.order);
      const isDead = passing !== undefined && !leads(following, upTo, passing.upTo);
      return isDead ? this.segmentsFrom(base, upTo) : [];
    });
  }

  /**
   * Segments that lead from a base where the unconfirmed ones among `used` do, for the case that these are taken back. Where they are unconfirmed
   * themselves, what leads there without them as well.
   */
  withoutUnsure(base: BaseRecord, used: Iterable<SegmentRecord>): readonly SegmentRecord[] {
    const isUnsure = ({ isConfirmed }: SegmentRecord): boolean => !isConfirmed;
    const unsure = new Set([...used].filter(isUnsure));
    if (unsure.size === 0) return [];
    const segments = this.runFrom(base)?.segments ?? [];
    const found: SegmentRecord[] = [];
    for (const { after, upTo } of unsure) {
      const others = segments.filter((segment) => !unsure.has(segment));
      const cover = coverOf(others, after, upTo);
      found.push(...cover);
      for (const segment of cover.filter(isUnsure)) unsure.add(segment);
    }
    return found;
  }
}

function placeKey({ order, resume }: Position): string {
  return `${order} ${resume}`;
}

/** `following`: segments by where they begin. */
function leads(following: ReadonlyMap<string, readonly SegmentRecord[]>, from: Position, to: Position): boolean {
  const reached = new Set([placeKey(from)]);
  for (const place of reached) {
    for (const { upTo } of following.get(place) ?? []) if (upTo.order <= to.order) reached.add(placeKey(upTo));
  }
  return reached.has(placeKey(to));
}

/** Whether its own cut is reached without a log. */
function isExact({ summary: { logFrom, cut } }: BaseRecord): boolean {
  return logFrom.order === cut.order;
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

/** The last base whose cut is not after that order, or -1. */
function lastAtOrBefore(bases: readonly BaseRecord[], order: string): number {
  return firstIndex(bases.length, (index) => (bases[index]?.summary.cut.order ?? '') > order) - 1;
}

/** Ascending by `after`; of those that begin at one place the longest first, and of these those that are sure to stay. */
function runsOf(segments: readonly SegmentRecord[]): LogRun[] {
  const ordered = segments.toSorted(
    (left, right) =>
      compareOrders(left.after, right.after) ||
      -compareOrders(left.upTo, right.upTo) ||
      Number(right.isConfirmed) - Number(left.isConfirmed),
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
  return after.order < upTo.order || isSamePlace(after, upTo);
}

/**
 * The one that ends where it is wanted, or else leads further: one that tells of later observations alone may pass a place at which another one stops.
 */
function isBetter(segment: SegmentRecord, best: SegmentRecord | undefined, to: Position): boolean {
  if (best === undefined) return true;
  if (isSamePlace(best.upTo, to)) return false;
  return isSamePlace(segment.upTo, to) || segment.upTo.order > best.upTo.order;
}

/** Of segments that follow on each other: always the one that is better. */
function coverOf(segments: readonly SegmentRecord[], from: Position, to: Position): readonly SegmentRecord[] {
  const cover: SegmentRecord[] = [];
  let reached = from.order;
  let best: SegmentRecord | undefined;
  for (const segment of segments) {
    if (reached >= to.order || segment.after.order >= to.order) break;
    if (segment.after.order > reached && best !== undefined) {
      cover.push(best);
      reached = best.upTo.order;
      best = undefined;
      if (reached >= to.order) break;
    }
    if (segment.upTo.order > reached && isBetter(segment, best, to)) best = segment;
  }
  if (reached < to.order && best !== undefined) cover.push(best);
  return cover;
}
