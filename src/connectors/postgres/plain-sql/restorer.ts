import { createReadStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { RestorerContext } from '../../../core/connector.ts';
import { TidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import type { BaseReader, Restorer, RestoreReport, StoredContent } from '../../../core/restorer.ts';
import type { Run } from '../../../core/run.ts';
import { ensureFolder } from '../../../io/atomic-file.ts';
import { connectSql } from '../connection.ts';
import { placeName } from '../place.ts';
import type { PostgresPlace } from '../place.ts';
import { forgetVerified, markVerified, swapIn } from '../swap.ts';
import { findTarget } from '../target-place.ts';
import type { TargetPlace } from '../target-place.ts';
import { DumpCheck } from './dump-check.ts';
import { loadDump } from './load.ts';
import { DUMP, dumpOf } from './recorder.ts';
import { LoadFolder } from './server-state.ts';
import { writeStream } from './write-file.ts';

/** The dump as a file in a folder. */
export class DumpFolderRestorer implements Restorer {
  readonly #place: TargetPlace;
  readonly #context: RestorerContext;
  #bytes = 0;

  constructor(target: string, context: RestorerContext) {
    this.#place = findTarget(target, context.id);
    this.#context = context;
  }

  async restoreBase(base: BaseReader, run: Run): Promise<RestoreReport> {
    const { fresh, home } = this.#place;
    await forgetVerified(this.#place);
    await ensureFolder(home, 0o755);
    await rm(fresh, { recursive: true, force: true });
    await mkdir(fresh, { mode: 0o700 });
    this.#bytes = await writeStream(join(fresh, DUMP), checkedDump(base, await storedDump(base, run), run), run);
    return { entries: 1, bytes: this.#bytes, reusedBytes: 0, notes: [], noteCount: 0 };
  }

  async verify(run: Run): Promise<{ readonly entries: number; readonly bytes: number }> {
    await markVerified(this.#place, this.#context.runtime.random, run);
    return { entries: 1, bytes: this.#bytes };
  }

  async swap(run: Run): Promise<{ readonly keptAside?: string | undefined }> {
    return await swapIn(this.#place, { random: this.#context.runtime.random, check: () => undefined }, run);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** The dump into a server, which must be empty unless the operator allows that it is replaced. */
export class DumpServerRestorer implements Restorer {
  readonly #server: PostgresPlace;
  readonly #context: RestorerContext;
  readonly #folder: LoadFolder;
  #bytes = 0;

  constructor(server: PostgresPlace, context: RestorerContext) {
    this.#server = server;
    this.#context = context;
    this.#folder = new LoadFolder(must(context.workFolder, 'a folder for the restore'), context.runtime);
  }

  async restoreBase(base: BaseReader, run: Run): Promise<RestoreReport> {
    if (this.#folder.state()?.phase === 'loading') throw begun(this.#server);
    await this.#folder.make();
    const dump = checkedDump(base, await storedDump(base, run), run);
    this.#bytes = await writeStream(this.#folder.restored, dump, run);
    return { entries: 1, bytes: this.#bytes, reusedBytes: 0, notes: [], noteCount: 0 };
  }

  async verify(run: Run): Promise<{ readonly entries: number; readonly bytes: number }> {
    await assertEmpty(this.#server, this.#context.replace === true, run);
    await this.#folder.note({ phase: 'verified', turn: 0 }, run);
    return { entries: 1, bytes: this.#bytes };
  }

  async swap(run: Run): Promise<{ readonly keptAside?: string | undefined }> {
    const state = this.#folder.state();
    if (state === undefined || state.turn > 0) {
      throw new TidemarkError('RESTORE_UNFINISHED', `nothing is verified for ${placeName(this.#server)}`);
    }
    if (state.phase === 'verified') {
      await assertEmpty(this.#server, this.#context.replace === true, run);
      await writeStream(this.#folder.kept(0), dumpOf(this.#server, run), run);
      await this.#folder.note({ phase: 'loading', turn: 0 }, run);
    }
    if (state.phase !== 'loaded') await loadTurn(this.#server, this.#folder, 0, run);
    return { keptAside: this.#folder.kept(0) };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** As `Connector.undo`, for a server. */
export async function undoDump(
  server: PostgresPlace,
  { workFolder, turn, runtime }: RestorerContext & { readonly turn: number },
  run: Run,
): Promise<{ readonly keptAside?: string | undefined }> {
  const folder = new LoadFolder(must(workFolder, 'a folder for the restore'), runtime);
  const state = folder.state();
  if (state === undefined || state.phase === 'verified' || (state.turn < turn && state.phase === 'loading')) {
    throw new TidemarkError('NOTHING_TO_RESUME', `no restore has brought anything into ${placeName(server)}`);
  }
  if (state.turn < turn) {
    await writeStream(folder.kept(turn), dumpOf(server, run), run);
    await folder.note({ phase: 'loading', turn }, run);
  }
  if (state.turn < turn || state.phase === 'loading') await loadTurn(server, folder, turn, run);
  return { keptAside: folder.kept(turn) };
}

/** What has begun may have got anywhere: all that the dump brings is dropped first, so that it can be loaded again. */
async function loadTurn(server: PostgresPlace, folder: LoadFolder, turn: number, run: Run): Promise<void> {
  const file = folder.source(turn);
  await dropOthers(server, await databasesIn(file), run);
  await loadDump(server, file, run);
  await folder.note({ phase: 'loaded', turn }, run);
}

const ALWAYS_THERE = ['postgres', 'template0', 'template1'];

/** Drops the databases that a dump does not bring. */
async function dropOthers(server: PostgresPlace, wanted: ReadonlySet<string>, run: Run): Promise<void> {
  await using sql = await connectSql(server, { name: 'tidemark' }, run);
  for (const row of await sql.query('SELECT datname, quote_ident(datname) AS quoted FROM pg_database', run)) {
    const name = row['datname'] ?? '';
    if (wanted.has(name) || ALWAYS_THERE.includes(name)) continue;
    await sql.query(`DROP DATABASE ${row['quoted'] ?? ''}`, run);
  }
}

async function databasesIn(file: string): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [, plain, quoted] = /^CREATE DATABASE (?:([^" ]+)|"((?:[^"]|"")+)") /.exec(line) ?? [];
    const name = plain ?? quoted?.replaceAll('""', '"');
    if (name !== undefined) names.add(name);
  }
  return names;
}

const USED = `
SELECT datname AS what FROM pg_catalog.pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')
UNION ALL
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
LIMIT 5`;

/** Names of what a server holds, the first few; none of an empty one. */
export async function contentOf(server: PostgresPlace, run: Run): Promise<readonly string[]> {
  await using sql = await connectSql(server, { name: 'tidemark' }, run);
  return (await sql.query(USED, run)).map((row) => row['what'] ?? '');
}

/** @throws RESTORE_CONFLICT when the server holds something that may not be replaced */
async function assertEmpty(server: PostgresPlace, mayReplace: boolean, run: Run): Promise<void> {
  const found = await contentOf(server, run);
  if (mayReplace || found.length === 0) return;
  const names = found.slice(0, 4).join(', ');
  throw new TidemarkError('RESTORE_CONFLICT', `${placeName(server)} is not empty: it holds ${names}`, {
    hint: 'Name an empty server by --into, or allow with --replace that what it holds is replaced.',
  });
}

async function storedDump(base: BaseReader, run: Run): Promise<StoredContent> {
  const entry = await base.find(Buffer.from(DUMP), run);
  if (entry?.content !== undefined) return entry.content;
  throw new TidemarkError('REPOSITORY_DAMAGED', `the base has no ${DUMP}`);
}

async function* checkedDump(base: BaseReader, content: StoredContent, run: Run): AsyncGenerator<Uint8Array> {
  const check = new DumpCheck(`the ${DUMP} of the base`);
  for await (const piece of base.read(content, run)) {
    check.add(piece);
    yield piece;
  }
  check.finish();
}

function begun(server: PostgresPlace): TidemarkError {
  return new TidemarkError('RESTORE_UNFINISHED', `bringing the dump into ${placeName(server)} has begun already`);
}
