import { loadConnector } from '../connectors/load.ts';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import type { MarkRecord } from '../repository/catalogue.ts';
import { diffBases } from '../repository/compare-bases.ts';
import { diffEntries } from '../repository/compare-entries.ts';
import type { EntryDifference } from '../repository/compare-bases.ts';
import { openPoint } from '../restore/point.ts';
import type { Point } from '../restore/point.ts';
import type { OpenApplication } from './application.ts';
import { findMark, manifestStores, pointOf, shownPoint } from './look.ts';
import type { RepositoryReader } from './look.ts';
import { hasStore } from './mark-stores.ts';
import type { DifferenceResult, DiffResult } from './results.ts';
import { markResult, shownName } from './shown.ts';

export type DiffRequest = {
  readonly from: string;
  readonly to: string;
  /** Names; none means all that both marks have. */
  readonly stores: readonly string[];
};

type Pair = { readonly store: string; readonly before: Point; readonly after: Point };

/**
 * What changed between two marks, store by store. Found when it resolves, compared while it is pulled. A store that only one of the marks
 * has, or of the manifest none, is told of and left out. @throws as `findMark`, and TARGET_UNKNOWN for a store that is named and missing
 */
export async function diffMarks(
  application: OpenApplication,
  reader: RepositoryReader,
  request: DiffRequest,
  run: Run,
): Promise<DiffResult> {
  const from = findMark(application, reader, request.from, request.stores);
  const to = findMark(application, reader, request.to, request.stores);
  const names = request.stores.length > 0 ? request.stores : commonStores(application, from, to);
  const pairs = names.map((store) => ({
    store,
    before: pointOf(reader, from, store),
    after: pointOf(reader, to, store),
  }));
  return {
    from: markResult(from.mark, from.pinned),
    to: markResult(to.mark, to.pinned),
    differences: (async function* () {
      for (const pair of pairs) yield* differencesOf(application, reader, pair, run);
    })(),
  };
}

function commonStores(application: OpenApplication, from: MarkRecord, to: MarkRecord): readonly string[] {
  const [left, right] = [from, to].map(({ mark }) => Object.keys(mark.positions));
  const common = must(left, 'the stores of a mark').filter((store) => right?.includes(store));
  for (const [here, there] of [
    [from, to],
    [to, from],
  ] as const) {
    for (const store of Object.keys(here.mark.positions)) {
      if (common.includes(store)) continue;
      application.context.warn(`only mark ${here.mark.id} has the store ${store}, not ${there.mark.id}`);
    }
  }
  const neither = manifestStores(application).filter((store) => ![from, to].some(({ mark }) => hasStore(mark, store)));
  for (const store of neither) application.context.warn(`neither mark has the store ${store} of the manifest`);
  if (common.length > 0) return common;
  throw new TidemarkError('TARGET_UNKNOWN', 'the two marks have no store in common');
}

async function* differencesOf(
  application: OpenApplication,
  reader: RepositoryReader,
  { store, before, after }: Pair,
  run: Run,
): AsyncGenerator<readonly DifferenceResult[]> {
  if (isSamePoint(before, after)) return;
  const kind = reader.content(after.base).connector;
  if (reader.content(before.base).connector !== kind) {
    throw new TidemarkError('UNSUPPORTED', `the store ${store} was of another kind at the first mark`);
  }
  const connector = await loadConnector(kind);
  const [left, right] = [shownPoint(application, connector, before), shownPoint(application, connector, after)];
  for await (const batch of comparePoints(reader, [left, right], run)) {
    const shown = batch.flatMap((item): DifferenceResult[] => {
      const change = changeOf(item, connector);
      if (change === 'none') return [];
      const size = (side: EntryDifference['before']): number | undefined => {
        const described = side && connector.describe(side);
        return described?.type === 'file' ? described.sizeBytes : undefined;
      };
      const { name, type } = connector.describe(must(item.after ?? item.before, 'an entry on one side'));
      const typeBefore = item.before && connector.describe(item.before).type;
      return [
        {
          store,
          ...shownName(name),
          type,
          ...(typeBefore === undefined || typeBefore === type ? {} : { typeBefore }),
          change,
          sizeBefore: size(item.before),
          sizeAfter: size(item.after),
        },
      ];
    });
    if (shown.length > 0) yield shown;
  }
}

function isSamePoint(before: Point, after: Point): boolean {
  return before.base.key === after.base.key && before.position.order === after.position.order;
}

/** Bases by what they do not share; where a log is in it, entry by entry. */
async function* comparePoints(
  reader: RepositoryReader,
  [before, after]: readonly [Point, Point],
  run: Run,
): AsyncGenerator<readonly EntryDifference[]> {
  const credentials = [before.base.credential, after.base.credential] as const;
  if (before.segments.length + after.segments.length === 0) {
    const left = { reader: await reader.base(before.base, run), credential: credentials[0] };
    yield* diffBases(left, { reader: await reader.base(after.base, run), credential: credentials[1] }, run);
    return;
  }
  using left = await openPoint(reader, before, run);
  using right = await openPoint(reader, after, run);
  yield* diffEntries({ reader: left, credential: credentials[0] }, { reader: right, credential: credentials[1] }, run);
}

function changeOf(
  { before, after, sameContent }: EntryDifference,
  connector: Awaited<ReturnType<typeof loadConnector>>,
): DifferenceResult['change'] | 'none' {
  if (before === undefined) return 'added';
  if (after === undefined) return 'removed';
  const change = connector.compare(before, after, sameContent);
  return change === 'content' ? 'changed' : change;
}
