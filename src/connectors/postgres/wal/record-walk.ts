import { RECORD_HEADER_BYTES } from './main-data.ts';
import { headerBytesAt, PAGE_HEADER_BYTES } from './page-header.ts';
import { startOf } from './shape.ts';
import type { WalShape } from './shape.ts';
import type { WalBytes } from './wal-bytes.ts';

/** Where the header of a record says what it is, and after how many bytes that is known. */
const INFORMATION = 16;
const MANAGER = 17;
const KIND_BYTES = 18;
const SIZE_BYTES = 4;
const ALIGNMENT = 8;
const GOES_ON = 1;

/** Resource managers and kinds of records, by the numbers that the server gives them. */
const XLOG = 0;
const SWITCH = 0x40;

/** A record of which bytes were kept: `places` says where they lie in the log, in order. `end`: where the record ends, as the server counts it. */
export type KeptRecord = {
  readonly bytes: Uint8Array;
  readonly places: readonly { readonly lsn: bigint; readonly sizeBytes: number }[];
  readonly end: bigint;
};

export type RecordWalkOptions = {
  readonly shape: Pick<WalShape, 'pageBytes' | 'segmentBytes'>;
  /** Where a record begins; without it, the first one that begins behind the header of a page. */
  readonly from?: bigint | undefined;
  /** Which records are told of. `information`: its upper four bits say the kind. */
  isWanted(resourceManager: number, information: number): boolean;
  /** How much of the beginning of one is kept; without it all. */
  readonly mostBytes?: number | undefined;
};

/**
 * Goes through a log from record to record without looking into them, so that it is known where the last whole one ends. Each page says how much of it a
 * record from the page before takes: what does not agree with that is forgotten, as the server gave up what was cut off by a crash.
 */
export class RecordWalk {
  readonly #options: RecordWalkOptions;
  readonly #pageHeader = Buffer.alloc(PAGE_HEADER_BYTES);
  #pageWithHeader: bigint | undefined;
  readonly #header = Buffer.alloc(RECORD_HEADER_BYTES);
  /** Of the record that is under way; 0 while that is not known. */
  #sizeBytes = 0;
  #takenBytes = 0;
  /** Its beginning was not seen. */
  #isRest = false;
  #skipTo: bigint | undefined;
  #end: bigint;
  #kept: { readonly bytes: Uint8Array[]; readonly places: { lsn: bigint; sizeBytes: number }[] } | undefined;
  #records: KeptRecord[] = [];

  constructor(options: RecordWalkOptions) {
    this.#options = options;
    this.#skipTo = options.from;
    this.#end = options.from ?? 0n;
  }

  /** Where the last record ends that is whole, as the server counts it: the next one would begin there, or behind the header of the page. */
  get end(): bigint {
    return this.#end;
  }

  /** The bytes that follow. Records that are wanted and have become whole are returned. */
  add({ start, bytes }: Pick<WalBytes, 'start' | 'bytes'>): readonly KeptRecord[] {
    this.#records = [];
    const { pageBytes } = this.#options.shape;
    const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < all.byteLength; ) {
      const lsn = start + BigInt(at);
      const pageStart = startOf(lsn, pageBytes);
      const offset = Number(lsn - pageStart);
      const piece = all.subarray(at, at + pageBytes - offset);
      this.#walk(pageStart, offset, piece);
      at += piece.byteLength;
    }
    return this.#records;
  }

  /** `offset`: of the piece in its page. */
  #walk(pageStart: bigint, offset: number, piece: Buffer): void {
    const end = offset + piece.byteLength;
    let at = offset + this.#takePageHeader(pageStart, offset, piece);
    while (at < end) {
      if (this.#skipTo === undefined) return;
      if (this.#skipTo > pageStart) at = Math.max(at, Math.min(end, Number(this.#skipTo - pageStart)));
      if (this.#sizeBytes === 0 && this.#takenBytes === 0) at = this.#passOver(pageStart, offset, piece, at);
      if (at < end) at += this.#takeOfRecord(pageStart, at, piece.subarray(at - offset));
    }
  }

  /** Over records that lie whole in the piece and are not wanted, which most are. Returns how far in the page it is. */
  #passOver(pageStart: bigint, offset: number, piece: Buffer, from: number): number {
    const end = offset + piece.byteLength;
    let at = from;
    let endAt: number | undefined;
    for (;;) {
      at = Math.min(end, alignedUp(at));
      if (end - at < RECORD_HEADER_BYTES) break;
      const begin = at - offset;
      const sizeBytes = piece.readUInt32LE(begin);
      const [information, manager] = [piece.readUInt8(begin + INFORMATION), piece.readUInt8(begin + MANAGER)];
      if (sizeBytes < RECORD_HEADER_BYTES || sizeBytes > end - at) break;
      if (isSwitch(manager, information) || this.#options.isWanted(manager, information)) break;
      at += sizeBytes;
      endAt = at;
    }
    if (endAt !== undefined) this.#end = pageStart + BigInt(alignedUp(endAt));
    return at;
  }

  /** Returns how many bytes of it the piece begins with. */
  #takePageHeader(pageStart: bigint, offset: number, piece: Buffer): number {
    const headerBytes = headerBytesAt(pageStart, this.#options.shape);
    if (offset >= headerBytes) return 0;
    if (offset === 0) this.#pageWithHeader = pageStart;
    const taken = piece.subarray(0, headerBytes - offset);
    // What is longer in the first page of a segment says nothing of records.
    if (offset < PAGE_HEADER_BYTES) taken.copy(this.#pageHeader, offset);
    if (offset + taken.byteLength === headerBytes && this.#pageWithHeader === pageStart) this.#beginPage(pageStart);
    return taken.byteLength;
  }

  #beginPage(pageStart: bigint): void {
    if (this.#skipTo !== undefined && this.#skipTo > pageStart) return;
    const goesOn = (this.#pageHeader.readUInt16LE(2) & GOES_ON) !== 0;
    const restBytes = goesOn ? this.#pageHeader.readUInt32LE(16) : 0;
    const isKnown = this.#skipTo !== undefined;
    this.#skipTo ??= pageStart;
    if (isKnown && restBytes === this.#sizeBytes - this.#takenBytes) return;
    this.#forget();
    this.#sizeBytes = restBytes;
    this.#isRest = restBytes > 0;
  }

  /** Returns how many bytes were taken: of the record that is under way, or of one that begins here. */
  #takeOfRecord(pageStart: bigint, at: number, bytes: Buffer): number {
    if (this.#sizeBytes === 0) {
      const size = bytes.subarray(0, SIZE_BYTES - this.#takenBytes);
      size.copy(this.#header, this.#takenBytes);
      if (this.#takenBytes + size.byteLength < SIZE_BYTES) {
        this.#take(size, pageStart, at);
        return size.byteLength;
      }
      this.#sizeBytes = this.#header.readUInt32LE(0);
      if (this.#sizeBytes < RECORD_HEADER_BYTES) {
        // Nothing is written behind here; only a new beginning of a page could follow.
        this.#forget();
        this.#skipTo = pageStart + BigInt(this.#options.shape.pageBytes);
        return bytes.byteLength;
      }
    }
    const taken = bytes.subarray(0, this.#sizeBytes - this.#takenBytes);
    this.#take(taken, pageStart, at);
    if (this.#takenBytes === this.#sizeBytes) this.#endRecord(pageStart, at + taken.byteLength);
    return taken.byteLength;
  }

  #take(bytes: Buffer, pageStart: bigint, at: number): void {
    const before = this.#takenBytes;
    this.#takenBytes += bytes.byteLength;
    if (this.#isRest) return;
    if (before < RECORD_HEADER_BYTES) bytes.copy(this.#header, before);
    const { isWanted, mostBytes = Infinity } = this.#options;
    // Its header may lie on two pages.
    if (
      this.#takenBytes >= KIND_BYTES &&
      !isWanted(this.#header.readUInt8(MANAGER), this.#header.readUInt8(INFORMATION))
    ) {
      this.#kept = undefined;
      return;
    }
    if (before >= mostBytes) return;
    this.#kept ??= { bytes: [], places: [] };
    this.#kept.bytes.push(Buffer.from(bytes.subarray(0, mostBytes - before)));
    this.#kept.places.push({ lsn: pageStart + BigInt(at), sizeBytes: bytes.byteLength });
  }

  /** `at`: where it ends in its page. */
  #endRecord(pageStart: bigint, at: number): void {
    const [kept, isRest] = [this.#kept, this.#isRest];
    const endsSegment = isSwitch(this.#header.readUInt8(MANAGER), this.#header.readUInt8(INFORMATION));
    this.#forget();
    if (isRest) return;
    this.#end = pageStart + BigInt(alignedUp(at));
    if (kept !== undefined) {
      this.#records.push({ bytes: Buffer.concat(kept.bytes), places: kept.places, end: this.#end });
    }
    if (!endsSegment) return;
    // The rest of the segment is empty.
    const { segmentBytes } = this.#options.shape;
    this.#end = startOf(this.#end - 1n, segmentBytes) + BigInt(segmentBytes);
    this.#skipTo = this.#end;
  }

  #forget(): void {
    this.#sizeBytes = 0;
    this.#takenBytes = 0;
    this.#isRest = false;
    this.#kept = undefined;
  }
}

function isSwitch(resourceManager: number, information: number): boolean {
  return resourceManager === XLOG && (information & 0xf0) === SWITCH;
}

function alignedUp(at: number): number {
  return Math.ceil(at / ALIGNMENT) * ALIGNMENT;
}
