import { must } from '../../../core/must.ts';

export const RECORD_HEADER_BYTES = 24;
const ORIGIN = 253;
const TOP_TRANSACTION = 252;
const SHORT_DATA = 255;

/** What a record without pages says. It stands at the end, behind headers of a byte that says what they are. */
export function mainData(record: Uint8Array): Buffer {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  let at = RECORD_HEADER_BYTES;
  for (;;) {
    const id = must(bytes[at], 'the main data of a record');
    if (id === ORIGIN) at += 3;
    else if (id === TOP_TRANSACTION) at += 5;
    else return bytes.subarray(at + (id === SHORT_DATA ? 2 : 5));
  }
}
