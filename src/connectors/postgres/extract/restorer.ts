import { createReadStream, existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { RestorerContext } from '../../../core/connector.ts';
import { isTidemarkError, TidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import type { Position } from '../../../core/position.ts';
import type { BaseReader, LogReader, Restorer, RestoreReport } from '../../../core/restorer.ts';
import type { Run } from '../../../core/run.ts';
import { ensureFolder } from '../../../io/atomic-file.ts';
import { streamProgram } from '../../../io/program.ts';
import { readBaseFacts } from '../base-facts.ts';
import type { BaseFacts } from '../base-facts.ts';
import { findBinaries, findDumper } from '../binaries.ts';
import { clientCall } from '../client-program.ts';
import { connectSql } from '../connection.ts';
import { writeDataDirectory } from '../data-directory.ts';
import { placeOf } from '../lsn.ts';
import { chooseOwner } from '../owner.ts';
import type { Owner } from '../owner.ts';
import { placeName } from '../place.ts';
import type { PostgresPlace } from '../place.ts';
import { isEndOfDrops, writerOf } from '../plain-sql/dump-facts.ts';
import { loadDump } from '../plain-sql/load.ts';
import { assertLoadable } from '../plain-sql/server.ts';
import { LoadFolder } from '../plain-sql/server-state.ts';
import { writeStream } from '../plain-sql/write-file.ts';
import { recover } from '../recovery.ts';
import type { RestoreSettings } from '../restore-settings.ts';
import { endLeftover } from '../running-server.ts';
import type { Login, ScratchServer } from '../scratch-server.ts';
import { removeTablespaces, tablespaceHome } from '../tablespaces.ts';
import { withBaseLog } from '../wal/base-log.ts';
import { askedAt, assertUnused, needlessDrops, presentParts } from './live-parts.ts';
import { dumpArguments, dumpedRelations, dumpPart } from './part-dump.ts';
import { scratchFolder } from './scratch-folder.ts';
import type { Wanted } from './wanted.ts';

type Restored = {
  readonly base: BaseReader;
  readonly facts: BaseFacts;
  readonly owner: Owner;
  readonly folder: string;
  readonly binFolder: string;
  readonly dumper: string;
};

export type ExtractOptions = {
  /** The live server that they go into. */
  readonly server: PostgresPlace;
  readonly settings: RestoreSettings;
  /** Of one database: what is loaded in one step must be. */
  readonly wanted: Wanted;
  /** Who may look into the restored server, tried in turn. */
  readonly users: readonly string[];
};

/**
 * Takes one database, or tables of one, out of a base and its log: a private server is restored to the position, what is wanted is dumped from it, and
 * then goes into a live server. What exists there is replaced only when that is allowed, and is kept first.
 */
export class ExtractRestorer implements Restorer {
  readonly #options: ExtractOptions;
  readonly #context: RestorerContext;
  readonly #files: LoadFolder;
  #restored: Restored | undefined;
  #bytes = 0;

  constructor(options: ExtractOptions, context: RestorerContext) {
    this.#options = options;
    this.#context = context;
    this.#files = new LoadFolder(must(context.workFolder, 'a folder for the restore'), context.runtime);
  }

  async restoreBase(base: BaseReader, run: Run): Promise<RestoreReport> {
    if (this.#files.state()?.phase === 'loading') {
      throw new TidemarkError(
        'RESTORE_UNFINISHED',
        `loading into ${placeName(this.#options.server)} has begun already`,
      );
    }
    await this.#files.make();
    const { settings } = this.#options;
    const facts = await readBaseFacts(base, run);
    const { majorVersion } = facts.shape;
    const binFolder = await findBinaries(majorVersion, settings.binFolder);
    // Of the same version: what a later one writes an older server may refuse.
    const dumper = await findDumper(majorVersion, binFolder);
    if (binFolder === undefined || dumper === undefined) {
      throw new TidemarkError(
        'UNSUPPORTED',
        `this host has no server and client programs of PostgreSQL ${majorVersion}, which a part of a base is taken out with`,
        {
          hint: 'Install them, or name their folder by the option binFolder of the store.',
        },
      );
    }
    const owner = chooseOwner(settings.owner, undefined);
    const folder = scratchFolder(this.#files.path, this.#context.runtime.temporaryFolder, owner);
    await this.#removeServer(folder, run);
    await ensureFolder(dirname(folder), 0o700);
    const written = await writeDataDirectory(
      base,
      {
        folder,
        owner,
        candidates: [],
        tablespaces: facts.tablespaces,
        tablespaceHome: tablespaceHome(folder, this.#context.id, {}),
      },
      run,
    );
    this.#restored = { base, facts, owner, folder, binFolder, dumper };
    return { ...written, notes: [], noteCount: 0 };
  }

  async rollForward(log: LogReader, to: Position, run: Run): Promise<void> {
    const restored = must(this.#restored, 'a base was restored');
    const place = must(placeOf(to), 'a place in the log of a PostgreSQL server');
    const { users } = this.#options;
    const { clock } = this.#context.runtime;
    const { base, facts, dumper } = restored;
    const part = { dumper, wanted: this.#options.wanted, files: this.#files };
    const use = async (server: ScratchServer, login: Login): Promise<void> => {
      this.#bytes = await dumpPart(server, login, part, run);
    };
    const whole = withBaseLog(base, log, { segmentBytes: facts.shape.segmentBytes, to });
    await recover(whole, { ...restored, to: place, clock, users, pause: false, use }, run);
    await this.#removeServer(restored.folder, run);
  }

  async verify(run: Run): Promise<{ readonly entries: number; readonly bytes: number }> {
    await this.#assertFree(run);
    await this.#files.note({ phase: 'verified', turn: 0 }, run);
    return { entries: 1, bytes: this.#bytes };
  }

  async swap(run: Run): Promise<{ readonly keptAside?: string | undefined }> {
    const { server, wanted } = this.#options;
    const state = this.#files.state();
    if (state === undefined || state.turn > 0) {
      throw new TidemarkError('RESTORE_UNFINISHED', `nothing is verified for ${placeName(server)}`);
    }
    if (state.phase === 'verified') {
      await this.#assertFree(run);
      const hadNothing = !(await keepLive(server, { wanted, files: this.#files, turn: 0 }, run));
      await this.#files.note({ phase: 'loading', turn: 0, hadNothing }, run);
    }
    if (state.phase !== 'loaded') {
      await loadPart(server, { wanted, files: this.#files, turn: 0 }, run).catch(async (error: unknown) => {
        if (isRolledBack(wanted, error)) await this.#files.note({ phase: 'verified', turn: 0 }, run);
        throw error;
      });
    }
    return keptOf(this.#files, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#restored = undefined;
  }

  /** @throws RESTORE_CONFLICT when something of that name is there and may not be replaced; UNSUPPORTED */
  async #assertFree(run: Run): Promise<void> {
    const { server, wanted } = this.#options;
    await assertUnderstood(server, wanted, this.#files.restored, run);
    await assertUnused(server, wanted, run);
    if (this.#context.replace === true) return;
    const found = await presentParts(server, wanted, dumpedRelations(this.#files, wanted), run);
    if (found.length === 0) return;
    throw new TidemarkError('RESTORE_CONFLICT', `${placeName(server)} has ${found.slice(0, 4).join(', ')} already`, {
      hint: 'Allow with --replace that it is replaced, or name another database in the URL of --into.',
    });
  }

  async #removeServer(folder: string, run: Run): Promise<void> {
    await removeServer(folder, this.#context, run);
  }
}

async function removeServer(folder: string, { runtime }: RestorerContext, run: Run): Promise<void> {
  if (!existsSync(folder)) return;
  await endLeftover(folder, runtime.clock, run);
  removeTablespaces(folder);
  await rm(folder, { recursive: true, force: true });
}

/** Removes the private server that an interrupted restore left. */
export async function discardExtract(settings: RestoreSettings, context: RestorerContext, run: Run): Promise<void> {
  const workFolder = must(context.workFolder, 'a folder for the restore');
  if (!existsSync(workFolder)) return;
  const owner = chooseOwner(settings.owner, undefined);
  await removeServer(scratchFolder(workFolder, context.runtime.temporaryFolder, owner), context, run);
}

type Part = { readonly wanted: Wanted; readonly files: LoadFolder; readonly turn: number };

/** As `Connector.undo`, for what was taken out of a base. What was only begun is undone too: it loads what was kept before. */
export async function undoExtract(
  server: PostgresPlace,
  wanted: Wanted,
  { workFolder, turn, runtime }: RestorerContext & { readonly turn: number },
  run: Run,
): Promise<{ readonly keptAside?: string | undefined }> {
  const files = new LoadFolder(must(workFolder, 'a folder for the restore'), runtime);
  const state = files.state();
  if (state === undefined || state.phase === 'verified') {
    throw new TidemarkError('NOTHING_TO_RESUME', `no restore has brought anything into ${placeName(server)}`);
  }
  const part = { wanted, files, turn };
  if (state.turn < turn) {
    await assertUnused(server, wanted, run);
    const hadNothing = !(await keepLive(server, part, run));
    await files.note({ phase: 'loading', turn, hadNothing }, run);
  }
  if (state.turn < turn || state.phase === 'loading') await loadPart(server, part, run);
  return keptOf(files, turn);
}

function keptOf(files: LoadFolder, turn: number): { readonly keptAside?: string | undefined } {
  return files.state()?.hadNothing === true ? {} : { keptAside: files.kept(turn) };
}

/**
 * What brings the server back to what it has of it now: the commands that remove what comes, and a dump of what is there. False where that is nothing.
 */
async function keepLive(server: PostgresPlace, { wanted, files, turn }: Part, run: Run): Promise<boolean> {
  const live = liveWanted(server, wanted);
  const present = await presentParts(server, wanted, dumpedRelations(files, wanted), run);
  const path = files.kept(turn);
  const isDatabase = wanted.tables.length === 0;
  const removal = isDatabase && present.length > 0 ? '' : await removalOf(files.source(turn));
  if (present.length === 0) {
    await writeFile(path, removal, { mode: 0o600, flush: true });
    return false;
  }
  const tables = isDatabase ? [] : present;
  const call = await clientCall(server, 'pg_dump', dumpArguments({ database: live.database, tables }), run);
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from(removal);
    yield* streamProgram(call, run);
  };
  await writeStream(path, pieces(), run);
  await assertUnderstood(server, wanted, path, run);
  return true;
}

/** Before anything is dropped. @throws UNSUPPORTED */
async function assertUnderstood(place: PostgresPlace, wanted: Wanted, file: string, run: Run): Promise<void> {
  await using sql = await connectSql(askedAt(place, wanted), { name: 'tidemark' }, run);
  await assertLoadable({ sql, place }, { writtenBy: await writerOf(file) }, run);
}

/** Tables in one transaction; a database can't be. It drops what it brings, so that it may be done again. */
async function loadPart(server: PostgresPlace, { wanted, files, turn }: Part, run: Run): Promise<void> {
  const isDatabase = wanted.tables.length === 0;
  const options = isDatabase ? [] : ['--single-transaction'];
  const without = isDatabase ? new Set<string>() : await needlessDrops(server, run);
  await loadDump(askedAt(server, wanted), { file: files.source(turn), options, without }, run);
  await files.note({ phase: 'loaded', turn, hadNothing: files.state()?.hadNothing }, run);
}

/** Whether nothing was changed: psql says by its status that a command failed, and tables are loaded in one transaction. */
function isRolledBack({ tables }: Wanted, error: unknown): boolean {
  return tables.length > 0 && isTidemarkError(error, 'FAILED') && / ended with 3(?:$|:)/.test(error.message);
}

/** A whole database keeps its name; tables go into the one that the URL names. */
function liveWanted({ database }: PostgresPlace, wanted: Wanted): Wanted {
  return wanted.tables.length === 0 ? wanted : { ...wanted, database };
}

/** The commands at a dump's start that drop what it brings. */
async function removalOf(file: string): Promise<string> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (isEndOfDrops(line)) break;
    if (/^(?:DROP|ALTER TABLE IF EXISTS ONLY \S+ DROP|ALTER TABLE .* DROP) /.test(line)) lines.push(line);
  }
  return `${lines.join('\n')}\n`;
}
