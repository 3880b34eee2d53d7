import type { Connector } from '../../core/connector.ts';
import { orderOf } from '../../core/position.ts';
import { readBaseFacts } from './base-facts.ts';
import { checkContents } from './check-contents.ts';
import { checkEntry } from './data-directory.ts';
import { diagnosePostgres } from './diagnose.ts';
import { compareEntries, describeEntry, entryContent, entryMatcher, entryName, listEntries } from './list.ts';
import { parseLsn, positionBetween } from './lsn.ts';
import { resolvePlace } from './place.ts';
import type { PostgresPlace } from './place.ts';
import { openSqlRecorder } from './plain-sql/recorder.ts';
import { openPostgresRecorder } from './recorder.ts';
import { discardPostgres, giveUp, ifGivenUp, openPostgresRestorer, previewPostgres, undoPostgres } from './restorer.ts';
import { serveLogFile } from './wal/serve-log-file.ts';

/** PostgreSQL servers: their data files and their log, or plain SQL. */
export const postgresConnector: Connector<PostgresPlace> & Required<Pick<Connector<PostgresPlace>, 'openRecorder'>> = {
  schemes: ['postgres', 'postgresql'],
  log: 'bytes',
  resolve: (place) => ({ options: resolvePlace(place), warnings: [] }),
  openRecorder: async (place, context, run) =>
    place.options.strategy === 'sql'
      ? await openSqlRecorder(place, context, run)
      : await openPostgresRecorder(place, context, run),
  preview: previewPostgres,
  openRestorer: async (place, context, { signal }) => {
    signal.throwIfAborted();
    return openPostgresRestorer(place, context);
  },
  ifGivenUp,
  giveUp,
  undo: undoPostgres,
  discard: discardPostgres,
  giveLogFile: async (log, request, run) => await serveLogFile(log, await readBaseFacts(log.base, run), request, run),
  // With the timeline before it, as positions are shown, or alone, as the server has it.
  parsePosition: (text) => {
    const [, timeline, place = ''] = /^(?:([1-9][0-9]{0,9})\/(?=[^/]+\/))?(.+)$/.exec(text) ?? [];
    const lsn = parseLsn(place);
    if (lsn === undefined) return undefined;
    const order = orderOf(lsn);
    return timeline === undefined ? { order } : { order, isMeant: ({ resume }) => resume.startsWith(`${timeline}/`) };
  },
  positionBetween,
  checkEntry,
  checkContents,
  entryName,
  entryPath: (name) => name,
  content: entryContent,
  list: listEntries,
  describe: describeEntry,
  matcher: entryMatcher,
  compare: compareEntries,
  diagnose: diagnosePostgres,
};
