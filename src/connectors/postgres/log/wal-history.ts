import type { Lineage, Position } from '../../../core/position.ts';
import { positionOf } from '../lsn.ts';
import { timelineBefore } from './timelines.ts';
import type { Timelines } from './timelines.ts';

/** Bytes before the first record of a page, and of a segment's first page. */
const PAGE_HEADER_BYTES = 24n;
const SEGMENT_HEADER_BYTES = 40n;

export type WalShape = { readonly segmentBytes: bigint; readonly pageBytes: bigint };

/** Without the header of a page that holds nothing yet: the server counts it before it is written, and sends it only with what follows. */
export function withoutHeader(lsn: bigint, { segmentBytes, pageBytes }: WalShape): bigint {
  if (lsn % segmentBytes === SEGMENT_HEADER_BYTES) return lsn - SEGMENT_HEADER_BYTES;
  return lsn % pageBytes === PAGE_HEADER_BYTES ? lsn - PAGE_HEADER_BYTES : lsn;
}

export function segmentStart(lsn: bigint, { segmentBytes }: WalShape): bigint {
  return lsn - (lsn % segmentBytes);
}

/** What one recorder knows of the log that it follows. */
export class WalHistory {
  readonly lineage: Lineage;
  readonly shape: WalShape;
  timelines: Timelines;
  /** Up to where the log has been told. */
  delivered = 0n;

  constructor(options: { readonly lineage: Lineage; readonly shape: WalShape; readonly timelines: Timelines }) {
    this.lineage = options.lineage;
    this.shape = options.shape;
    this.timelines = options.timelines;
  }

  position(lsn: bigint): Position {
    return positionOf({ timeline: timelineBefore(this.timelines, lsn), lsn }, this.lineage.id);
  }
}
