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

/** What one recorder knows of the log that it follows. Whoever names a position that can be restored says so here, and the log is cut there. */
export class WalHistory {
  readonly lineage: Lineage;
  readonly shape: WalShape;
  timelines: Timelines;
  /** Ascending, all behind what was delivered. */
  readonly #stops: bigint[] = [];
  #delivered = 0n;

  constructor(options: { readonly lineage: Lineage; readonly shape: WalShape; readonly timelines: Timelines }) {
    this.lineage = options.lineage;
    this.shape = options.shape;
    this.timelines = options.timelines;
  }

  /** The log ends here for whoever receives it. */
  get delivered(): bigint {
    return this.#delivered;
  }

  position(lsn: bigint): Position {
    return positionOf({ timeline: timelineBefore(this.timelines, lsn), lsn }, this.lineage.id);
  }

  /** A place at or behind `lsn` at which the log can be cut: there, or where it has been delivered to already. */
  cover(lsn: bigint): bigint {
    if (lsn <= this.#delivered) return this.#delivered;
    const at = this.#stops.findIndex((stop) => stop >= lsn);
    if (at < 0) this.#stops.push(lsn);
    else if (this.#stops[at] !== lsn) this.#stops.splice(at, 0, lsn);
    return lsn;
  }

  /** Where a run of the log from `from` on must be cut: at a stop, at the end of its segment, or at `upTo`. */
  cutOf(from: bigint, upTo: bigint): bigint {
    const stop = this.#stops.find((place) => place > from) ?? upTo;
    const segmentEnd = segmentStart(from, this.shape) + this.shape.segmentBytes;
    return [stop, segmentEnd].reduce((least, place) => (place < least ? place : least), upTo);
  }

  /** Whether a piece of the log has to end at a place. */
  mustEndAt(lsn: bigint): boolean {
    return lsn % this.shape.segmentBytes === 0n || this.#stops.includes(lsn);
  }

  deliver(lsn: bigint): void {
    this.#delivered = lsn;
    while ((this.#stops[0] ?? lsn + 1n) <= lsn) this.#stops.shift();
  }
}
