import type { Connector, RestorerContext } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import { orderOf } from '../../core/position.ts';
import { compareEntries, describeEntry, entryContent, entryMatcher, entryName, listEntries } from './list.ts';
import { parseLsn, positionBetween } from './lsn.ts';
import { resolvePlace } from './place.ts';
import type { PostgresPlace } from './place.ts';
import { previewDataDirectory } from './preview.ts';
import { openPostgresRecorder } from './recorder.ts';
import { DataDirectoryRestorer } from './restorer.ts';
import { discardDataDirectory, undoDataDirectory } from './undo.ts';

/** PostgreSQL servers: their files, and their log over replication. */
export const postgresConnector: Connector<PostgresPlace> & Required<Pick<Connector<PostgresPlace>, 'openRecorder'>> = {
  schemes: ['postgres', 'postgresql'],
  log: 'bytes',
  resolve: (place) => ({ options: resolvePlace(place), warnings: [] }),
  openRecorder: openPostgresRecorder,
  preview: async ({ options }, context) =>
    previewDataDirectory(context.target ?? options.dataDirectory, options, context),
  openRestorer: async (place, context, { signal }) => {
    signal.throwIfAborted();
    return new DataDirectoryRestorer(targetOf(place, context), place.options, context, [place.user]);
  },
  undo: async (place, context, run) => await undoDataDirectory(targetOf(place, context), context, run),
  discard: async (place, context, run) => await discardDataDirectory(targetOf(place, context), context, run),
  parsePosition: (text) => {
    const lsn = parseLsn(text.replace(/^[1-9][0-9]*\/(?=[^/]*\/)/, ''));
    return lsn === undefined ? undefined : orderOf(lsn);
  },
  positionBetween,
  entryName,
  entryPath: (name) => name,
  content: entryContent,
  list: listEntries,
  describe: describeEntry,
  matcher: entryMatcher,
  compare: compareEntries,
  diagnose: async () => [],
};

function targetOf({ options }: PostgresPlace, { target }: RestorerContext): string {
  const found = target ?? options.dataDirectory;
  if (found !== undefined) return found;
  throw new TidemarkError('USAGE', 'it is not known where the data directory is', {
    hint: 'Name it with --into, or as dataDirectory in the manifest.',
  });
}
