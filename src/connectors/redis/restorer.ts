import { isAbsolute } from 'node:path';
import type { RestorerContext } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { Position } from '../../core/position.ts';
import type { BaseReader, LogReader, Restorer, RestoreReport } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { compileKeyPatterns } from './key-patterns.ts';
import { placeAt } from './place.ts';
import type { RedisPlace } from './place.ts';
import { makeAofFolder, ownerOf } from './restore/aof-folder.ts';
import { makeChosen } from './restore/chosen.ts';
import { shiftOf } from './restore/expiry.ts';
import { besideFolder, swapFolders } from './restore/files-swap.ts';
import { countMatching, moduleAux, unmovable } from './restore/load-rdb.ts';
import { swapIntoServer } from './restore/server-swap.ts';
import { checkCommands, checkRdb, stageBase, stageLog } from './restore/staging.ts';
import type { StagedBase, StagedFacts } from './restore/staging.ts';
import { makeWorkFolder, saveState, workFilesIn } from './restore/work-files.ts';
import type { WorkFiles } from './restore/work-files.ts';

/**
 * Restores into a server, or as the data folder of one. All is staged in the restore's own folder: the RDB, and the commands up to the point; only `swap`
 * touches the place.
 */
export function openRedisRestorer(place: RedisPlace, context: RestorerContext): Restorer {
  return new RedisRestorer(place, context);
}

/** Where a restore goes: a folder, or a server. @throws USAGE */
export function destinationOf(
  place: RedisPlace,
  target: string | undefined,
): { folder: string } | { server: RedisPlace } {
  if (target === undefined) return { server: place };
  return isAbsolute(target) ? { folder: target } : { server: placeAt(place, target) };
}

class RedisRestorer implements Restorer {
  readonly #place: RedisPlace;
  readonly #context: RestorerContext;
  readonly #files: WorkFiles;
  readonly #only: readonly string[] | undefined;
  readonly #destination: ReturnType<typeof destinationOf>;
  #base: (StagedBase & { readonly facts: StagedFacts }) | undefined;
  #logBytes = 0;
  #pointMs: number | undefined;

  constructor(place: RedisPlace, context: RestorerContext) {
    this.#place = place;
    this.#context = context;
    this.#files = workFilesIn(must(context.workFolder, 'a folder of this restore'));
    this.#only = context.only === undefined || context.only.length === 0 ? undefined : context.only;
    this.#destination = destinationOf(place, context.target);
    if (this.#only !== undefined) compileKeyPatterns(this.#only);
    if (this.#only === undefined || 'server' in this.#destination) return;
    throw new TidemarkError('UNSUPPORTED', 'a part of the keys can’t be restored as files', {
      hint: 'Leave out --only, or restore into a server with --into STORE=redis://HOST:PORT.',
    });
  }

  async restoreBase(base: BaseReader, run: Run): Promise<RestoreReport> {
    await makeWorkFolder(this.#files);
    const staged = await stageBase(base, this.#files, run);
    const facts = await checkRdb(this.#files.rdb, run, this.#only && compileKeyPatterns(this.#only));
    this.#base = { ...staged, facts };
    this.#pointMs = facts.madeAtMs;
    return { entries: facts.keys, bytes: staged.sizeBytes, reusedBytes: 0, notes: [], noteCount: 0 };
  }

  async rollForward(log: LogReader, to: Position, run: Run): Promise<void> {
    const { offset } = must(this.#base, 'a base was restored');
    const { sizeBytes, atMs } = await stageLog({ log, from: offset, to, files: this.#files }, run);
    this.#logBytes = sizeBytes;
    this.#pointMs = atMs ?? this.#pointMs;
  }

  async verify(run: Run): Promise<{ readonly entries: number; readonly bytes: number }> {
    const { runtime, id } = this.#context;
    const { facts, sizeBytes } = must(this.#base, 'a base was restored');
    const hasLog = this.#logBytes > 0;
    const log = hasLog ? await checkCommands(this.#files.commands, this.#logBytes, run) : undefined;
    const { streamDatabase } = facts;
    const databases = 1 + Math.max(facts.highestDatabase, streamDatabase, log?.highestDatabase ?? 0);
    const staged = { files: this.#files, streamDatabase, databases };
    const pointMs = this.#pointMs ?? runtime.clock.nowMs();
    let { keys } = facts;
    let sent = facts;
    if (this.#only !== undefined) {
      if (hasLog) await makeChosen({ ...staged, temporaryFolder: runtime.temporaryFolder }, run);
      const path = hasLog ? this.#files.chosen : this.#files.rdb;
      const only = compileKeyPatterns(this.#only);
      if (hasLog) sent = await checkRdb(path, run, only);
      keys = await countMatching(path, only, run);
      if (keys === 0) throw new TidemarkError('ENTRY_NOT_FOUND', 'no key matches --only');
    }
    if ('folder' in this.#destination) {
      const { folder: target } = this.#destination;
      const shiftMs = shiftOf(this.#place.expiry, pointMs, runtime.clock.nowMs());
      const expiry = shiftMs === 0 ? undefined : { map: (atMs: number) => atMs + shiftMs, fieldShiftMs: shiftMs };
      const { fresh } = besideFolder(target, id);
      await makeAofFolder({ ...staged, folder: fresh, target, hasLog, expiry, owner: await ownerOf(target) }, run);
    } else {
      this.#assertSendable(sent, hasLog);
    }
    const state = {
      version: 1,
      phase: 'staged',
      pointMs,
      hasLog,
      rdbVersion: sent.version,
      largestBytes: sent.largestBytes,
      hasModules: sent.hasModules,
      // Of a part nobody knows what it takes, and it is sent without its log.
      ...(this.#only === undefined ? { usedBytes: facts.usedBytes, samples: log?.samples } : {}),
      streamDatabase,
      databases,
      turn: 0,
      kept: {},
    } as const;
    await saveState({ files: this.#files, random: runtime.random }, state, run);
    return { entries: keys, bytes: sizeBytes + this.#logBytes };
  }

  /** @throws UNSUPPORTED for what commands can't give to a server */
  #assertSendable({ moduleAux: module, unmovable: hash }: StagedFacts, hasLog: boolean): void {
    if (module !== undefined && this.#only === undefined) throw moduleAux(module);
    const isMoved = this.#place.expiry === 'remaining' || (hasLog && this.#only !== undefined);
    if (hash !== undefined && isMoved) throw unmovable(hash);
  }

  async swap(run: Run): Promise<{ readonly keptAside?: string | undefined }> {
    const { runtime, id, replace = false } = this.#context;
    const files = this.#files;
    if ('folder' in this.#destination) {
      return await swapFolders({ files, runtime, beside: besideFolder(this.#destination.folder, id) }, run);
    }
    return await swapIntoServer({ place: this.#destination.server, files, runtime, only: this.#only, replace }, run);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
