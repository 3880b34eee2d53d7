import { resolve, join } from 'node:path';
import { loadConnector } from '../connectors/load.ts';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Position } from '../core/position.ts';
import type { StoredLog } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import { newestOf } from '../repository/base-order.ts';
import { readLog } from '../repository/log-reader.ts';
import type { SegmentRecord } from '../repository/log-view.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import type { OpenApplication } from './application.ts';

const AHEAD = 8;

export type LogFileWanted = {
  readonly store: string;
  readonly lineage: string;
  readonly name: string;
  /** Relative to the working folder. */
  readonly path: string;
};

/** Gives an engine a file of the log of one lineage. False: it is not there yet. @throws TARGET_UNKNOWN, UNSUPPORTED, REPOSITORY_DAMAGED */
export async function giveLogFile(
  { context, stateFolder }: OpenApplication,
  reader: RepositoryReader,
  { store, lineage, name, path }: LogFileWanted,
  run: Run,
): Promise<boolean> {
  const { catalogue } = reader;
  const bases = [...catalogue.bases.values()].filter(
    ({ summary }) => summary.history === store && summary.cut.lineage === lineage,
  );
  const base = newestOf(bases);
  if (base === undefined) throw new TidemarkError('TARGET_UNKNOWN', `there is no history ${lineage} of ${store}`);
  const connector = await loadConnector(reader.content(base).connector);
  if (connector.giveLogFile === undefined) {
    throw new TidemarkError('UNSUPPORTED', `the engine of ${store} asks for no files of its log`);
  }
  const segments = newestRun(catalogue.histories.get(store)?.coveredRuns() ?? [], lineage);
  const log: StoredLog = {
    base: await reader.base(base, run),
    stretches: segments,
    read: (after, upTo, inner) =>
      readLog(reader.access, { segments: between(segments, after, upTo), after, upTo, isBytes: true }, inner),
  };
  const request = {
    name,
    path: resolve(context.workingFolder, path),
    cacheFolder: join(stateFolder, 'log-files', store, lineage),
    ahead: AHEAD,
  };
  return await connector.giveLogFile(log, request, run);
}

/** The stretch of a lineage that leads furthest. */
function newestRun(runs: readonly (readonly SegmentRecord[])[], lineage: string): readonly SegmentRecord[] {
  const own = runs.filter(([first]) => first?.after.lineage === lineage);
  const end = (run: readonly SegmentRecord[]): string => must(run.at(-1), 'a segment').upTo.order;
  return own.toSorted((left, right) => (end(left) < end(right) ? -1 : 1)).at(-1) ?? [];
}

function between(segments: readonly SegmentRecord[], from: Position, to: Position): readonly SegmentRecord[] {
  return segments.filter(({ after, upTo }) => upTo.order > from.order && after.order < to.order);
}
