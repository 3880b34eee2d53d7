import { crc32 } from 'node:zlib';

/** What is put into a spool: the spool looks into neither part. */
export type SpoolEntry = { readonly label: Uint8Array; readonly body: readonly Uint8Array[] };

/** What comes out. `label` and `body` are parts of a buffer that the records of a batch share. */
export type SpoolRecord = { readonly sequence: number; readonly label: Uint8Array; readonly body: Uint8Array };

/*
 * A record is, with numbers in little endian: marker (4 bytes), sequence (8), length of the label (4), length of the body (4),
 * CRC-32 (4) over the file's seed, what comes before the CRC, label and body; then label and body.
 *
 * The first record of each flush has a marker of its own: it says that all before it was on the disk when it was written. A bad
 * record with such a marker behind it is damage; one without was being written when the machine stopped.
 */
const FLUSHED_BEFORE = Buffer.from('TMf\u0001', 'latin1');
const SAME_FLUSH = Buffer.from('TMs\u0001', 'latin1');
const SEQUENCE = 4;
const LABEL_BYTES = 12;
const BODY_BYTES = 16;
const CHECKSUM = 20;
const HEADER_BYTES = 24;

export function recordBytes({ label, body }: SpoolEntry): number {
  return HEADER_BYTES + label.byteLength + bodyBytes(body);
}

function bodyBytes(body: readonly Uint8Array[]): number {
  return body.reduce((sum, part) => sum + part.byteLength, 0);
}

export type RecordPlace = { readonly sequence: number; readonly seed: number; readonly startsFlush: boolean };

/** The record's bytes in order; those of the body are the entry's own. */
export function encodeRecord({ label, body }: SpoolEntry, { sequence, seed, startsFlush }: RecordPlace): Uint8Array[] {
  const head = Buffer.allocUnsafe(HEADER_BYTES + label.byteLength);
  head.set(startsFlush ? FLUSHED_BEFORE : SAME_FLUSH);
  head.writeBigUInt64LE(BigInt(sequence), SEQUENCE);
  head.writeUInt32LE(label.byteLength, LABEL_BYTES);
  head.writeUInt32LE(bodyBytes(body), BODY_BYTES);
  head.set(label, HEADER_BYTES);
  const overHead = crc32(label, crc32(head.subarray(0, CHECKSUM), seed));
  head.writeUInt32LE(
    body.reduce((crc, part) => crc32(part, crc), overHead),
    CHECKSUM,
  );
  return [head, ...body.filter((part) => part.byteLength > 0)];
}

export type DecodedRecord =
  | { readonly kind: 'record'; readonly record: SpoolRecord; readonly sizeBytes: number }
  /** What is there fits, and the record goes on; it has so many bytes, or at least so many. */
  | { readonly kind: 'cut'; readonly sizeBytes: number }
  | { readonly kind: 'bad' };

/** The record that `bytes` begins with, if it is a whole one of this sequence number and file. */
export function decodeRecord(bytes: Buffer, sequence: number, seed: number): DecodedRecord {
  if (bytes.byteLength < HEADER_BYTES) return { kind: 'cut', sizeBytes: HEADER_BYTES };
  const marker = bytes.subarray(0, SEQUENCE);
  if (!marker.equals(FLUSHED_BEFORE) && !marker.equals(SAME_FLUSH)) return { kind: 'bad' };
  if (bytes.readBigUInt64LE(SEQUENCE) !== BigInt(sequence)) return { kind: 'bad' };
  const bodyOffset = HEADER_BYTES + bytes.readUInt32LE(LABEL_BYTES);
  const sizeBytes = bodyOffset + bytes.readUInt32LE(BODY_BYTES);
  if (sizeBytes > bytes.byteLength) return { kind: 'cut', sizeBytes };
  const crc = crc32(bytes.subarray(HEADER_BYTES, sizeBytes), crc32(bytes.subarray(0, CHECKSUM), seed));
  if (crc !== bytes.readUInt32LE(CHECKSUM)) return { kind: 'bad' };
  const label = bytes.subarray(HEADER_BYTES, bodyOffset);
  return { kind: 'record', record: { sequence, label, body: bytes.subarray(bodyOffset, sizeBytes) }, sizeBytes };
}

/**
 * Where in `bytes` the next flush begins, from `offset` on, with a whole record of a number from `sequence` on. A spool's bytes inside of a
 * body are not taken for one: their file has another seed.
 */
export function findFlush(
  bytes: Buffer,
  from: { readonly offset: number; readonly sequence: number },
  seed: number,
): { readonly offset: number; readonly sequence: number } | undefined {
  for (
    let at = bytes.indexOf(FLUSHED_BEFORE, from.offset);
    at >= 0 && at + HEADER_BYTES <= bytes.byteLength;
    at = bytes.indexOf(FLUSHED_BEFORE, at + 1)
  ) {
    const sequence = Number(bytes.readBigUInt64LE(at + SEQUENCE));
    if (sequence < from.sequence || !Number.isSafeInteger(sequence)) continue;
    if (decodeRecord(bytes.subarray(at), sequence, seed).kind === 'record') return { offset: at, sequence };
  }
  return undefined;
}
