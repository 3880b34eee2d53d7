import { closeSync, fdatasync, fstatSync, openSync, read, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import type { Run } from '../../core/run.ts';
import { TidemarkError } from '../../core/errors.ts';
import { INDEX_RECORD_BYTES, PACK_ID_BYTES, recordField } from '../format/index-object.ts';
import type { ChunkKey } from './chunk-key.ts';
import { IdFilter } from './id-filter.ts';
import type { PackTable } from './pack-table.ts';
import type { PageCache } from './page-cache.ts';
import type { RecordSource } from './record-source.ts';
import { checkPage, decodeRunHeader, PAGE_BYTES, tablesOffset } from './run-layout.ts';
import type { RunHeader } from './run-layout.ts';

const WINDOW_PAGES = 128;
const TWO_TO_32 = 2 ** 32;
const readFile = promisify(read);
const syncFile = promisify(fdatasync);

/**
 * A run that is open: fences, filter and pack numbers in memory, records on disk. The file may be unlinked meanwhile.
 * It closes when the last of those who use it lets go.
 */
export class RunFile {
  readonly recordCount: number;
  /** Tells runs of a process apart; never 0. */
  readonly serial: number;
  readonly #file: number;
  readonly #header: RunHeader;
  readonly #fences: Uint32Array;
  readonly #filter: IdFilter;
  /** Numbers in the pack table, by the numbers that the records have. */
  readonly packNumbers: Uint32Array;
  #users = 1;
  #fault: string | undefined;

  private constructor(file: number, serial: number, header: RunHeader, tables: Tables) {
    this.#file = file;
    this.serial = serial;
    this.#header = header;
    this.recordCount = header.recordCount;
    this.#fences = tables.fences;
    this.#filter = tables.filter;
    this.packNumbers = tables.packNumbers;
  }

  /** Undefined for what is not a whole run. @throws Node's file system errors */
  static open(path: string, serial: number, packs: PackTable): RunFile | undefined {
    const file = openSync(path, 'r');
    try {
      const page = Buffer.alloc(PAGE_BYTES);
      const header = decodeRunHeader(page.subarray(0, readFully(file, page, 0)), fstatSync(file).size);
      const tables = header && readTables(file, header, packs);
      if (header !== undefined && tables !== undefined) return new RunFile(file, serial, header, tables);
    } catch (error) {
      closeSync(file);
      throw error;
    }
    closeSync(file);
    return undefined;
  }

  /** What was found to be wrong with it, in words. From then on it must not be believed. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Resolves when the file is on the disk. */
  async sync(): Promise<void> {
    await syncFile(this.#file);
  }

  /** Where in the cache's view the first record of this id with a usable pack is, after `skip` others; or -1. */
  find(key: ChunkKey, packs: PackTable, cache: PageCache, skip: number): number {
    if (!this.#filter.mayHold(key)) return -1;
    let left = skip;
    for (let page = this.#firstPage(key.head); page < this.#fences.length; page += 1) {
      if ((this.#fences[page] ?? 0) > key.head) return -1;
      const count = cache.load(this, page);
      if (count < 0) return -1;
      const start = cache.offset;
      const end = start + count * INDEX_RECORD_BYTES;
      for (let at = lowerBound(cache.view, start, count, key.head); at < end; at += INDEX_RECORD_BYTES) {
        if (cache.view.getUint32(at) !== key.head) return -1;
        if (!key.equals(cache.view, at) || !packs.usable(this.packNumberAt(cache.view, at))) continue;
        if (left === 0) return at;
        left -= 1;
      }
    }
    return -1;
  }

  /** The number in the pack table of the record at `offset`. */
  packNumberAt(view: DataView, offset: number): number {
    return this.packNumbers[view.getUint32(offset + recordField.pack, true)] ?? -1;
  }

  /**
   * Fills `into` with a page and returns how many records it has; -1 when it is damaged, which makes the whole run
   * so.
   */
  readPage(page: number, into: Buffer): number {
    let count = -1;
    try {
      if (readFully(this.#file, into, (page + 1) * PAGE_BYTES) === PAGE_BYTES) {
        count = checkPage(into, this.#header.tag, page + 1);
      }
      if (count < 0) this.#fault = `page ${page + 1} is damaged`;
    } catch (error) {
      this.#fault = `page ${page + 1} can’t be read: ${String(error)}`;
    }
    return count;
  }

  /** All its records. Whoever reads holds the file by `retain`. */
  source(): RecordSource {
    return new RunSource(this);
  }

  /** Up to `into.byteLength / PAGE_BYTES` pages from `page`, each checked; returns the number of records in each. */
  async readPages(page: number, into: Buffer, run: Run): Promise<readonly number[]> {
    run.signal.throwIfAborted();
    const wanted = Math.min(this.#header.pageCount - page, into.byteLength / PAGE_BYTES);
    const { bytesRead } = await readFile(this.#file, into, 0, wanted * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    const counts: number[] = [];
    for (let at = 0; at < wanted; at += 1) {
      const start = at * PAGE_BYTES;
      const whole = start + PAGE_BYTES <= bytesRead;
      const count = whole ? checkPage(into.subarray(start, start + PAGE_BYTES), this.#header.tag, page + at + 1) : -1;
      if (count < 0) {
        this.#fault = `page ${page + at + 1} is damaged`;
        throw new TidemarkError('FAILED', 'the local index of chunks is damaged', {
          hint: 'Run the command again: it is rebuilt.',
        });
      }
      counts.push(count);
    }
    return counts;
  }

  retain(): void {
    this.#users += 1;
  }

  release(): void {
    this.#users -= 1;
    if (this.#users === 0) closeSync(this.#file);
  }

  /** The last page that can hold the first id of that head. The fence of a page is the head of its first id. */
  #firstPage(head: number): number {
    const fences = this.#fences;
    // Ids are uniform, so the guess is close; the bounds widen until they enclose.
    const guess = Math.floor((head / TWO_TO_32) * fences.length);
    let step = 16;
    let low = guess;
    while (low > 0 && (fences[low] ?? 0) >= head) {
      low = Math.max(0, low - step);
      step *= 2;
    }
    step = 16;
    let high = guess;
    while (high < fences.length && (fences[high] ?? 0) < head) {
      high = Math.min(fences.length, high + step);
      step *= 2;
    }
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((fences[middle] ?? 0) < head) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

type Tables = { readonly fences: Uint32Array; readonly filter: IdFilter; readonly packNumbers: Uint32Array };

function readTables(file: number, header: RunHeader, packs: PackTable): Tables | undefined {
  const fences = Buffer.from(new ArrayBuffer(header.pageCount * 4));
  const packIds = Buffer.from(new ArrayBuffer(header.packCount * PACK_ID_BYTES));
  const filter = Buffer.from(new ArrayBuffer(header.filterBytes));
  let offset = tablesOffset(header);
  let crc = 0;
  for (const table of [fences, packIds, filter]) {
    if (readFully(file, table, offset) < table.byteLength) return undefined;
    offset += table.byteLength;
    crc = crc32(table, crc);
  }
  if (crc !== header.tablesCrc) return undefined;
  const packNumbers = new Uint32Array(header.packCount);
  for (let at = 0; at < header.packCount; at += 1) {
    packNumbers[at] = packs.mention(packIds.subarray(at * PACK_ID_BYTES, (at + 1) * PACK_ID_BYTES));
  }
  return { fences: new Uint32Array(fences.buffer), packNumbers, filter: new IdFilter(new Uint32Array(filter.buffer)) };
}

function readFully(file: number, into: Buffer, offset: number): number {
  let done = 0;
  while (done < into.byteLength) {
    const count = readSync(file, into, done, into.byteLength - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** Where the first of `count` records from `start` is whose head is not below `head`. */
function lowerBound(view: DataView, start: number, count: number, head: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (view.getUint32(start + middle * INDEX_RECORD_BYTES) < head) low = middle + 1;
    else high = middle;
  }
  return start + low * INDEX_RECORD_BYTES;
}

class RunSource implements RecordSource {
  readonly #run: RunFile;
  readonly #buffer: Buffer;
  readonly view: DataView;
  #counts: readonly number[] = [];
  #nextPage = 0;
  #readRecords = 0;
  #page = 0;
  #inPage = 0;
  offset = 0;

  constructor(run: RunFile) {
    this.#run = run;
    this.#buffer = Buffer.from(new ArrayBuffer(WINDOW_PAGES * PAGE_BYTES));
    this.view = new DataView(this.#buffer.buffer);
  }

  advance(): boolean {
    this.#inPage += 1;
    this.offset += INDEX_RECORD_BYTES;
    if (this.#inPage < (this.#counts[this.#page] ?? 0)) return true;
    this.#page += 1;
    this.#inPage = 0;
    this.offset = this.#page * PAGE_BYTES;
    return this.#page < this.#counts.length;
  }

  async fill(run: Run): Promise<boolean> {
    if (this.#readRecords === this.#run.recordCount) return false;
    this.#counts = await this.#run.readPages(this.#nextPage, this.#buffer, run);
    this.#nextPage += this.#counts.length;
    for (const count of this.#counts) this.#readRecords += count;
    this.#page = 0;
    this.#inPage = 0;
    this.offset = 0;
    return this.#counts.length > 0;
  }

  packNumber(): number {
    return this.#run.packNumberAt(this.view, this.offset);
  }
}
