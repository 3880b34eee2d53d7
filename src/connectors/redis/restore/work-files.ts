import { constants } from 'node:fs';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fromSystem, systemCode, TidemarkError } from '../../../core/errors.ts';
import type { RandomBytes, Run } from '../../../core/run.ts';
import { replaceFile, syncFolder } from '../../../io/atomic-file.ts';
import { readFully, writePieces } from '../../../io/file-pieces.ts';
import type { StagedMove } from './slot-claims.ts';

/** What a restore keeps in its own folder. */
export type WorkFiles = {
  readonly folder: string;
  /** The base, and the commands that follow it up to the point. */
  readonly rdb: string;
  readonly commands: string;
  /** For a part of the keys: all of them as they were at the point. */
  readonly chosen: string;
  readonly state: string;
  /** What was there before: before the restore for 0, before its undos from 1. Of a cluster there are several parts. */
  kept(turn: number, part?: number): string;
  /** What followed that, up to when it was removed. */
  keptCommands(turn: number, part?: number): string;
};

/** The same of one shard of a cluster; the commands of all of them lie in one file. */
export function shardFiles({ folder }: WorkFiles, shard: number): WorkFiles {
  return workFilesIn(join(folder, `shard-${shard}`));
}

export function workFilesIn(folder: string): WorkFiles {
  return {
    folder,
    rdb: join(folder, 'dump.rdb'),
    commands: join(folder, 'commands'),
    chosen: join(folder, 'chosen.rdb'),
    state: join(folder, 'restore.json'),
    kept: (turn, part = 0) => join(folder, part === 0 ? `kept-${turn}.rdb` : `kept-${turn}.${part}.rdb`),
    keptCommands: (turn, part = 0) => join(folder, `kept-${turn}.${part}.commands`),
  };
}

/**
 * What was staged of a shard. `settled`: how many bytes of its commands count. `slots`: those that it had at the base; none where it came later.
 */
export type StagedShard = {
  readonly shard: number;
  readonly slots: string;
  readonly settled: number;
};

/**
 * How far a restore is. `pointMs`: the moment. `replacing`: the place may hold anything, and only by finishing it comes right. `kept`: of the turn, whether
 * something was there before. `turn`: how many undos there have been, with the one that is under way. `hasLog`: commands follow the RDB.
 */
export type RestoreState = {
  readonly version: 1;
  readonly phase: 'staged' | 'replacing' | 'done';
  readonly pointMs: number;
  readonly hasLog: boolean;
  /** Of the RDB, and of the largest value in it. */
  readonly rdbVersion: number;
  readonly largestBytes: number;
  /** What the RDB's server said that it took in memory; 0 where it does not say. */
  readonly usedBytes?: number | undefined;
  /** Values that only modules understand are among them. */
  readonly hasModules?: boolean | undefined;
  /** One of each command of the log, in the protocol's form and Latin-1. */
  readonly samples?: readonly string[] | undefined;
  /** In which the commands begin; and how many a server must have. */
  readonly streamDatabase: number;
  readonly databases: number;
  readonly turn: number;
  readonly kept: Readonly<Record<string, boolean>>;
  /** Of a cluster: in how many parts that was kept, by turn, where it is not one. */
  readonly keptParts?: Readonly<Record<string, number>> | undefined;
  /** Of a cluster that was recorded. */
  readonly shards?: readonly StagedShard[] | undefined;
  /** Of such a one: slots that moved at once, in the order in which that ended. */
  readonly moves?: readonly StagedMove[] | undefined;
  /** Of a folder that is being put in place: its inode. */
  readonly coming?: string | undefined;
  /** Of servers that are being replaced: keys that say in them that what was there has been removed; and their processes, when that is certain. */
  readonly marks?: readonly string[] | undefined;
  readonly runIds?: readonly string[] | undefined;
};

/** Undefined when there is none yet. @throws RESTORE_FAILED for what is none */
export async function readState(files: WorkFiles): Promise<RestoreState | undefined> {
  let text: string;
  try {
    text = await readFile(files.state, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fromSystem(error, 'RESTORE_FAILED', `${files.state} can’t be read`);
  }
  const found: unknown = JSON.parse(text);
  if (typeof found === 'object' && found !== null && 'version' in found && found.version === 1) {
    return found as RestoreState; // It is written by `saveState` alone.
  }
  throw new TidemarkError('RESTORE_FAILED', `${files.state} was written by a newer Tidemark`);
}

/** Durable when it resolves. */
export async function saveState(
  { files, random }: { readonly files: WorkFiles; readonly random: RandomBytes },
  state: RestoreState,
  run: Run,
): Promise<RestoreState> {
  await replaceFile(files.state, [Buffer.from(JSON.stringify(state))], { mode: 0o600, random }, run);
  return state;
}

export async function makeWorkFolder({ folder }: WorkFiles): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
}

/** Writes what is pulled into a new file, in the place of one that an earlier call left; durable when it resolves. Returns its size. */
export async function writeFileFrom(path: string, pieces: AsyncIterable<Uint8Array>, run: Run): Promise<number> {
  try {
    await rm(path, { force: true });
    await using file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    let sizeBytes = 0;
    for await (const piece of pieces) {
      await writePieces(file, [piece], { run });
      sizeBytes += piece.byteLength;
    }
    await file.sync();
    await syncFolder(join(path, '..'));
    return sizeBytes;
  } catch (error) {
    throw fromSystem(error, 'RESTORE_FAILED', `${path} can’t be written`);
  }
}

const PIECE_BYTES = 512 * 1024;

/** The bytes of a file, or of a part of it, in pieces that are the caller's to keep. */
export async function* filePieces(
  path: string,
  run: Run,
  { from = 0, to = Infinity }: { readonly from?: number; readonly to?: number } = {},
): AsyncGenerator<Buffer> {
  await using file = await open(path, constants.O_RDONLY);
  for (let at = from; at < to; ) {
    const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, to - at));
    const filled = await readFully(file, at, piece, run);
    if (filled === 0) return;
    at += filled;
    yield piece.subarray(0, filled);
  }
}

/** Small enough to stay in the processor's cache while it is looked at. */
const LENT_BYTES = 256 * 1024;

/** The bytes of a file in pieces that are valid until the next one is pulled. */
export async function* lentPieces(path: string, run: Run): AsyncGenerator<Uint8Array> {
  await using file = await open(path, constants.O_RDONLY);
  const piece = Buffer.allocUnsafeSlow(LENT_BYTES);
  for (let at = 0; ; ) {
    const filled = await readFully(file, at, piece, run);
    if (filled === 0) return;
    at += filled;
    yield piece.subarray(0, filled);
  }
}
