import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RestorerContext } from '../../../core/connector.ts';
import { TidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import type { BaseReader, Restorer, RestoreReport } from '../../../core/restorer.ts';
import type { Run } from '../../../core/run.ts';
import { ensureFolder } from '../../../io/atomic-file.ts';
import { placeName } from '../place.ts';
import type { PostgresPlace } from '../place.ts';
import { forgetVerified, markVerified, swapIn } from '../swap.ts';
import { findTarget } from '../target-place.ts';
import type { TargetPlace } from '../target-place.ts';
import { DumpCheck } from './dump-check.ts';
import { readDumpFacts } from './dump-facts.ts';
import { loadCluster, readPieces } from './load.ts';
import { DUMP, dumpOf } from './recorder.ts';
import { ALWAYS_THERE, assertEmpty, assertLoadable, assertNobodyElse, openServer, prepareServer } from './server.ts';
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
    this.#bytes = await writeStream(join(fresh, DUMP), storedDump(base, run), run);
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
    const dump = storedDump(base, run);
    this.#bytes = await writeStream(this.#folder.restored, dump, run);
    return { entries: 1, bytes: this.#bytes, reusedBytes: 0, notes: [], noteCount: 0 };
  }

  async verify(run: Run): Promise<{ readonly entries: number; readonly bytes: number }> {
    await this.#assertReady(run);
    await this.#folder.note({ phase: 'verified', turn: 0 }, run);
    return { entries: 1, bytes: this.#bytes };
  }

  async swap(run: Run): Promise<{ readonly keptAside?: string | undefined }> {
    const state = this.#folder.state();
    if (state === undefined || state.turn > 0) {
      throw new TidemarkError('RESTORE_UNFINISHED', `nothing is verified for ${placeName(this.#server)}`);
    }
    if (state.phase === 'verified') {
      await this.#assertReady(run);
      await keepServer(this.#server, this.#folder.kept(0), run);
      await this.#folder.note({ phase: 'loading', turn: 0 }, run);
    }
    if (state.phase !== 'loaded') await loadTurn(this.#server, this.#folder, 0, run);
    return { keptAside: this.#folder.kept(0) };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #assertReady(run: Run): Promise<void> {
    await using server = await openServer(this.#server, run);
    if (this.#context.replace !== true) await assertEmpty(server, run);
    await assertNobodyElse(server, run);
    await assertLoadable(server, await readDumpFacts(this.#folder.restored), run);
  }
}

/** As `Connector.undo`, for a server. */
export async function undoDump(
  server: PostgresPlace,
  { workFolder, turn, runtime }: RestorerContext & { readonly turn: number },
  run: Run,
): Promise<{ readonly keptAside?: string | undefined }> {
  const folder = new LoadFolder(must(workFolder, 'a folder for the restore'), runtime);
  const state = folder.state();
  if (state === undefined || state.phase === 'verified') {
    throw new TidemarkError('NOTHING_TO_RESUME', `no restore has brought anything into ${placeName(server)}`);
  }
  if (state.turn < turn) {
    // What a load that failed left is nothing to go back to: what it was to bring is.
    if (state.phase === 'loading') {
      await writeStream(folder.kept(turn), readPieces(folder.source(state.turn), run), run);
    } else await keepServer(server, folder.kept(turn), run);
    await folder.note({ phase: 'loading', turn }, run);
  }
  if (state.turn < turn || state.phase === 'loading') await loadTurn(server, folder, turn, run);
  return { keptAside: folder.kept(turn) };
}

/** What the server holds, so that it can be loaded again. */
async function keepServer(place: PostgresPlace, path: string, run: Run): Promise<void> {
  await using server = await openServer(place, run);
  await writeStream(path, dumpOf(server.place, run), run);
  await assertLoadable(server, await readDumpFacts(path), run);
}

/** What has begun may have got anywhere: all that the dump brings is dropped first, so that it can be loaded again. */
async function loadTurn(place: PostgresPlace, folder: LoadFolder, turn: number, run: Run): Promise<void> {
  const file = folder.source(turn);
  const facts = await readDumpFacts(file);
  await using server = await openServer(place, run);
  await assertNobodyElse(server, run);
  await assertLoadable(server, facts, run);
  const { commands, roles } = await prepareServer(server, facts, run);
  await server[Symbol.asyncDispose]();
  await loadCluster({ ...place, database: ALWAYS_THERE[0] }, { file, before: commands, roles }, run);
  await folder.note({ phase: 'loaded', turn }, run);
}

/** The dump that a base holds, looked at as it passes. @throws REPOSITORY_DAMAGED when it is none */
export async function* storedDump(base: BaseReader, run: Run): AsyncGenerator<Uint8Array> {
  const entry = await base.find(Buffer.from(DUMP), run);
  if (entry?.content === undefined) throw new TidemarkError('REPOSITORY_DAMAGED', `the base has no ${DUMP}`);
  const check = new DumpCheck(`the ${DUMP} of the base`, 'REPOSITORY_DAMAGED');
  for await (const piece of base.read(entry.content, run)) {
    check.add(piece);
    yield piece;
  }
  check.finish();
}

function begun(server: PostgresPlace): TidemarkError {
  return new TidemarkError('RESTORE_UNFINISHED', `bringing the dump into ${placeName(server)} has begun already`);
}
