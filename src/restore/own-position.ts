import type { Position } from '../core/position.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { baseAtMs } from '../repository/base-order.ts';
import { historySpans } from '../repository/history-spans.ts';
import type { HistorySpan } from '../repository/history-spans.ts';
import { readLog } from '../repository/log-reader.ts';
import type { SegmentRecord } from '../repository/log-view.ts';
import type { NearestPlace } from './nearest.ts';

/** What `--to` means by a position of the store's own, and when that was committed. */
type Found = Omit<NearestPlace, 'isCovered'>;

/** `near`: where it stood before and after an order at which it never stood. */
type Lookup = { readonly found?: Found | undefined; readonly near: readonly Position[] };

/** The place of an order that lies before a commit and after the one before it. */
export type PositionBetween = (order: string, next: Position) => Position;

type Wanted = {
  readonly history: string;
  readonly order: string;
  readonly isMeant?: ((position: Position) => boolean) | undefined;
  readonly between?: PositionBetween | undefined;
};

/** Looks for an order in one history, in the newest stretch that leads there. `between`: of a log of bytes, which can stop at each of them. */
export async function findPosition(
  { access, catalogue }: { readonly access: RepositoryAccess; readonly catalogue: Catalogue },
  { history, order, isMeant = () => true, between }: Wanted,
  run: Run,
): Promise<Lookup> {
  const view = catalogue.histories.get(history);
  let near: readonly Position[] = [];
  for (const span of historySpans(catalogue, history).toReversed()) {
    const bases = span.bases.filter((base) => view?.reachOf(base) !== undefined);
    const [first] = bases;
    if (first === undefined || order < first.summary.cut.order) continue;
    const base = bases.find(({ summary }) => summary.cut.order === order);
    const committed = await commitsAround(access, { span, order, between }, run);
    const at = committed.at ?? (base && { position: base.summary.cut, atMs: baseAtMs(base) });
    if (at !== undefined && isMeant(at.position)) return { found: { ...at, credential: span.credential }, near: [] };
    if (near.length === 0) near = at === undefined ? committed.near : [at.position];
  }
  return { near };
}

type Around = { readonly at?: Omit<Found, 'credential'> | undefined; readonly near: readonly Position[] };

async function commitsAround(
  access: RepositoryAccess,
  { span, ...wanted }: Omit<Wanted, 'history'> & { readonly span: HistorySpan },
  run: Run,
): Promise<Around> {
  const segment = span.segments.find(({ after, upTo }) => after.order < wanted.order && wanted.order <= upTo.order);
  return segment === undefined ? { near: [] } : await searchSegment(access, { segment, ...wanted }, run);
}

async function searchSegment(
  access: RepositoryAccess,
  { segment, order, between }: Omit<Wanted, 'history'> & { readonly segment: SegmentRecord },
  run: Run,
): Promise<Around> {
  let before = segment.after;
  const range = { segments: [segment], after: segment.after, upTo: segment.upTo };
  for await (const batch of readLog(access, range, run)) {
    for (const { commit } of batch) {
      if (commit.position.order === order) return { at: commit, near: [] };
      if (commit.position.order > order) {
        const { position, atMs } = commit;
        return between ? { at: { position: between(order, position), atMs }, near: [] } : { near: [before, position] };
      }
      before = commit.position;
    }
  }
  return { near: [before] };
}
