import { must } from '../../../core/must.ts';
import { mainData, RECORD_HEADER_BYTES } from './main-data.ts';

const CHECKSUM_AT = 20;

const TABLESPACE = 5;
const CREATE = 0;

/** Whether a record creates a tablespace: that names a folder of the host that it was made on. */
export function isTablespaceRecord(resourceManager: number, information: number): boolean {
  return resourceManager === TABLESPACE && (information & 0xf0) === CREATE;
}

export type TablespaceCreation = { readonly oid: number; readonly path: string };

/** What a record says that creates a tablespace. */
export function readTablespaceRecord(record: Uint8Array): TablespaceCreation {
  const data = mainData(record);
  const end = data.indexOf(0, 4);
  return { oid: data.readUInt32LE(0), path: data.subarray(4, end < 0 ? undefined : end).toString() };
}

/** The same record for a tablespace that is a folder in the data directory itself: the server reads an empty path so. */
export function inPlaceRecord(record: Uint8Array): Uint8Array {
  const changed = Buffer.from(record);
  mainData(changed).fill(0, 4);
  const checksum = crc32c([changed.subarray(RECORD_HEADER_BYTES), changed.subarray(0, CHECKSUM_AT)]);
  changed.writeUInt32LE(checksum, CHECKSUM_AT);
  return changed;
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
