import { closeSync, openSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { INDEX_RECORD_BYTES, PACK_ID_BYTES, recordField } from '../format/index-object.ts';
import { assume } from '../../core/must.ts';
import { IdFilter } from './id-filter.ts';
import type { PackTable } from './pack-table.ts';
import { copyRecord } from './record.ts';
import { encodeRunHeader, finishPage, PAGE_BYTES, RECORDS_PER_PAGE, tablesOffset } from './run-layout.ts';

const BUFFERED_PAGES = 256;

export type RunWriterOptions = {
  readonly path: string;
  readonly tag: Uint8Array;
  /** At least as many as will come. */
  readonly maxRecords: number;
  readonly packs: PackTable;
};

/**
 * Writes a run, synchronously and in order. The header comes last: until `finish` the file is not a run. Nothing is
 * made durable here: a file that a crash of the machine tore is noticed by its checksums.
 */
export class RunWriter implements Disposable {
  readonly #options: RunWriterOptions;
  readonly #file: number;
  readonly #buffer = Buffer.alloc(BUFFERED_PAGES * PAGE_BYTES);
  readonly #bytes = new DataView(this.#buffer.buffer, this.#buffer.byteOffset, this.#buffer.byteLength);
  readonly #fences: Uint32Array;
  readonly #filter: IdFilter;
  /** The place in this file's pack ids, by number in the pack table, plus 1. */
  readonly #localPacks: Uint32Array;
  readonly #packNumbers: number[] = [];
  #recordCount = 0;
  #pageCount = 0;
  #inPage = 0;
  #buffered = 0;
  #offset = PAGE_BYTES;
  #closed = false;

  /** Creates the file. @throws Node's file system errors, EEXIST when it is there */
  constructor(options: RunWriterOptions) {
    this.#options = options;
    this.#fences = new Uint32Array(Math.ceil(options.maxRecords / RECORDS_PER_PAGE));
    this.#filter = IdFilter.forRecords(options.maxRecords);
    this.#localPacks = new Uint32Array(options.packs.count);
    this.#file = openSync(options.path, 'wx', 0o600);
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** Appends the record at `offset`, whose pack is a number of the pack table. Ids must not descend. */
  append(view: DataView, offset: number): void {
    assume(this.#recordCount < this.#options.maxRecords, 'no more records than were announced');
    if (this.#inPage === RECORDS_PER_PAGE) this.#endPage();
    if (this.#inPage === 0) this.#fences[this.#pageCount] = view.getUint32(offset);
    const at = this.#buffered * PAGE_BYTES + this.#inPage * INDEX_RECORD_BYTES;
    copyRecord(view, offset, this.#bytes, at);
    this.#bytes.setUint32(
      at + recordField.pack,
      this.#localPack(view.getUint32(offset + recordField.pack, true)),
      true,
    );
    this.#filter.add(view, offset);
    this.#inPage += 1;
    this.#recordCount += 1;
  }

  /** Appends the first `count` records of a batch, except those of packs that don't exist. */
  appendExisting(view: DataView, count: number): void {
    const { packs } = this.#options;
    for (let offset = 0; offset < count * INDEX_RECORD_BYTES; offset += INDEX_RECORD_BYTES) {
      if (packs.exists(view.getUint32(offset + recordField.pack, true))) this.append(view, offset);
    }
  }

  /** The file is a whole run after this, and closed. */
  finish(): void {
    if (this.#inPage > 0) this.#endPage();
    this.#writePages();
    const counts = { recordCount: this.#recordCount, pageCount: this.#pageCount, packCount: this.#packNumbers.length };
    assume(this.#offset === tablesOffset(counts), 'all pages written');
    const fences = this.#fences.subarray(0, this.#pageCount);
    let tablesCrc = 0;
    for (const table of [bytesOf(fences), this.#packIds(), bytesOf(this.#filter.words)]) {
      tablesCrc = crc32(table, tablesCrc);
      this.#write(table);
    }
    const filterBytes = this.#filter.words.byteLength;
    this.#offset = 0;
    this.#write(encodeRunHeader({ ...counts, tag: this.#options.tag, filterBytes, tablesCrc }));
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#file);
  }

  #localPack(number: number): number {
    assume(number < this.#localPacks.length, 'a pack that was known when the run was begun');
    const known = this.#localPacks[number] ?? 0;
    if (known > 0) return known - 1;
    this.#packNumbers.push(number);
    this.#localPacks[number] = this.#packNumbers.length;
    return this.#packNumbers.length - 1;
  }

  #packIds(): Uint8Array {
    const ids = new Uint8Array(this.#packNumbers.length * PACK_ID_BYTES);
    this.#packNumbers.forEach((number, index) => this.#options.packs.copyId(number, ids, index * PACK_ID_BYTES));
    return ids;
  }

  #endPage(): void {
    const start = this.#buffered * PAGE_BYTES;
    this.#pageCount += 1;
    finishPage(this.#buffer.subarray(start, start + PAGE_BYTES), this.#options.tag, this.#pageCount, this.#inPage);
    this.#inPage = 0;
    this.#buffered += 1;
    if (this.#buffered === BUFFERED_PAGES) this.#writePages();
  }

  #writePages(): void {
    this.#write(this.#buffer.subarray(0, this.#buffered * PAGE_BYTES));
    this.#buffer.fill(0);
    this.#buffered = 0;
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.byteLength; ) {
      done += writeSync(this.#file, bytes, done, bytes.byteLength - done, this.#offset + done);
    }
    this.#offset += bytes.byteLength;
  }
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}
