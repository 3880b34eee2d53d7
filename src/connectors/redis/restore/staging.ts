import { rm, truncate } from 'node:fs/promises';
import { TidemarkError } from '../../../core/errors.ts';
import { readLogBytes } from '../../../core/log-bytes.ts';
import type { Position } from '../../../core/position.ts';
import { quoted } from '../../../core/printable.ts';
import type { BaseReader, LogReader } from '../../../core/restorer.ts';
import type { Run } from '../../../core/run.ts';
import { RDB_ENTRY } from '../base.ts';
import { CommandScanner, commandName, readCommands } from '../commands/command-reader.ts';
import type { CommandBatch } from '../commands/command-reader.ts';
import { highestDatabase } from '../commands/databases-used.ts';
import type { KeyFilter } from '../key-patterns.ts';
import { keyOf, readRdb } from '../rdb/rdb-reader.ts';
import type { RdbKey } from '../rdb/rdb-reader.ts';
import { valueVersion } from '../rdb/value-skipper.ts';
import { wholeRdbOf } from '../stored-rdb.ts';
import { isUnmovable } from './load-rdb.ts';
import { filePieces, lentPieces, writeFileFrom } from './work-files.ts';
import type { WorkFiles } from './work-files.ts';

/** The type of values that only their module understands. */
const MODULE_VALUE = 7;
/** A longer command is no sample: of most there are short ones. */
const MOST_SAMPLE_BYTES = 16 * 1024;
/** They change nothing by themselves. */
const NO_SAMPLES: ReadonlySet<string> = new Set([
  '',
  'CLUSTER',
  'EXEC',
  'MULTI',
  'PING',
  'PUBLISH',
  'REPLCONF',
  'RESTORE-ASKING',
  'SELECT',
  'SPUBLISH',
]);

/** What a base says of itself. `offset`: where the log goes on; undefined where there is none. */
export type StagedBase = { readonly offset: bigint | undefined; readonly sizeBytes: number };

/** Writes the RDB of a base. @throws REPOSITORY_DAMAGED when it has none */
export async function stageBase(base: BaseReader, files: WorkFiles, run: Run): Promise<StagedBase> {
  const { content, offset } = wholeRdbOf(await base.find(Buffer.from(RDB_ENTRY), run));
  await rm(files.commands, { force: true });
  const sizeBytes = await writeFileFrom(files.rdb, base.read(content, run), run);
  return { offset, sizeBytes };
}

export type StagedLog = { readonly sizeBytes: number; readonly atMs: number | undefined };

/**
 * Writes the commands that end at or before a position, transactions whole. `atMs`: the time of the last commit.
 * @throws REPOSITORY_DAMAGED when there is not all between the base and the position
 */
export async function stageLog(
  {
    log,
    from,
    to,
    files,
  }: { readonly log: LogReader; readonly from: bigint | undefined; readonly to: Position; readonly files: WorkFiles },
  run: Run,
): Promise<StagedLog> {
  const end = BigInt(to.order);
  if (from === undefined || end === from) return { sizeBytes: 0, atMs: undefined };
  const scanner = new CommandScanner();
  let at = from;
  let settled = 0;
  let atMs: number | undefined;
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    for await (const transactions of log.read(run)) {
      for (const { entries, commit } of transactions) {
        for (const entry of entries) {
          const { start, bytes } = readLogBytes(entry);
          const wanted = bytes.subarray(Number(max(at - start, 0n)), Number(max(end - start, 0n)));
          if (start > at) throw gap(at, start);
          if (wanted.byteLength === 0) continue;
          at += BigInt(wanted.byteLength);
          settled = scanner.take(wanted)?.settled ?? settled;
          yield wanted;
        }
        if (BigInt(commit.position.order) <= end) atMs = commit.atMs;
      }
    }
  };
  await writeFileFrom(files.commands, pieces(), run);
  if (at < end) throw gap(at, end);
  await truncate(files.commands, settled);
  return { sizeBytes: settled, atMs };
}

function max(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}

function gap(from: bigint, to: bigint): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', `the log lacks what lies between the offsets ${from} and ${to}`);
}

export type StagedFacts = {
  readonly keys: number;
  readonly largestBytes: number;
  /** The least version of RDB that a server has to know to take the values. */
  readonly version: number;
  /** By the server that wrote it; undefined where it does not say. */
  readonly madeAtMs: number | undefined;
  /** In which the commands that follow begin. */
  readonly streamDatabase: number;
  readonly highestDatabase: number;
  /** The memory that its server took; 0 where it does not say. */
  readonly usedBytes: number;
  readonly hasModules: boolean;
  /** A module that keeps data beside the keys. */
  readonly moduleAux: string | undefined;
  /** A hash that is too large to move the expiry of its fields on the way to a server. */
  readonly unmovable: string | undefined;
};

/** Reads an RDB that was staged to its end. `only`: of which keys to look for what can't be sent. @throws UNSUPPORTED, REPOSITORY_DAMAGED */
export async function checkRdb(path: string, run: Run, only?: KeyFilter): Promise<StagedFacts> {
  let [keys, largestBytes, rdbVersion] = [0, 0, 0];
  let [streamDatabase, highest] = [0, 0];
  let usedBytes = 0;
  let hasModules = false;
  let [madeAtMs, moduleAux, unmovable]: [number?, string?, string?] = [];
  for await (const { items, version } of readRdb(lentPieces(path, run))) {
    for (const item of items) {
      rdbVersion = Math.max(rdbVersion, valueVersion(item.kind === 'key' ? item.type : 0, version));
      if (item.kind === 'key') {
        keys += 1;
        largestBytes = Math.max(largestBytes, item.sizeBytes);
        hasModules ||= item.type === MODULE_VALUE && only?.(item.database, keyOf(item)) !== false;
        if (isUnmovable(item) && only?.(item.database, keyOf(item)) !== false) unmovable ??= nameOf(item);
      } else if (item.kind === 'database') highest = Math.max(highest, item.index);
      else if (item.kind === 'aux' && item.name === 'ctime') madeAtMs = Number(item.value) * 1000;
      else if (item.kind === 'aux' && item.name === 'used-mem') usedBytes = Number(item.value);
      else if (item.kind === 'moduleAux') moduleAux ??= item.module;
      else if (item.kind === 'aux' && item.name === 'repl-stream-db') streamDatabase = Number(item.value);
    }
  }
  const found = { keys, largestBytes, version: rdbVersion, madeAtMs, streamDatabase, highestDatabase: highest };
  return { ...found, usedBytes, hasModules, moduleAux, unmovable };
}

function nameOf(key: RdbKey): string {
  return quoted(Buffer.from(keyOf(key)).toString());
}

/** `samples`: one of each command, as it is in the file. */
export type CheckedCommands = { readonly highestDatabase: number; readonly samples: readonly string[] };

/** Reads commands that were staged to their end. @throws REPOSITORY_DAMAGED */
export async function checkCommands(path: string, sizeBytes: number, run: Run): Promise<CheckedCommands> {
  let settled = 0;
  let highest = 0;
  const samples = new Map<string, string>();
  for await (const batch of readCommands(filePieces(path, run))) {
    settled = batch.settled;
    highest = Math.max(highest, highestDatabase(batch));
    addSamples(batch, samples);
  }
  if (settled === sizeBytes) return { highestDatabase: highest, samples: [...samples.values()] };
  throw new TidemarkError('REPOSITORY_DAMAGED', 'the commands of the log are not whole');
}

/** Of commands that there are no samples of yet. */
export function addSamples({ bytes, starts }: CommandBatch, samples: Map<string, string>): void {
  for (const [index, start] of starts.entries()) {
    const name = commandName(bytes, start);
    if (samples.has(name) || NO_SAMPLES.has(name)) continue;
    const end = starts[index + 1] ?? bytes.byteLength;
    if (end - start <= MOST_SAMPLE_BYTES) samples.set(name, bytes.toString('latin1', start, end));
  }
}
