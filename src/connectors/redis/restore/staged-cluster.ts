import { open, rm } from 'node:fs/promises';
import { TidemarkError } from '../../../core/errors.ts';
import { readLogBytes } from '../../../core/log-bytes.ts';
import { must } from '../../../core/must.ts';
import type { Position } from '../../../core/position.ts';
import type { BaseReader, LogReader, StoredEntry } from '../../../core/restorer.ts';
import type { Run } from '../../../core/run.ts';
import { encodeFrame, FrameReader } from '../cluster/frames.ts';
import type { Frame } from '../cluster/frames.ts';
import { parseClusterResume } from '../cluster/positions.ts';
import type { Vector } from '../cluster/positions.ts';
import { CommandScanner } from '../commands/command-reader.ts';
import type { CommandBatch } from '../commands/command-reader.ts';
import { CRC64_BYTES, createCrc64 } from '../rdb/crc64.ts';
import { shardRdbOf } from '../stored-rdb.ts';
import { filePieces, makeWorkFolder, shardFiles, writeFileFrom } from './work-files.ts';
import { MoveCollector } from './slot-claims.ts';
import type { StagedMove } from './slot-claims.ts';
import type { StagedShard, WorkFiles } from './work-files.ts';

const RDB_END = 0xff;

/** A shard of a base. `offset`: where its stream goes on. */
export type BaseShard = { readonly shard: number; readonly offset: bigint; readonly slots: string };

/** Writes the RDBs of a base. @throws REPOSITORY_DAMAGED */
export async function stageShards(
  {
    base,
    entries,
    files,
  }: { readonly base: BaseReader; readonly entries: readonly StoredEntry[]; readonly files: WorkFiles },
  run: Run,
): Promise<{ readonly shards: readonly BaseShard[]; readonly sizeBytes: number }> {
  const shards: BaseShard[] = [];
  let sizeBytes = 0;
  await rm(files.commands, { force: true });
  for (const entry of entries) {
    const { shard, content, offset, slots } = shardRdbOf(entry);
    const own = shardFiles(files, shard);
    await makeWorkFolder(own);
    sizeBytes += await writeFileFrom(own.rdb, base.read(content, run), run);
    shards.push({ shard, offset, slots });
  }
  return { shards, sizeBytes };
}

/** `end`: where the stream stops; undefined where it stops with the log. */
type OpenShard = {
  readonly shard: number;
  readonly slots: string;
  readonly scanner: CommandScanner;
  readonly end: bigint | undefined;
  at: bigint;
  settled: number;
};

/** Takes the frames of a log, and gives what of them counts, each byte once. */
class FrameSieve {
  readonly #vector: Vector | undefined;
  readonly #shards = new Map<number, OpenShard>();
  readonly #reader = new FrameReader();
  readonly #moves = new MoveCollector();

  constructor(base: readonly BaseShard[], vector: Vector | undefined) {
    this.#vector = vector;
    for (const { shard, offset, slots } of base) this.#open(shard, offset, slots);
  }

  get moves(): readonly StagedMove[] {
    return this.#moves.done;
  }

  get shards(): readonly StagedShard[] {
    return [...this.#shards.values()].map(({ shard, slots, settled }) => ({ shard, slots, settled }));
  }

  *push(bytes: Uint8Array): Generator<Uint8Array> {
    for (const frame of this.#reader.push(bytes)) {
      const counted = this.#counted(frame);
      if (counted !== undefined) yield encodeFrame(counted);
    }
  }

  /** @throws REPOSITORY_DAMAGED when a stream did not come as far as the position says */
  assertWhole(): void {
    for (const { shard, at, end } of this.#shards.values()) {
      if (end !== undefined && at < end) throw gap(shard, at, end);
    }
  }

  #counted({ shard: number, offset, bytes }: Frame): Frame | undefined {
    // The stream of a master that joined later begins with a frame that holds nothing.
    const shard = this.#shards.get(number) ?? (bytes.byteLength === 0 ? this.#open(number, offset, '') : undefined);
    if (shard === undefined || offset > shard.at) throw gap(number, shard?.at ?? 0n, offset);
    const upTo = shard.end === undefined ? bytes.byteLength : Number(max(shard.end - offset, 0n));
    const counted = bytes.subarray(Number(max(shard.at - offset, 0n)), upTo);
    if (counted.byteLength === 0) return undefined;
    const frame = { shard: number, offset: shard.at, bytes: counted };
    shard.at += BigInt(counted.byteLength);
    const batch = shard.scanner.take(Buffer.from(counted));
    shard.settled = batch?.settled ?? shard.settled;
    if (batch !== undefined) this.#moves.take(number, batch);
    return frame;
  }

  #open(shard: number, at: bigint, slots: string): OpenShard {
    const end = this.#vector?.[shard]?.offset;
    const opened = { shard, slots, scanner: new CommandScanner(), end, at, settled: 0 };
    this.#shards.set(shard, opened);
    return opened;
  }
}

/**
 * Writes what each shard did up to a position, in the order of the log. Only commands count that end at or before it. `atMs`: the time of the last commit.
 * @throws REPOSITORY_DAMAGED when there is not all between the base and the position
 */
export async function stageFrames(
  {
    log,
    from,
    to,
    files,
  }: { readonly log: LogReader; readonly from: readonly BaseShard[]; readonly to: Position; readonly files: WorkFiles },
  run: Run,
): Promise<{
  readonly shards: readonly StagedShard[];
  readonly moves: readonly StagedMove[];
  readonly sizeBytes: number;
  readonly atMs: number | undefined;
}> {
  const { vector } = must(parseClusterResume(to.resume), 'a position of a cluster');
  const sieve = new FrameSieve(from, vector);
  let atMs: number | undefined;
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    for await (const transactions of log.read(run)) {
      for (const { entries, commit } of transactions) {
        for (const entry of entries) yield* sieve.push(readLogBytes(entry).bytes);
        atMs = commit.atMs;
      }
    }
  };
  const sizeBytes = await writeFileFrom(files.commands, pieces(), run);
  sieve.assertWhole();
  const { shards, moves } = sieve;
  for (const { shard } of shards) {
    if (!from.some((known) => known.shard === shard)) await stageEmpty(shardFiles(files, shard), run);
  }
  return { shards, moves, sizeBytes, atMs };
}

/** Of a master that joined after the base, before it got anything. */
async function stageEmpty(files: WorkFiles, run: Run): Promise<void> {
  await makeWorkFolder(files);
  const rdb = Buffer.concat([Buffer.from('REDIS0009'), Buffer.of(RDB_END), Buffer.alloc(CRC64_BYTES)]);
  const crc = createCrc64();
  crc.update(rdb.subarray(0, -CRC64_BYTES));
  crc.write(rdb, rdb.byteLength - CRC64_BYTES);
  await writeFileFrom(files.rdb, once(rdb), run);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The commands that count, as they lie in the log, with the shard that did them. */
export async function* stagedCommands(
  files: WorkFiles,
  shards: readonly StagedShard[],
  run: Run,
): AsyncGenerator<{ readonly shard: number; readonly batch: CommandBatch }> {
  const open = new Map(shards.map(({ shard, settled }) => [shard, { scanner: new CommandScanner(), left: settled }]));
  const reader = new FrameReader();
  for await (const piece of filePieces(files.commands, run)) {
    for (const { shard, bytes } of reader.push(piece)) {
      const state = must(open.get(shard), 'a shard that was staged');
      const counted = bytes.subarray(0, state.left);
      state.left -= counted.byteLength;
      const batch = counted.byteLength === 0 ? undefined : state.scanner.take(counted);
      if (batch !== undefined) yield { shard, batch };
    }
  }
  for (const [shard, { left }] of open) {
    if (left > 0) throw new TidemarkError('REPOSITORY_DAMAGED', `the commands of shard ${shard} are not whole`);
  }
}

/** Writes the commands of each shard into a file of its own. */
export async function splitCommands(files: WorkFiles, shards: readonly StagedShard[], run: Run): Promise<void> {
  await using opened = new AsyncDisposableStack();
  const byShard = new Map(
    await Promise.all(
      shards.map(async ({ shard }) => {
        const own = shardFiles(files, shard);
        await makeWorkFolder(own);
        return [shard, opened.use(await open(own.commands, 'w', 0o600))] as const;
      }),
    ),
  );
  for await (const { shard, batch } of stagedCommands(files, shards, run)) {
    await must(byShard.get(shard), 'a file of the shard').write(batch.bytes);
  }
}

function max(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}

function gap(shard: number, from: bigint, to: bigint): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', `the log lacks what shard ${shard} did between ${from} and ${to}`);
}
