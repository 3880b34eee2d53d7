import type { Position } from '../core/position.ts';
import type { Run } from '../core/run.ts';
import { baseAtMs } from '../repository/base-order.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { historySpans } from '../repository/history-spans.ts';
import type { HistorySpan } from '../repository/history-spans.ts';
import { readLog } from '../repository/log-reader.ts';
import type { SegmentRecord } from '../repository/log-view.ts';

/** The newest place of a history at or before a time. */
export type NearestPlace = {
  readonly position: Position;
  /** Whose log leads there. */
  readonly credential: string;
  /** When it was committed, by the store's clock; of a base's own place when the base was written. */
  readonly atMs: number;
  /** Between it and the time nothing is recorded, and the time lies in no gap. */
  readonly isCovered: boolean;
};

type Place = Pick<NearestPlace, 'position' | 'atMs'>;

/** Looks for a time in one history: by the times of its segments, and within one by its commits. Undefined when nothing so old can be restored. */
export async function findNearest(
  { access, catalogue }: { readonly access: RepositoryAccess; readonly catalogue: Catalogue },
  { history, timeMs }: { readonly history: string; readonly timeMs: number },
  run: Run,
): Promise<NearestPlace | undefined> {
  const view = catalogue.histories.get(history);
  let nearest: NearestPlace | undefined;
  for (const span of historySpans(catalogue, history)) {
    const [first] = span.bases.filter((base) => view?.reachOf(base) !== undefined);
    if (first === undefined) continue;
    const { cut } = first.summary;
    const base = span.bases.findLast((one) => one.summary.cut.order >= cut.order && baseAtMs(one) <= timeMs);
    const placed = base && { position: base.summary.cut, atMs: baseAtMs(base) };
    const found = newer(placed, await newestCommit(access, { span, after: cut, timeMs }, run));
    if (found === undefined || found.atMs <= (nearest?.atMs ?? -Infinity)) continue;
    const { credential } = span;
    if (view?.baseFor({ position: found.position, credential }) === undefined) continue;
    nearest = { ...found, credential, isCovered: timeMs <= span.toMs };
  }
  return nearest;
}

/** Of one stretch. Of a commit and a base at one place the commit tells the time. */
function newer(left: Place | undefined, right: Place | undefined): Place | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return right.position.order >= left.position.order ? right : left;
}

type Wanted = { readonly span: HistorySpan; readonly after: Position; readonly timeMs: number };

async function newestCommit(
  access: RepositoryAccess,
  { span, after, timeMs }: Wanted,
  run: Run,
): Promise<Place | undefined> {
  for (const segment of span.segments.toReversed()) {
    if (segment.upTo.order <= after.order) return undefined;
    if (segment.fromMs > timeMs) continue;
    if (segment.toMs <= timeMs) return { position: segment.upTo, atMs: segment.toMs };
    const found = await lastBefore(access, segment, timeMs, run);
    if (found !== undefined) return found.position.order > after.order ? found : undefined;
  }
  return undefined;
}

/** The last commit of a segment at or before a time. */
async function lastBefore(
  access: RepositoryAccess,
  segment: SegmentRecord,
  timeMs: number,
  run: Run,
): Promise<Place | undefined> {
  let last: Place | undefined;
  const range = { segments: [segment], after: segment.after, upTo: segment.upTo };
  for await (const batch of readLog(access, range, run)) {
    const found = batch.findLast(({ commit }) => commit.atMs <= timeMs);
    if (found !== undefined) last = found.commit;
  }
  return last;
}
