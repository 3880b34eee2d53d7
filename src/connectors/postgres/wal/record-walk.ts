import { headerBytesAt } from './page-header.ts';
import { startOf } from './shape.ts';
import type { WalShape } from './shape.ts';
import type { WalBytes } from './wal-bytes.ts';

const RECORD_HEADER_BYTES = 24;
const ALIGNMENT = 8;
const OVERWRITTEN = 8;
const NO_BYTES = new Uint8Array(0);

/** Resource managers and kinds of records, by the numbers that the server gives them. */
const XLOG = 0;
const SWITCH = 0x40;
const TABLESPACE = 5;
const CREATE = 0;

/** A record whose bytes were kept: `places` says where they lie in the log, in order. */
export type KeptRecord = {
  readonly bytes: Uint8Array;
  readonly places: readonly { readonly lsn: bigint; readonly sizeBytes: number }[];
};

/**
 * Goes through a log from record to record without looking into them, so that it is known where the last whole one ends. What creates a
 * tablespace is kept, because it names a folder of the host that it was made on.
 */
export class RecordWalk {
  readonly #shape: WalShape;
  /** Of a page that is not whole yet. */
  #page = NO_BYTES;
  #pageStart: bigint | undefined;
  #missing = 0;
  readonly #header = Buffer.alloc(RECORD_HEADER_BYTES);
  #headerBytes = 0;
  #skipTo: bigint;
  #end: bigint;
  #kept: { readonly bytes: Uint8Array[]; readonly places: { lsn: bigint; sizeBytes: number }[] } | undefined;
  #records: KeptRecord[] = [];

  /** `from`: where a record begins. */
  constructor(shape: WalShape, from: bigint) {
    this.#shape = shape;
    this.#skipTo = from;
    this.#end = from;
  }

  /** Where the last record ends that is whole, as the server counts it: the next one would begin there, or behind the header of the page. */
  get end(): bigint {
    return this.#end;
  }

  /** The bytes that follow. Records that create tablespaces and have become whole are returned. */
  add({ start, bytes }: WalBytes): readonly KeptRecord[] {
    this.#records = [];
    const { pageBytes } = this.#shape;
    let at = 0;
    while (at < bytes.byteLength) {
      const lsn = start + BigInt(at);
      const pageStart = startOf(lsn, pageBytes);
      const rest = pageBytes - Number(lsn - pageStart);
      const piece = bytes.subarray(at, at + rest);
      at += piece.byteLength;
      if (this.#pageStart !== pageStart) {
        this.#pageStart = pageStart;
        // What lies before it in the page is from before the log.
        this.#page = new Uint8Array(Number(lsn - pageStart));
      }
      if (this.#page.byteLength === 0 && piece.byteLength === pageBytes) this.#walk(pageStart, piece);
      else {
        this.#page = Buffer.concat([this.#page, piece]);
        if (this.#page.byteLength === pageBytes) this.#walk(pageStart, this.#page);
      }
      if (piece.byteLength === rest) this.#page = NO_BYTES;
    }
    return this.#records;
  }

  /** After the last bytes: what the last page holds is counted in. */
  finish(): readonly KeptRecord[] {
    this.#records = [];
    if (this.#pageStart !== undefined && this.#page.byteLength > 0) this.#walk(this.#pageStart, this.#page);
    return this.#records;
  }

  #walk(pageStart: bigint, bytes: Uint8Array): void {
    const page = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const pageEnd = pageStart + BigInt(this.#shape.pageBytes);
    if (pageEnd <= this.#skipTo) return;
    let at = headerBytesAt(pageStart, this.#shape);
    if (page.byteLength < at) return;
    // The server gave up the record that was cut off by a crash, and went on here.
    if (this.#missing > 0 && (page.readUInt16LE(2) & OVERWRITTEN) !== 0) this.#forget();
    if (pageStart < this.#skipTo) at = Math.max(at, Number(this.#skipTo - pageStart));
    while (at < page.byteLength) {
      if (this.#missing === 0) {
        if (at + 4 > page.byteLength) return;
        const sizeBytes = page.readUInt32LE(at);
        // Nothing is written behind here; only a new beginning of a segment could follow.
        if (sizeBytes < RECORD_HEADER_BYTES) return;
        this.#missing = sizeBytes;
      }
      const taken = Math.min(this.#missing, page.byteLength - at);
      this.#take(page.subarray(at, at + taken), pageStart + BigInt(at));
      at += taken;
      this.#missing -= taken;
      if (this.#missing > 0) return;
      const isSwitch = this.#header[17] === XLOG && ((this.#header[16] ?? 0) & 0xf0) === SWITCH;
      if (this.#kept !== undefined) {
        this.#records.push({ bytes: Buffer.concat(this.#kept.bytes), places: this.#kept.places });
      }
      this.#forget();
      at = Math.ceil(at / ALIGNMENT) * ALIGNMENT;
      this.#end = pageStart + BigInt(at);
      if (!isSwitch) continue;
      // The rest of the segment is empty.
      const { segmentBytes } = this.#shape;
      this.#end = startOf(this.#end - 1n, segmentBytes) + BigInt(segmentBytes);
      this.#skipTo = this.#end;
      return;
    }
  }

  #take(bytes: Buffer, lsn: bigint): void {
    const before = this.#headerBytes;
    if (before < RECORD_HEADER_BYTES) {
      this.#headerBytes += bytes.copy(this.#header, before, 0, RECORD_HEADER_BYTES - before);
    }
    // Its header may lie on two pages.
    const isKnown = this.#headerBytes >= 18;
    const isCreate = this.#header[17] === TABLESPACE && ((this.#header[16] ?? 0) & 0xf0) === CREATE;
    if (isKnown && !isCreate) {
      this.#kept = undefined;
      return;
    }
    this.#kept ??= { bytes: [], places: [] };
    this.#kept.bytes.push(Buffer.from(bytes));
    this.#kept.places.push({ lsn, sizeBytes: bytes.byteLength });
  }

  #forget(): void {
    this.#missing = 0;
    this.#headerBytes = 0;
    this.#kept = undefined;
  }
}
