import { must } from '../../../core/must.ts';

const RECORD_HEADER_BYTES = 24;
const CHECKSUM_AT = 20;
const ORIGIN = 253;
const TOP_TRANSACTION = 252;
const SHORT_DATA = 255;

export type TablespaceCreation = { readonly oid: number; readonly path: string };

/** What a record says that creates a tablespace. */
export function readTablespaceRecord(record: Uint8Array): TablespaceCreation {
  const data = dataOf(record);
  const end = data.indexOf(0, 4);
  return { oid: data.readUInt32LE(0), path: data.subarray(4, end < 0 ? undefined : end).toString() };
}

/** The same record for a tablespace that is a folder in the data directory itself: the server reads an empty path so. */
export function inPlaceRecord(record: Uint8Array): Uint8Array {
  const changed = Buffer.from(record);
  dataOf(changed).fill(0, 4);
  const checksum = crc32c([changed.subarray(RECORD_HEADER_BYTES), changed.subarray(0, CHECKSUM_AT)]);
  changed.writeUInt32LE(checksum, CHECKSUM_AT);
  return changed;
}

/** The main data stand at the end, behind headers of a byte that says what they are. */
function dataOf(record: Uint8Array): Buffer {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  let at = RECORD_HEADER_BYTES;
  for (;;) {
    const id = must(bytes[at], 'the main data of a record');
    if (id === ORIGIN) at += 3;
    else if (id === TOP_TRANSACTION) at += 5;
    else return bytes.subarray(at + (id === SHORT_DATA ? 2 : 5));
  }
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ 0x82f63b78;
  return value >>> 0;
});

/** The checksum (Castagnoli) with which the server protects a record, of the pieces one after another. */
export function crc32c(pieces: readonly Uint8Array[]): number {
  let value = 0xffffffff;
  for (const piece of pieces) {
    for (const byte of piece) value = (value >>> 8) ^ must(TABLE[(value ^ byte) & 0xff], 'a byte');
  }
  return (value ^ 0xffffffff) >>> 0;
}
