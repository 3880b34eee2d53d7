import { join } from 'node:path';
import type { LogReader } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import type { BaseFacts } from './base-facts.ts';
import type { WalPlace } from './lsn.ts';
import { putOwned } from './owner.ts';
import type { Owner } from './owner.ts';
import { historyName } from './wal/history.ts';
import { RecordWalk } from './wal/record-walk.ts';
import type { KeptRecord } from './wal/record-walk.ts';
import { SegmentWriter } from './wal/segment-writer.ts';
import type { WalFile } from './wal/segment-writer.ts';
import { inPlaceRecord, isTablespaceRecord } from './wal/tablespace-record.ts';
import { Timelines } from './wal/timelines.ts';
import { walBytes } from './wal/wal-bytes.ts';
import type { WalBytes } from './wal/wal-bytes.ts';

export type WalFeedOptions = {
  readonly facts: BaseFacts;
  readonly to: WalPlace;
  /** Where the files go. */
  readonly folder: string;
  readonly owner: Owner;
  /** Each file is on the disk before it gets its name. */
  readonly durable: boolean;
};

/**
 * Makes files for a recovery of a stored log. A tablespace that the log creates becomes a folder in the data directory: replayed as it stands, the record
 * would take a folder of this host, which may be that of the server that is recorded.
 */
export class WalFeed implements AsyncDisposable {
  readonly #to: bigint;
  readonly #writer: SegmentWriter;
  readonly #walk: RecordWalk;

  constructor({ facts, to, folder, owner, durable }: WalFeedOptions) {
    const timelines = new Timelines(facts.timeline, facts.history);
    this.#to = to.lsn;
    // Without one a server takes no later timeline than the first for one that exists. Where the log tells what was before, that takes its place.
    if (facts.timeline > 1 && facts.history === undefined) {
      putOwned(join(folder, historyName(facts.timeline)), '# not in the repository\n', owner);
    }
    this.#writer = new SegmentWriter({ folder, shape: facts.shape, timelines, owner, durable });
    this.#walk = new RecordWalk({ shape: facts.shape, from: facts.redo, isWanted: isTablespaceRecord });
  }

  /** Where the last whole record ends. */
  get end(): bigint {
    return this.#walk.end;
  }

  /** The log creates tablespaces: for the recovery they are folders in the data directory. */
  hasTablespaces = false;

  /** Tells of each file once it is whole. */
  async *files(log: LogReader, run: Run): AsyncGenerator<WalFile> {
    for await (const piece of walBytes(log, this.#to, run)) {
      const written = await this.#patch(this.#walk.add(piece), piece, run);
      yield* this.#writer.add(written, run);
    }
    yield* this.#writer.finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
  }

  /** Lays changed records over what is written already, and over the piece that comes next. */
  async #patch(records: readonly KeptRecord[], piece: WalBytes, run: Run): Promise<WalBytes> {
    if (records.length === 0) return piece;
    this.hasTablespaces = true;
    const bytes = Buffer.from(piece.bytes);
    for (const { bytes: record, places } of records) {
      const changed = inPlaceRecord(record);
      let at = 0;
      for (const { lsn, sizeBytes } of places) {
        const part = changed.subarray(at, at + sizeBytes);
        at += sizeBytes;
        await this.#put(part, lsn, { start: piece.start, bytes }, run);
      }
    }
    return { ...piece, bytes };
  }

  async #put(
    part: Uint8Array,
    lsn: bigint,
    next: { readonly start: bigint; readonly bytes: Buffer },
    run: Run,
  ): Promise<void> {
    // A part of one page may begin before the piece.
    const before = Number(clamp(next.start - lsn, BigInt(part.byteLength)));
    if (before > 0) await this.#writer.overwrite(lsn, part.subarray(0, before), run);
    if (before < part.byteLength) next.bytes.set(part.subarray(before), Number(lsn + BigInt(before) - next.start));
  }
}

function clamp(value: bigint, most: bigint): bigint {
  if (value < 0n) return 0n;
  return value > most ? most : value;
}
