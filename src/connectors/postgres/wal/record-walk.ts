import { RECORD_HEADER_BYTES } from './main-data.ts';
import { headerBytesAt, LONG_HEADER_BYTES, PAGE_HEADER_BYTES } from './page-header.ts';
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

/** What has come of a page. `offset`: where in the page it begins. `records`: where those go that become whole. */
type PagePart = {
  readonly pageStart: bigint;
  readonly offset: number;
  readonly piece: Buffer;
  readonly records: KeptRecord[];
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
    const records: KeptRecord[] = [];
    const { pageBytes } = this.#options.shape;
    const all = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let pageStart = startOf(start, pageBytes);
    let offset = Number(start - pageStart);
    for (let at = 0; at < all.byteLength; ) {
      const sizeBytes = Math.min(all.byteLength - at, pageBytes - offset);
      const piece = sizeBytes === all.byteLength ? all : all.subarray(at, at + sizeBytes);
      this.#walk({ pageStart, offset, piece, records });
      at += sizeBytes;
      pageStart += BigInt(pageBytes);
      offset = 0;
    }
    return records;
  }

  #walk(part: PagePart): void {
    const { pageStart, offset, piece } = part;
    const end = offset + piece.byteLength;
    let at = offset + this.#takePageHeader(part);
    while (at < end) {
      if (this.#skipTo === undefined) return;
      if (this.#skipTo > pageStart) at = Math.max(at, Math.min(end, Number(this.#skipTo - pageStart)));
      if (this.#sizeBytes === 0 && this.#takenBytes === 0) at = this.#passOver(part, at);
      if (at < end) at += this.#takeOfRecord(part, at);
    }
  }

  /** Over records that lie whole in the piece and are not wanted, which most are. Returns how far in the page it is. */
  #passOver({ pageStart, offset, piece }: PagePart, from: number): number {
    const end = offset + piece.byteLength;
    let at = from;
    let endAt: number | undefined;
    for (;;) {
      at = Math.min(end, alignedUp(at));
      if (end - at < RECORD_HEADER_BYTES) break;
      const begin = at - offset;
      const sizeBytes = piece.readUInt32LE(begin);
      const [information = 0, manager = 0] = [piece[begin + INFORMATION], piece[begin + MANAGER]];
      if (sizeBytes < RECORD_HEADER_BYTES || sizeBytes > end - at) break;
      if (isSwitch(manager, information) || this.#options.isWanted(manager, information)) break;
      at += sizeBytes;
      endAt = at;
    }
    if (endAt !== undefined) this.#end = pageStart + BigInt(alignedUp(endAt));
    return at;
  }

  /** Returns how many bytes of it the piece begins with. */
  #takePageHeader({ pageStart, offset, piece }: PagePart): number {
    if (offset >= LONG_HEADER_BYTES) return 0;
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
  #takeOfRecord(part: PagePart, at: number): number {
    const { pageStart, offset, piece } = part;
    const roomBytes = offset + piece.byteLength - at;
    if (this.#sizeBytes === 0) {
      const sizeBytes = Math.min(roomBytes, SIZE_BYTES - this.#takenBytes);
      piece.copy(this.#header, this.#takenBytes, at - offset, at - offset + sizeBytes);
      if (this.#takenBytes + sizeBytes < SIZE_BYTES) {
        this.#take(part, at, sizeBytes);
        return sizeBytes;
      }
      this.#sizeBytes = this.#header.readUInt32LE(0);
      if (this.#sizeBytes < RECORD_HEADER_BYTES) {
        // Nothing is written behind here; only a new beginning of a page could follow.
        this.#forget();
        this.#skipTo = pageStart + BigInt(this.#options.shape.pageBytes);
        return roomBytes;
      }
    }
    const takenBytes = Math.min(roomBytes, this.#sizeBytes - this.#takenBytes);
    this.#take(part, at, takenBytes);
    if (this.#takenBytes === this.#sizeBytes) this.#endRecord(part, at + takenBytes);
    return takenBytes;
  }

  /** `at`: where in the page they begin. */
  #take({ pageStart, offset, piece }: PagePart, at: number, sizeBytes: number): void {
    const before = this.#takenBytes;
    this.#takenBytes += sizeBytes;
    if (this.#isRest) return;
    const begin = at - offset;
    if (before < RECORD_HEADER_BYTES) piece.copy(this.#header, before, begin, begin + sizeBytes);
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
    this.#kept.bytes.push(Buffer.from(piece.subarray(begin, begin + Math.min(sizeBytes, mostBytes - before))));
    this.#kept.places.push({ lsn: pageStart + BigInt(at), sizeBytes });
  }

  /** `at`: where it ends in its page. */
  #endRecord({ pageStart, records }: PagePart, at: number): void {
    const [kept, isRest] = [this.#kept, this.#isRest];
    const endsSegment = isSwitch(this.#header.readUInt8(MANAGER), this.#header.readUInt8(INFORMATION));
    this.#forget();
    if (isRest) return;
    this.#end = pageStart + BigInt(alignedUp(at));
    if (kept !== undefined) {
      const [first] = kept.bytes;
      const bytes = kept.bytes.length === 1 && first !== undefined ? first : Buffer.concat(kept.bytes);
      records.push({ bytes, places: kept.places, end: this.#end });
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
