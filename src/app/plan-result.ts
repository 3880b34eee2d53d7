import { newestBase } from '../repository/catalogue.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { baseAtMs } from '../repository/base-order.ts';
import { historySpans } from '../repository/history-spans.ts';
import { markState } from '../repository/mark.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import { maintainerRuns } from '../repository/runs.ts';
import type { PlannedStore, RestorePlan } from './restore-plan.ts';
import { hasStore } from './mark-stores.ts';
import { estimateMs } from './restore-rate.ts';
import type { NearestResult, PlanResult, PlanStoreResult } from './results.ts';
import { isoTime, markResult } from './shown.ts';

type Planned = Omit<RestorePlan, 'id' | 'result'> & { readonly blockers: readonly string[] };

/** What a plan comes to, as it is shown. */
export function planResult({ access, catalogue }: RepositoryReader, plan: Planned): PlanResult {
  const { mark, askedMs, stores, request } = plan;
  const shown = stores.map((store, index) => storeResult(catalogue, store, { order: index + 1, askedMs }));
  // How much a part of a base takes is not known before it is read.
  const isWhole = request.only.length === 0;
  const noRoom = shown
    .filter(({ needBytes, freeBytes }) => isWhole && freeBytes !== undefined && needBytes > freeBytes)
    .map(({ store, into }) => `${store}: there is not enough room at ${into}`);
  const bytes = shown.reduce((sum, { downloadBytes }) => sum + downloadBytes, 0);
  // Restores are runs of maintainers: not one of a writer's many is looked at.
  const estimate = isWhole ? estimateMs(maintainerRuns(access, catalogue), bytes) : undefined;
  return {
    ...(mark === undefined ? {} : { mark: markResult(mark.mark, mark.pinned) }),
    ...(askedMs === undefined ? {} : { at: isoTime(askedMs) }),
    ...(mark === undefined || askedMs === undefined ? {} : { distanceMs: askedMs - mark.mark.atMs }),
    ...(estimate === undefined ? {} : { estimateMs: estimate }),
    stores: shown,
    sideEffects: stores.flatMap(({ store, preview }) => preview.sideEffects.map((text) => `${store}: ${text}`)),
    blockers: [
      ...plan.blockers,
      ...stores.flatMap(({ store, preview }) => preview.blockers.map((text) => `${store}: ${text}`)),
      ...noRoom,
    ],
  };
}

function storeResult(
  catalogue: Catalogue,
  { store, point, atMs, nearest, preview }: PlannedStore,
  { order, askedMs }: { readonly order: number; readonly askedMs: number | undefined },
): PlanStoreResult {
  const { base, segments, position } = point;
  const logBytes = segments.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  const bytes = base.summary.bytes + logBytes;
  const newest = catalogue.marks.findLast(({ mark }) => markState(mark) === 'complete' && hasStore(mark, store));
  return {
    store,
    order,
    base: base.key,
    baseAt: isoTime(baseAtMs(base)),
    segments: segments.length,
    logBytes,
    ...(nearest === undefined ? {} : { nearest: nearestResult(nearest, askedMs ?? atMs) }),
    position,
    exact: base.summary.exact,
    into: preview.into ?? '',
    inOneStep: preview.inOneStep,
    replaces: preview.replaces,
    downloadBytes: bytes,
    needBytes: bytes,
    ...(preview.freeBytes === undefined ? {} : { freeBytes: preview.freeBytes }),
    lostAfterMs: Math.max(0, (newest?.mark.atMs ?? atMs) - atMs),
    newerMs: Math.max(0, newestMs(catalogue, store) - atMs),
  };
}

/** Of the newest commit, or of the newest base where no log goes on from it. */
function newestMs(catalogue: Catalogue, store: string): number {
  const commits = historySpans(catalogue, store).flatMap(({ segments }) => segments.map(({ toMs }) => toMs));
  const base = newestBase(catalogue, store);
  return commits.reduce((most, atMs) => Math.max(most, atMs), base === undefined ? 0 : baseAtMs(base));
}

/** How near a place is to the time that was asked for. */
export function nearestResult(
  { atMs, isCovered }: { readonly atMs: number; readonly isCovered: boolean },
  askedMs: number,
): NearestResult {
  return { at: isoTime(atMs), distanceMs: askedMs - atMs, covered: isCovered };
}
