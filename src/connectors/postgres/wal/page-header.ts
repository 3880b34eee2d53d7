import { TidemarkError } from '../../../core/errors.ts';
import type { WalShape } from './shape.ts';

export const PAGE_HEADER_BYTES = 24;
/** Of the first page of a segment. */
export const LONG_HEADER_BYTES = 40;

const LONG_HEADER = 2;
const MAGIC: Readonly<Record<number, number>> = {
  13: 0xd106,
  14: 0xd10d,
  15: 0xd110,
  16: 0xd113,
  17: 0xd116,
  18: 0xd118,
};

export function headerBytesAt(pageStart: bigint, { segmentBytes }: Pick<WalShape, 'segmentBytes'>): number {
  return pageStart % BigInt(segmentBytes) === 0n ? LONG_HEADER_BYTES : PAGE_HEADER_BYTES;
}

/** The header of a page in which no record goes on from the page before. @throws UNSUPPORTED for a version that is not known */
export function makePageHeader(pageStart: bigint, timeline: number, shape: WalShape): Uint8Array {
  const magic = MAGIC[shape.majorVersion];
  if (magic === undefined) {
    throw new TidemarkError('UNSUPPORTED', `the log of PostgreSQL ${shape.majorVersion} is not known`);
  }
  const sizeBytes = headerBytesAt(pageStart, shape);
  const header = Buffer.alloc(sizeBytes);
  header.writeUInt16LE(magic, 0);
  header.writeUInt32LE(timeline, 4);
  header.writeBigUInt64LE(pageStart, 8);
  if (sizeBytes === LONG_HEADER_BYTES) {
    header.writeUInt16LE(LONG_HEADER, 2);
    header.writeBigUInt64LE(shape.systemIdentifier, 24);
    header.writeUInt32LE(shape.segmentBytes, 32);
    header.writeUInt32LE(shape.pageBytes, 36);
  }
  return header;
}
