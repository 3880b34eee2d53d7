import { isAbsolute, join } from 'node:path';
import type { RestorerContext } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { Position } from '../../core/position.ts';
import type { BaseReader, LogReader, Restorer, RestoreReport, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { shardEntries } from './base.ts';
import { highestDatabase } from './commands/databases-used.ts';
import { compileKeyPatterns } from './key-patterns.ts';
import { placeAt } from './place.ts';
import type { RedisPlace } from './place.ts';
import { makeAofFolder, makeClusterFolder, ownerOf } from './restore/aof-folder.ts';
import { makeChosen } from './restore/chosen.ts';
import { movedBy, shiftOf } from './restore/expiry.ts';
import { besideFolder, swapFolders } from './restore/files-swap.ts';
import { countMatching, moduleAux, unmovable } from './restore/load-rdb.ts';
import { swapIntoServer } from './restore/server-swap.ts';
import { hasFlushedSlot } from './restore/slot-claims.ts';
import type { StagedMove } from './restore/slot-claims.ts';
import { addSamples, checkCommands, checkRdb, stageBase, stageLog } from './restore/staging.ts';
import type { StagedBase, StagedFacts } from './restore/staging.ts';
import { splitCommands, stagedCommands, stageFrames, stageShards } from './restore/staged-cluster.ts';
import type { BaseShard } from './restore/staged-cluster.ts';
import { makeWorkFolder, saveState, shardFiles, workFilesIn } from './restore/work-files.ts';
import type { StagedShard, WorkFiles } from './restore/work-files.ts';

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
  /** Of a cluster. */
  #shards: readonly BaseShard[] | undefined;
  #staged: readonly StagedShard[] = [];
  #moves: readonly StagedMove[] = [];
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
    const entries = await shardEntries(base, run);
    if (entries.length > 0) return await this.#restoreShards(base, entries, run);
    const staged = await stageBase(base, this.#files, run);
    const facts = await checkRdb(this.#files.rdb, run, this.#only && compileKeyPatterns(this.#only));
    this.#base = { ...staged, facts };
    this.#pointMs = facts.madeAtMs;
    return { entries: facts.keys, bytes: staged.sizeBytes, reusedBytes: 0, notes: [], noteCount: 0 };
  }

  async #restoreShards(base: BaseReader, entries: readonly StoredEntry[], run: Run): Promise<RestoreReport> {
    const { shards, sizeBytes } = await stageShards({ base, entries, files: this.#files }, run);
    const facts: StagedFacts[] = [];
    const isMeant = this.#only && compileKeyPatterns(this.#only);
    for (const { shard } of shards) facts.push(await checkRdb(shardFiles(this.#files, shard).rdb, run, isMeant));
    const most = (read: (one: StagedFacts) => number): number =>
      facts.reduce((all, one) => Math.max(all, read(one)), 0);
    const keys = facts.reduce((all, one) => all + one.keys, 0);
    this.#shards = shards;
    this.#staged = shards.map(({ shard, slots }) => ({ shard, slots, settled: 0 }));
    this.#pointMs = most(({ madeAtMs }) => madeAtMs ?? 0) || undefined;
    const madeAtMs = this.#pointMs;
    const largestBytes = most((one) => one.largestBytes);
    const version = most((one) => one.version);
    const highest = most((one) => one.highestDatabase);
    const whole = { keys, largestBytes, version, madeAtMs, streamDatabase: 0, highestDatabase: highest };
    const sendable = {
      usedBytes: facts.reduce((all, one) => all + one.usedBytes, 0),
      hasModules: facts.some(({ hasModules }) => hasModules),
      moduleAux: facts.find((one) => one.moduleAux !== undefined)?.moduleAux,
      unmovable: facts.find((one) => one.unmovable !== undefined)?.unmovable,
    };
    this.#base = { offset: undefined, sizeBytes, facts: { ...whole, ...sendable } };
    return { entries: keys, bytes: sizeBytes, reusedBytes: 0, notes: [], noteCount: 0 };
  }

  async rollForward(log: LogReader, to: Position, run: Run): Promise<void> {
    if (this.#shards !== undefined) {
      const staged = await stageFrames({ log, from: this.#shards, to, files: this.#files }, run);
      this.#staged = staged.shards;
      this.#moves = staged.moves;
      this.#logBytes = staged.sizeBytes;
      this.#pointMs = staged.atMs ?? this.#pointMs;
      return;
    }
    const { offset } = must(this.#base, 'a base was restored');
    const { sizeBytes, atMs } = await stageLog({ log, from: offset, to, files: this.#files }, run);
    this.#logBytes = sizeBytes;
    this.#pointMs = atMs ?? this.#pointMs;
  }

  async verify(run: Run): Promise<{ readonly entries: number; readonly bytes: number }> {
    const { runtime, id } = this.#context;
    const { facts, sizeBytes } = must(this.#base, 'a base was restored');
    const hasLog = this.#logBytes > 0;
    if (this.#shards !== undefined) return await this.#verifyShards(facts, run);
    const log = hasLog ? await checkCommands(this.#files.commands, this.#logBytes, run) : undefined;
    const { streamDatabase } = facts;
    const databases = 1 + Math.max(facts.highestDatabase, streamDatabase, log?.highestDatabase ?? 0);
    const staged = { files: this.#files, streamDatabase, databases };
    const pointMs = this.#restoredMs();
    let { keys } = facts;
    let sent = facts;
    if (this.#only !== undefined) {
      if (hasLog) await makeChosen(staged, run);
      const path = hasLog ? this.#files.chosen : this.#files.rdb;
      const only = compileKeyPatterns(this.#only);
      if (hasLog) sent = await checkRdb(path, run, only);
      keys = await countMatching(path, only, run);
      if (keys === 0) throw new TidemarkError('ENTRY_NOT_FOUND', 'no key matches --only');
    }
    if ('folder' in this.#destination) {
      const { folder: target } = this.#destination;
      const expiry = movedBy(shiftOf(this.#place.expiry, pointMs, runtime.clock.nowMs()));
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
  #assertSendable(
    { moduleAux: module, unmovable: hash }: Pick<StagedFacts, 'moduleAux' | 'unmovable'>,
    hasLog: boolean,
  ): void {
    if (module !== undefined && this.#only === undefined) throw moduleAux(module);
    const isMoved = this.#place.expiry === 'remaining' || (hasLog && this.#only !== undefined);
    if (hash !== undefined && isMoved) throw unmovable(hash);
  }

  async #verifyShards(facts: StagedFacts, run: Run): Promise<{ readonly entries: number; readonly bytes: number }> {
    const { runtime } = this.#context;
    const files = this.#files;
    const hasLog = this.#logBytes > 0;
    const shards = this.#staged;
    const pointMs = this.#restoredMs();
    let { keys, largestBytes, version } = facts;
    const samples = hasLog ? await this.#checkShardCommands(run) : new Map<string, string>();
    let { hasModules, unmovable: hash } = facts;
    if (hasLog && this.#only !== undefined) [hasModules, hash] = [false, undefined];
    if (this.#only !== undefined) {
      const isMeant = compileKeyPatterns(this.#only);
      keys = 0;
      if (hasLog) await splitCommands(files, shards, run);
      for (const { shard } of shards) {
        const own = shardFiles(files, shard);
        if (hasLog) await makeChosen({ files: own, streamDatabase: 0, databases: 1 }, run);
        const path = hasLog ? own.chosen : own.rdb;
        if (hasLog) {
          const chosen = await checkRdb(path, run, isMeant);
          largestBytes = Math.max(largestBytes, chosen.largestBytes);
          version = Math.max(version, chosen.version);
          hasModules ||= chosen.hasModules;
          hash ??= chosen.unmovable;
        }
        keys += await countMatching(path, isMeant, run);
      }
      if (keys === 0) throw new TidemarkError('ENTRY_NOT_FOUND', 'no key matches --only');
    }
    if (!('folder' in this.#destination)) this.#assertSendable({ moduleAux: facts.moduleAux, unmovable: hash }, hasLog);
    else await this.#makeShardFolders(this.#destination.folder, pointMs, run);
    const state = {
      version: 1,
      phase: 'staged',
      pointMs,
      hasLog,
      rdbVersion: version,
      largestBytes,
      hasModules,
      ...(this.#only === undefined ? { usedBytes: facts.usedBytes, samples: [...samples.values()] } : {}),
      streamDatabase: 0,
      databases: 1 + facts.highestDatabase,
      turn: 0,
      kept: {},
      shards,
      moves: this.#moves,
    } as const;
    await saveState({ files, random: runtime.random }, state, run);
    return { entries: keys, bytes: must(this.#base, 'a base was restored').sizeBytes + this.#logBytes };
  }

  /**
   * One of each command of the log. @throws UNSUPPORTED where it is of several databases, which a cluster of Valkey may have: commands of shards go to one;
   * and where it empties a slot, which no server does that loads its own file
   */
  async #checkShardCommands(run: Run): Promise<ReadonlyMap<string, string>> {
    const samples = new Map<string, string>();
    for await (const { batch } of stagedCommands(this.#files, this.#staged, run)) {
      if ('server' in this.#destination && highestDatabase(batch) > 0) {
        throw new TidemarkError('UNSUPPORTED', 'the log of the cluster holds what was done in several databases', {
          hint: 'Restore to the moment of a base, or into files, a folder for each shard.',
        });
      }
      if (('folder' in this.#destination || this.#only !== undefined) && hasFlushedSlot(batch)) {
        throw new TidemarkError(
          'UNSUPPORTED',
          'the log of the cluster holds CLUSTER FLUSHSLOT, which files can’t hold',
          {
            hint: 'Restore all of it into a server or a cluster, or to the moment of a base.',
          },
        );
      }
      addSamples(batch, samples);
    }
    return samples;
  }

  /** A folder of each shard, on which a server of its own starts. */
  async #makeShardFolders(target: string, pointMs: number, run: Run): Promise<void> {
    const { runtime, id } = this.#context;
    const shards = this.#staged;
    const { fresh } = besideFolder(target, id);
    const hasLog = this.#logBytes > 0;
    const expiry = movedBy(shiftOf(this.#place.expiry, pointMs, runtime.clock.nowMs()));
    const owner = await ownerOf(target);
    if (hasLog) await splitCommands(this.#files, shards, run);
    const folders = shards.map(({ shard, slots }) => ({ shard, slots, name: `shard-${shard}` }));
    await makeClusterFolder({ folder: fresh, folders, owner }, run);
    for (const { shard, name } of folders) {
      const place = { folder: join(fresh, name), target: join(target, name), files: shardFiles(this.#files, shard) };
      await makeAofFolder({ ...place, hasLog, streamDatabase: 0, databases: 1, expiry, owner }, run);
    }
  }

  /** Nothing is received of a store to which nobody writes, and what expires in it grows older all the same. */
  #restoredMs(): number {
    return Math.max(this.#pointMs ?? 0, this.#context.atMs ?? 0) || this.#context.runtime.clock.nowMs();
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
