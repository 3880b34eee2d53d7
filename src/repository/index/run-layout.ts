import { crc32 } from 'node:zlib';
import { INDEX_RECORD_BYTES } from '../format/index-object.ts';

/**
 * A run is a file of pages:
 *
 *   page 0            magic u32, version u32, tag (8), then u32 each: recordCount, pageCount, packCount, filterBytes,
 *                     tablesCrc
 *   pages 1 to n      up to 39 records, ascending by id; then tag (8), number of the page u32, records in it u32
 *   tables            first id's head of each page (u32 each), pack ids (32 each), filter
 *
 * Each page ends with a CRC-32 of the rest of it; `tablesCrc` is of the tables. The pack of a record counts into the
 * pack ids. Numbers are little-endian. The tag is random, so that a page of another file is not taken for one
 * of this.
 */
export const PAGE_BYTES = 2048;
export const RECORDS_PER_PAGE = 39;
export const TAG_BYTES = 8;

const MAGIC = 0x524c4d54;
const VERSION = 1;
const PAGE_TAG = RECORDS_PER_PAGE * INDEX_RECORD_BYTES;
const PAGE_NUMBER = PAGE_TAG + TAG_BYTES;
const PAGE_RECORDS = PAGE_NUMBER + 4;
const PAGE_CRC = PAGE_BYTES - 4;

export type RunHeader = {
  readonly tag: Uint8Array;
  readonly recordCount: number;
  readonly pageCount: number;
  readonly packCount: number;
  readonly filterBytes: number;
  readonly tablesCrc: number;
};

/** The page's trailer over the records that are in `page` already. The rest of it must be zero. */
export function finishPage(page: Buffer, tag: Uint8Array, number: number, recordCount: number): void {
  page.set(tag, PAGE_TAG);
  page.writeUInt32LE(number, PAGE_NUMBER);
  page.writeUInt32LE(recordCount, PAGE_RECORDS);
  page.writeUInt32LE(crc32(page.subarray(0, PAGE_CRC)), PAGE_CRC);
}

/**
 * How many records the page holds; -1 when it is damaged or another page than number `number` of the run with `tag`.
 */
export function checkPage(page: Buffer, tag: Uint8Array, number: number): number {
  if (crc32(page.subarray(0, PAGE_CRC)) !== page.readUInt32LE(PAGE_CRC)) return -1;
  for (let at = 0; at < TAG_BYTES; at += 1) {
    if (page[PAGE_TAG + at] !== tag[at]) return -1;
  }
  const recordCount = page.readUInt32LE(PAGE_RECORDS);
  return page.readUInt32LE(PAGE_NUMBER) === number && recordCount > 0 && recordCount <= RECORDS_PER_PAGE
    ? recordCount
    : -1;
}

export function encodeRunHeader(header: RunHeader): Buffer {
  const page = Buffer.alloc(PAGE_BYTES);
  page.writeUInt32LE(MAGIC, 0);
  page.writeUInt32LE(VERSION, 4);
  page.set(header.tag, 8);
  const numbers = [header.recordCount, header.pageCount, header.packCount, header.filterBytes, header.tablesCrc];
  numbers.forEach((value, index) => page.writeUInt32LE(value, 16 + index * 4));
  page.writeUInt32LE(crc32(page.subarray(0, PAGE_CRC)), PAGE_CRC);
  return page;
}

/** Undefined when it is not the header of a run as this Tidemark writes it, or does not fit a file of that size. */
export function decodeRunHeader(page: Buffer, fileBytes: number): RunHeader | undefined {
  if (page.byteLength < PAGE_BYTES || crc32(page.subarray(0, PAGE_CRC)) !== page.readUInt32LE(PAGE_CRC)) {
    return undefined;
  }
  if (page.readUInt32LE(0) !== MAGIC || page.readUInt32LE(4) !== VERSION) return undefined;
  const header = {
    tag: Uint8Array.from(page.subarray(8, 8 + TAG_BYTES)),
    recordCount: page.readUInt32LE(16),
    pageCount: page.readUInt32LE(20),
    packCount: page.readUInt32LE(24),
    filterBytes: page.readUInt32LE(28),
    tablesCrc: page.readUInt32LE(32),
  };
  return tablesOffset(header) + tablesBytes(header) === fileBytes ? header : undefined;
}

export function tablesOffset(header: Pick<RunHeader, 'pageCount'>): number {
  return (1 + header.pageCount) * PAGE_BYTES;
}

export function tablesBytes(header: Pick<RunHeader, 'pageCount' | 'packCount' | 'filterBytes'>): number {
  return header.pageCount * 4 + header.packCount * 32 + header.filterBytes;
}
