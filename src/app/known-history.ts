import { own } from '../core/own.ts';
import { newestOf } from '../repository/base-order.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { KnownHistory } from './store-recording.ts';

type Known = Pick<Catalogue, 'bases' | 'histories' | 'marks'>;

/** Where a writer's own history of a store ends. Bases that their writer may take back still are passed over: no mark of another session may stand on them. */
export function knownHistory(catalogue: Known, history: string, credential: string): KnownHistory | undefined {
  const view = catalogue.histories.get(history);
  const position = view?.endOf(credential);
  if (position === undefined) return undefined;
  const run = view?.runs.findLast(({ upTo }) => upTo.lineage === position.lineage && upTo.order === position.order);
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
    atMs: run?.toMs ?? base?.summary.createdAtMs ?? lastBaseMs ?? 0,
    lastBaseMs,
    base: standing && { key: standing.key, cut: standing.summary.cut, fromMs: standing.summary.startedAtMs },
    unreached,
    hasOnlyBases: run === undefined && unreached === undefined && !isMarkedBeyond(catalogue, history, credential),
    segments: run?.segments,
  };
}

/** Whether a mark found the history where it stands, without a base of its own. */
function isMarkedBeyond({ marks }: Known, history: string, credential: string): boolean {
  return marks.some(
    ({ mark, credential: by }) =>
      by === credential && own(mark.positions, history) !== undefined && own(mark.bases, history) === undefined,
  );
}
