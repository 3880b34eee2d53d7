import type { FileHandle } from 'node:fs/promises';
import type { Run } from '../core/run.ts';
import { readFully } from './file-pieces.ts';
import { decodeRecord, findFlush } from './spool-record.ts';
import type { SpoolRecord } from './spool-record.ts';

/** Where a record begins, or will begin. */
export type SpoolPlace = { readonly offset: number; readonly sequence: number };

/** Of a file, what may be read: its first `sizeBytes` bytes. */
export type SpoolSource = { readonly handle: FileHandle; readonly seed: number; readonly sizeBytes: number };

export type SpoolBatch = { readonly records: readonly SpoolRecord[]; readonly next: SpoolPlace };

const BATCH_BYTES = 2 ** 20;

/**
 * The records from a place on, up to number `last`: at most 1 MiB of them, or a single one that is larger. None when there is no whole
 * record at that place.
 */
export async function readRecords(source: SpoolSource, from: SpoolPlace, last: number, run: Run): Promise<SpoolBatch> {
  const { seed, sizeBytes } = source;
  const leftBytes = sizeBytes - from.offset;
  let bytes = await readBytes(source, from.offset, Math.min(BATCH_BYTES, leftBytes), run);
  const first = decodeRecord(bytes, from.sequence, seed);
  if (first.kind === 'cut' && first.sizeBytes > bytes.byteLength && first.sizeBytes <= leftBytes) {
    bytes = await readBytes(source, from.offset, first.sizeBytes, run);
  }
  const records: SpoolRecord[] = [];
  let at = 0;
  for (let sequence = from.sequence; sequence <= last; sequence += 1) {
    const decoded = decodeRecord(bytes.subarray(at), sequence, seed);
    if (decoded.kind !== 'record') break;
    records.push(decoded.record);
    at += decoded.sizeBytes;
  }
  return { records, next: { offset: from.offset + at, sequence: from.sequence + records.length } };
}

/** Fewer bytes than asked where the file ends. */
async function readBytes({ handle }: SpoolSource, offset: number, sizeBytes: number, run: Run): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  return bytes.subarray(0, await readFully(handle, offset, bytes, run));
}

export type SpoolScan = {
  /** Where the last whole record ends; what comes behind was being written when the machine stopped. */
  readonly end: SpoolPlace;
  /** Something before the end is not as it was written. */
  readonly damaged: boolean;
};

/** Looks through a whole file whose first record has the number `first`. */
export async function scanSpoolFile(source: SpoolSource, first: number, run: Run): Promise<SpoolScan> {
  let place: SpoolPlace = { offset: 0, sequence: first };
  let damaged = false;
  for (;;) {
    run.signal.throwIfAborted();
    const { records, next } = await readRecords(source, place, Number.MAX_SAFE_INTEGER, run);
    place = next;
    if (records.length > 0) continue;
    if (place.offset === source.sizeBytes) return { end: place, damaged };
    const rest = await readBytes(source, place.offset, source.sizeBytes - place.offset, run);
    const later = findFlush(rest, { offset: 1, sequence: place.sequence + 1 }, source.seed);
    if (later === undefined) return { end: place, damaged };
    damaged = true;
    place = { offset: place.offset + later.offset, sequence: later.sequence };
  }
}
