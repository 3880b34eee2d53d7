import { loadConnector } from '../connectors/load.ts';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { quoted } from '../core/printable.ts';
import type { Run } from '../core/run.ts';
import { newestBase } from '../repository/catalogue.ts';
import type { Catalogue, MarkRecord } from '../repository/catalogue.ts';
import { historySpans, restorableTimes } from '../repository/history-spans.ts';
import { findNearest } from '../restore/nearest.ts';
import type { NearestPlace } from '../restore/nearest.ts';
import { findPosition } from '../restore/own-position.ts';
import type { Point } from '../restore/point.ts';
import type { OpenApplication } from './application.ts';
import { knownStores } from './chosen-stores.ts';
import { findMark, manifestStores, pointAt, pointOf, tellOfStores, timezoneOf } from './look.ts';
import type { RepositoryReader } from './look.ts';
import { isoTime } from './shown.ts';
import { parseTargetTime, TIME_HINT } from './target.ts';

export type TargetRequest = {
  readonly target: string;
  /** Names; none means all that the mark has, or the manifest, or else the repository. */
  readonly stores: readonly string[];
  /** Brings each store as near to a time as its own log allows, instead of all to a mark. */
  readonly perStore: boolean;
};

/** What a store is brought to. */
export type StoreTarget = {
  readonly store: string;
  readonly point: Point;
  /** Of which moment it is: the mark's, or the place's own. */
  readonly atMs: number;
  readonly nearest?: NearestPlace | undefined;
};

export type RestoreTarget = {
  /** Without one each store has a place of its own. */
  readonly mark?: MarkRecord | undefined;
  /** The time that was asked for; absent where a mark or a position was. */
  readonly askedMs?: number | undefined;
  readonly stores: readonly StoreTarget[];
};

/** The operator is told of stores that a mark does not have. @throws as `findMark` and `ownPosition`; with `perStore` USAGE for what is no time, TARGET_OUTSIDE_WINDOW for a store of which nothing is that old */
export async function findTarget(
  application: OpenApplication,
  reader: RepositoryReader,
  request: TargetRequest,
  run: Run,
): Promise<RestoreTarget> {
  const moment = { nowMs: application.context.runtime.clock.nowMs(), timezone: timezoneOf(application) };
  const askedMs = parseTargetTime(request.target, moment);
  if (request.perStore) {
    if (askedMs === undefined) throw noTime(request.target);
    return { askedMs, stores: await nearestPlaces(application, reader, { ...request, askedMs }, run) };
  }
  const own = await ownPosition(application, reader, request, run);
  if (own !== undefined) return { stores: [own] };
  const mark = findMark(application, reader, request.target, request.stores);
  tellOfStores(application, reader, mark, { ...request, upToMs: askedMs });
  const names = request.stores.length > 0 ? [...new Set(request.stores)] : Object.keys(mark.mark.positions);
  const { atMs } = mark.mark;
  return { mark, askedMs, stores: names.map((store) => ({ store, point: pointOf(reader, mark, store), atMs })) };
}

/**
 * A position of one store, where that is what was asked for: it comes after the ids and names of marks and times, and before the beginnings of ids.
 * @throws TARGET_UNKNOWN for a position at which the store never stood, unless it can mean a mark
 */
export async function ownPosition(
  application: OpenApplication,
  reader: RepositoryReader,
  { target, stores }: Pick<TargetRequest, 'target' | 'stores'>,
  run: Run,
): Promise<StoreTarget | undefined> {
  const { catalogue } = reader;
  const [store, ...others] = new Set(stores);
  if (store === undefined || others.length > 0 || isMark(catalogue, target)) return undefined;
  const base = newestBase(catalogue, store);
  const connector = base && (await loadConnector(reader.content(base).connector));
  const typed = connector?.parsePosition?.(target);
  if (typed === undefined) return undefined;
  const { found, near } = await findPosition(
    reader,
    { history: store, ...typed, between: connector?.positionBetween?.bind(connector) },
    run,
  );
  if (found !== undefined) {
    const point = must(pointAt(reader, { ...found, store }), 'a position that was found to be reached');
    return { store, point, atMs: found.atMs };
  }
  try {
    findMark(application, reader, target, stores);
    return undefined;
  } catch (error) {
    if (!isTidemarkError(error, 'TARGET_UNKNOWN')) throw error;
    const places = near.map(({ resume }) => resume).join(' and ');
    throw new TidemarkError(
      'TARGET_UNKNOWN',
      `${store} can’t be brought to position ${target}, and no mark is called so`,
      {
        hint: places === '' ? error.hint : `Near it are ${places}.`,
      },
    );
  }
}

function isMark({ marks }: Catalogue, target: string): boolean {
  return target === 'latest' || marks.some(({ mark }) => mark.id === target || mark.name === target);
}

function noTime(target: string): TidemarkError {
  return new TidemarkError('USAGE', `--per-store goes to a time, and ${quoted(target)} is none`, { hint: TIME_HINT });
}

async function nearestPlaces(
  application: OpenApplication,
  reader: RepositoryReader,
  { stores, askedMs }: { readonly stores: readonly string[]; readonly askedMs: number },
  run: Run,
): Promise<readonly StoreTarget[]> {
  const { catalogue } = reader;
  const { configuration } = application.context;
  const own = manifestStores(application);
  const targets: StoreTarget[] = [];
  for (const store of knownStores(catalogue, configuration, stores.length > 0 ? stores : own)) {
    const nearest = await findNearest(reader, { history: store, timeMs: askedMs }, run);
    if (nearest === undefined) throw tooEarly(catalogue, store, askedMs);
    const point = must(pointAt(reader, { ...nearest, store }), 'a place that was found to be reached');
    targets.push({ store, point, atMs: nearest.atMs, nearest });
  }
  return targets;
}

function tooEarly(catalogue: Catalogue, store: string, askedMs: number): TidemarkError {
  const times = restorableTimes(historySpans(catalogue, store));
  const [first] = times;
  const last = times.reduce((most, { toMs }) => Math.max(most, toMs), 0);
  const hint =
    first === undefined
      ? 'It has no base yet: name the other stores, or take one with `tidemark backup`.'
      : `Its window goes from ${isoTime(first.fromMs)} to ${isoTime(last)}: choose a time in it, or name only other stores.`;
  const message = `nothing of ${store} is so old that it could be brought to ${isoTime(askedMs)}`;
  return new TidemarkError('TARGET_OUTSIDE_WINDOW', message, { hint });
}
