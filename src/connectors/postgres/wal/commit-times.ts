import { mainData, RECORD_HEADER_BYTES } from './main-data.ts';
import { RecordWalk } from './record-walk.ts';
import type { WalShape } from './shape.ts';
import type { WalBytes } from './wal-bytes.ts';

/** By the numbers that the server gives them: the manager of transactions, and its records that make something visible. */
const TRANSACTION = 1;
const COMMIT = 0;
const COMMIT_PREPARED = 0x30;
const KIND = 0x70;
/** The longest headers, and the time. */
const MOST_BYTES = 48;
const TIME_BYTES = 8;

/** Milliseconds from 1970 to 2000, from where the server counts microseconds. */
const SERVER_EPOCH_MS = 946_684_800_000;

/** A transaction was committed by a record that ends at a place. */
export type CommitTime = { readonly end: bigint; readonly atMs: number };

/** Finds when transactions were committed, by the server's clock, in a log that begins anywhere. */
export class CommitTimes {
  readonly #walk: RecordWalk;

  constructor(shape: Pick<WalShape, 'pageBytes' | 'segmentBytes'>) {
    this.#walk = new RecordWalk({ shape, isWanted: isCommit, mostBytes: MOST_BYTES });
  }

  /** The bytes that follow. Commits that became whole with them are returned, in their order. */
  add(piece: Pick<WalBytes, 'start' | 'bytes'>): readonly CommitTime[] {
    const times: CommitTime[] = [];
    for (const { bytes, end } of this.#walk.add(piece)) {
      const data = bytes.byteLength > RECORD_HEADER_BYTES ? mainData(bytes) : undefined;
      // A server that writes others than PostgreSQL's is recorded all the same.
      if (data === undefined || data.byteLength < TIME_BYTES) continue;
      times.push({ end, atMs: serverMs(data.readBigInt64LE(0)) });
    }
    return times;
  }
}

function isCommit(resourceManager: number, information: number): boolean {
  const kind = information & KIND;
  return resourceManager === TRANSACTION && (kind === COMMIT || kind === COMMIT_PREPARED);
}

/** Not before it was: up to a moment nothing is to be restored that came after it. */
export function serverMs(microseconds: bigint): number {
  return SERVER_EPOCH_MS + Number((microseconds + 999n) / 1_000n);
}

export function serverTime(timeMs: number): bigint {
  return BigInt(Math.round((timeMs - SERVER_EPOCH_MS) * 1_000));
}
