import { givenUpServer } from '../../core/connector.ts';
import type { GivenUp, PreviewContext, RestorePreview, RestorerContext } from '../../core/connector.ts';
import { isTidemarkError, TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { Restorer } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { connectSql } from './connection.ts';
import { askedAt, assertUnused, presentOf } from './extract/live-parts.ts';
import { discardExtract, ExtractRestorer, undoExtract } from './extract/restorer.ts';
import { parseWanted } from './extract/wanted.ts';
import type { Wanted } from './extract/wanted.ts';
import { folderIfGivenUp, giveFolderUp } from './give-up.ts';
import { parseServerUrl, placeName } from './place.ts';
import type { PostgresPlace } from './place.ts';
import { DumpFolderRestorer, DumpServerRestorer, undoDump } from './plain-sql/restorer.ts';
import { ALWAYS_THERE, contentOf } from './plain-sql/server.ts';
import { previewDataDirectory, previewFolder } from './preview.ts';
import { DataDirectoryRestorer } from './data-directory-restorer.ts';
import { discardDataDirectory, undoDataDirectory } from './undo.ts';

/** Where a restore goes: into a folder of this host, into a server whole, or a part of a base into a server. */
type Target =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'dump-folder'; readonly path: string }
  | { readonly kind: 'dump-server'; readonly server: PostgresPlace }
  | { readonly kind: 'part'; readonly server: PostgresPlace; readonly wanted: Wanted };

/** @throws UNSUPPORTED for what can't be restored so; USAGE for patterns that name nothing; CONFIG_INVALID for a URL that is none */
function targetOf(place: PostgresPlace, { target, only = [] }: Pick<PreviewContext, 'target' | 'only'>): Target {
  const isSql = place.options.strategy === 'sql';
  const server = target === undefined ? place : serverOf(place, target);
  const isServer = server !== undefined && (target !== undefined || isSql);
  if (isSql) {
    if (only.length > 0) {
      throw unsupported('of plain SQL only all is restored: --only has no meaning', 'Leave --only out.');
    }
    return isServer ? { kind: 'dump-server', server } : { kind: 'dump-folder', path: must(target, 'a path') };
  }
  if (isServer) {
    const [wanted, ...more] = parseWanted(only, place.database);
    if (wanted !== undefined && more.length === 0) return { kind: 'part', server, wanted };
    throw unsupported(
      'into a server that runs only a database, or tables of one, can be restored',
      'Name it with --only: DATABASE, DATABASE/SCHEMA.TABLE or SCHEMA.TABLE. The whole server is restored into a folder.',
    );
  }
  if (only.length > 0) {
    throw unsupported(
      'a part of a data directory is of no use',
      'Name the URL of a server with --into: what --only names goes into that.',
    );
  }
  const path = target ?? place.options.dataDirectory;
  if (path !== undefined) return { kind: 'directory', path };
  throw unsupported(
    'it is not known where the data directory is',
    'Name a folder with --into, or the server’s own as dataDirectory in the manifest.',
  );
}

/** Another server is reached as this one is: by the same password, and the same certificates. Undefined for a path. */
function serverOf(place: PostgresPlace, target: string): PostgresPlace | undefined {
  const match = /^postgres(?:ql)?:(.*)$/s.exec(target);
  return match === null ? undefined : { ...place, ...parseServerUrl(match[1] ?? '') };
}

function unsupported(message: string, hint: string): TidemarkError {
  return new TidemarkError('UNSUPPORTED', message, { hint });
}

export async function previewPostgres(
  place: PostgresPlace,
  context: PreviewContext,
  run: Run,
): Promise<RestorePreview> {
  try {
    const target = targetOf(place, context);
    if (target.kind === 'directory') return previewDataDirectory(target.path, place.options, context);
    if (target.kind === 'dump-folder') return previewFolder(target.path, context);
    return await previewServer(target, context, run);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    const into = context.target ?? place.options.dataDirectory;
    const blockers = [`${error.message}. ${error.hint}`];
    return { into, inOneStep: false, replaces: undefined, freeBytes: undefined, sideEffects: [], blockers };
  }
}

async function previewServer(
  target: Extract<Target, { readonly server: PostgresPlace }>,
  { replace = false }: PreviewContext,
  run: Run,
): Promise<RestorePreview> {
  const { server } = target;
  const shown = placeName(server);
  const part = target.kind === 'part' ? target.wanted : undefined;
  if (part !== undefined && replace) await assertUnused(server, part, run);
  const there = await (part === undefined ? contentOf(server, run) : presentOf(server, part, run));
  const sideEffects = [
    ...(replace && there.length > 0
      ? [`${shown} has ${someOf(there)}: what is replaced is kept as SQL on this host`]
      : []),
    ...((await isSuperuser(part === undefined ? { ...server, database: ALWAYS_THERE[0] } : askedAt(server, part), run))
      ? []
      : [
          `the role ${server.user} is no superuser there: the server may refuse what is to be brought, or whose it is to be`,
        ]),
  ];
  return {
    into: shown,
    inOneStep: part !== undefined && part.tables.length > 0,
    replaces: there.length > 0,
    // The server's own disk can't be seen from here.
    freeBytes: undefined,
    sideEffects,
    blockers:
      there.length === 0 || replace
        ? []
        : [`${shown} has ${someOf(there)}; name the store in --replace, or send it elsewhere with --into`],
  };
}

async function isSuperuser(server: PostgresPlace, run: Run): Promise<boolean> {
  await using sql = await connectSql(server, { name: 'tidemark' }, run);
  const [row] = await sql.query('SELECT rolsuper AS super FROM pg_catalog.pg_roles WHERE rolname = current_user', run);
  return row?.['super'] === 't';
}

function someOf(names: readonly string[]): string {
  return `${names.slice(0, 4).join(', ')}${names.length > 4 ? ' and more' : ''} already`;
}

export function openPostgresRestorer(place: PostgresPlace, context: RestorerContext): Restorer {
  const target = targetOf(place, context);
  const users = [place.user];
  switch (target.kind) {
    case 'directory':
      return new DataDirectoryRestorer(target.path, place.options, context, users);
    case 'dump-folder':
      return new DumpFolderRestorer(target.path, context);
    case 'dump-server':
      return new DumpServerRestorer(target.server, context);
    case 'part': {
      const { server, wanted } = target;
      return new ExtractRestorer({ server, wanted, users, settings: place.options }, context);
    }
  }
}

/** As `Connector.ifGivenUp`. */
export async function ifGivenUp(
  place: PostgresPlace,
  context: RestorerContext,
  { signal }: Run,
): Promise<GivenUp | undefined> {
  signal.throwIfAborted();
  const target = targetOf(place, context);
  const isServer = target.kind === 'dump-server' || target.kind === 'part';
  return isServer ? givenUpServer(context) : folderIfGivenUp(target.path, context);
}

/** As `Connector.giveUp`. */
export async function giveUp(place: PostgresPlace, context: RestorerContext, { signal }: Run): Promise<void> {
  signal.throwIfAborted();
  const target = targetOf(place, context);
  if (target.kind === 'directory' || target.kind === 'dump-folder') await giveFolderUp(target.path, context);
}

/** As `Connector.undo`. */
export async function undoPostgres(
  place: PostgresPlace,
  context: RestorerContext & { readonly turn: number },
  run: Run,
): Promise<{ readonly keptAside?: string | undefined }> {
  const target = targetOf(place, context);
  if (target.kind === 'dump-server') return await undoDump(target.server, context, run);
  if (target.kind === 'part') return await undoExtract(target.server, target.wanted, context, run);
  return await undoDataDirectory(target.path, context, run);
}

/** As `Connector.discard`. What lies in the restore's own folder goes with that. */
export async function discardPostgres(place: PostgresPlace, context: RestorerContext, run: Run): Promise<void> {
  const target = targetOf(place, context);
  if (target.kind === 'part') await discardExtract(place.options, context, run);
  else if (target.kind !== 'dump-server') await discardDataDirectory(target.path, context, run);
}
