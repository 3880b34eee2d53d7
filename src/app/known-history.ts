import type { Stretch } from '../archive/place-times.ts';
import { own } from '../core/own.ts';
import type { Position } from '../core/position.ts';
import { newestOf } from '../repository/base-order.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { LogRun } from '../repository/log-view.ts';

type Known = Pick<Catalogue, 'bases' | 'histories' | 'marks'>;

/** A base that a mark names. `fromMs`: when it was begun. */
export type StandingBase = { readonly key: string; readonly cut: Position; readonly fromMs: number };

/** Where the repository stands with a store. */
export type KnownHistory = {
  readonly position: Position;
  /** Where its log ended when a base was stored that begins at `position`, behind it: what lies in between the spool or the store may still have. */
  readonly earlier?: { readonly position: Position; readonly atMs: number } | undefined;
  readonly atMs: number;
  readonly lastBaseMs?: number | undefined;
  /** The newest. */
  readonly base?: StandingBase | undefined;
  /** Where no base leads to `position`: the last place to which one does, and the one from which on it is so again. */
  readonly unreached?: { readonly after: Position | undefined; readonly from: Position } | undefined;
  /** It was backed up and never followed: so nothing is missing where it can’t be followed from there. */
  readonly hasOnlyBases?: boolean | undefined;
  /** What of its log is in the repository. */
  readonly segments?: readonly Stretch[] | undefined;
};

/** Where a writer’s own history of a store ends. Bases that their writer may take back still are passed over: no mark of another session may stand on them. */
export function knownHistory(catalogue: Known, history: string, credential: string): KnownHistory | undefined {
  const view = catalogue.histories.get(history);
  const position = view?.endOf(credential);
  if (position === undefined) return undefined;
  const earlier = view?.endBefore(credential);
  const runTo = (place: Position): LogRun | undefined =>
    view?.runs.findLast(({ upTo }) => upTo.lineage === place.lineage && upTo.order === place.order);
  const run = runTo(position);
  const before = earlier && runTo(earlier);
  const base = [...catalogue.bases.values()].findLast(
    ({ summary: { store, cut } }) =>
      store === history && cut.lineage === position.lineage && cut.order === position.order,
  );
  const newest = newestOf(
    [...catalogue.bases.values()].filter(({ summary, isConfirmed }) => summary.history === history && isConfirmed),
  );
  const lastBaseMs = newest?.summary.createdAtMs;
  const unreached = view?.unreachedEnd(credential);
  const standing = newest?.credential === credential ? newest : undefined;
  return {
    position,
    earlier: before && { position: before.upTo, atMs: before.toMs },
    atMs: run?.toMs ?? base?.summary.createdAtMs ?? lastBaseMs ?? 0,
    lastBaseMs,
    base: standing && { key: standing.key, cut: standing.summary.cut, fromMs: standing.summary.startedAtMs },
    unreached,
    hasOnlyBases: run === undefined && unreached === undefined && !isMarkedBeyond(catalogue, history, credential),
    segments: (run ?? before)?.segments,
  };
}

/** Whether a mark found the history where it stands, without a base of its own. */
function isMarkedBeyond({ marks }: Known, history: string, credential: string): boolean {
  return marks.some(
    ({ mark, credential: by }) =>
      by === credential && own(mark.positions, history) !== undefined && own(mark.bases, history) === undefined,
  );
}
