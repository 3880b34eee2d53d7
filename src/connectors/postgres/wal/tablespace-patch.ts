import type { Run } from '../../../core/run.ts';
import type { RecordWalk } from './record-walk.ts';
import type { SegmentWriter } from './segment-writer.ts';
import { inPlaceRecord } from './tablespace-record.ts';
import type { WalBytes } from './wal-bytes.ts';

/**
 * Makes a tablespace that a log creates a folder in the data directory: replayed as it stands, the record would take a folder of this host, which may be that
 * of the server that is recorded. `walk` tells of the records that create one, and all that it is to see comes through here.
 */
export class TablespacePatch {
  readonly #walk: RecordWalk;
  readonly #writer: SegmentWriter;
  hasTablespaces = false;

  constructor(walk: RecordWalk, writer: SegmentWriter) {
    this.#walk = walk;
    this.#writer = writer;
  }

  /** Lays changed records over what is written already, and over the piece that comes next. */
  async apply(piece: WalBytes, run: Run): Promise<WalBytes> {
    const records = this.#walk.add(piece);
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
