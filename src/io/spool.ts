import { constants } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { fromSystem, systemCode, TidemarkError } from '../core/errors.ts';
import { assume, must } from '../core/must.ts';
import type { RandomBytes, Run } from '../core/run.ts';
import { writeSize } from '../core/units.ts';
import { ensureFolder, syncFolder } from './atomic-file.ts';
import { writePieces } from './file-pieces.ts';
import { readRecords, scanSpoolFile } from './spool-file.ts';
import type { SpoolPlace } from './spool-file.ts';
import { createSpoolFile, listSpoolFiles } from './spool-folder.ts';
import type { OpenSpoolFile, SpoolFile } from './spool-folder.ts';
import { encodeRecord, recordBytes } from './spool-record.ts';
import type { SpoolEntry, SpoolRecord } from './spool-record.ts';

export type SpoolOptions = {
  /** Created with mode 0700 where it is missing. One process has it open at a time: the caller holds a lock. */
  readonly folder: string;
  /** What may wait in it, in bytes. */
  readonly maxBytes: number;
  readonly random: RandomBytes;
  /** A file ends before it would get larger, unless one append alone is. 16 MiB, or an eighth of `maxBytes` if that is less, unless given. */
  readonly fileBytes?: number | undefined;
};

/**
 * Records that wait on this machine's disk, in order, until the repository has them. What was appended is there after a kill and
 * after a power cut; the numbers go on from there and none is given twice to what was appended or read.
 */
export interface Spool extends AsyncDisposable {
  /** What the files take on the disk. */
  readonly sizeBytes: number;
  /** The number of the newest record on the disk; the first one is 1. 0 when there has never been any. */
  readonly lastSequence: number;
  /**
   * Adds the entries, one record each, one behind another, and resolves with the last one's number once they are on the disk. Appends keep
   * the order of their calls; those that wait together share one flush. The bytes must not change before it settles.
   *
   * What failed may be there in part after the process has ended, and then has numbers. @throws SPOOL_FULL, at once, when the
   * bound would be passed: nothing of it is written; DISK_FULL or FAILED, together with all appends that wait behind it, so that none of
   * them comes without it: the spool can be used on; the signal's reason, unless it is being written already
   */
  append(entries: readonly SpoolEntry[], run: Run): Promise<number>;
  /**
   * The records after number `after`, or all that are not released, ascending and without a gap, in batches of at most 1 MiB (or a single record
   * that is larger). It ends with the newest at the time when it gets there; there may be appends and releases meanwhile.
   *
   * @throws POSITION_LOST at a record that is not as it was written, after all before it, naming file and offset. It is never passed over: the
   * caller releases what can't be read; what is appended from then on can be read from its own number on; FAILED when the disk fails
   */
  read(after: number | undefined, run: Run): AsyncIterable<readonly SpoolRecord[]>;
  /**
   * Says that the records up to this number are needed no more. Files that hold nothing else are deleted; of the others, released
   * records come again when the spool is opened anew. @throws FAILED when a file can't be deleted
   */
  release(upTo: number, run: Run): Promise<void>;
}

const FILE_BYTES = 16 * 2 ** 20;

type WaitingAppend = {
  readonly entries: readonly SpoolEntry[];
  readonly sizeBytes: number;
  readonly done: (last: number) => void;
  readonly failed: (error: unknown) => void;
};

/**
 * Opens the spool in a folder, and drops what was being written when the last process ended. @throws FAILED, DISK_FULL when the
 * folder can't be used
 */
export async function openSpool(options: SpoolOptions, run: Run): Promise<Spool> {
  const { folder } = options;
  try {
    await ensureFolder(folder, 0o700);
    const spool = new DiskSpool(options, await listSpoolFiles(folder));
    await spool.recover(run);
    return spool;
  } catch (error) {
    run.signal.throwIfAborted();
    throw fromSystem(error, 'FAILED', `the spool can’t be opened: ${folder}`);
  }
}

class DiskSpool implements Spool {
  readonly #options: SpoolOptions;
  readonly #fileBytes: number;
  readonly #files: SpoolFile[];
  /** Of the last file, unless that must not be written to. */
  #handle: FileHandle | undefined;
  #nextNumber: number;
  #last = 0;
  #released: number;
  readonly #queue = new Set<WaitingAppend>();
  /** Of those in the queue and of those being written. */
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #deleting: Promise<void> = Promise.resolve();
  /** Where the last batch that was read ended, so that the next reader needs not look for it. */
  /** Something in it can’t be read: what is appended goes to another file. */
  #damaged: SpoolFile | undefined;
  #bookmark: { readonly file: SpoolFile; readonly place: SpoolPlace } | undefined;
  #closed = false;

  constructor(options: SpoolOptions, files: SpoolFile[]) {
    assume(options.maxBytes > 0, 'a bound of the spool');
    this.#options = options;
    this.#fileBytes = options.fileBytes ?? Math.min(FILE_BYTES, Math.ceil(options.maxBytes / 8));
    this.#files = files;
    this.#nextNumber = (files.at(-1)?.number ?? 0) + 1;
    this.#released = (files[0]?.first ?? 1) - 1;
  }

  get sizeBytes(): number {
    return this.#files.reduce((sum, file) => sum + file.sizeBytes, 0);
  }

  get lastSequence(): number {
    return this.#last;
  }

  /** Makes what the last process left the spool's content: all that is whole, and on the disk before anybody is told of it. */
  async recover(run: Run): Promise<void> {
    const file = this.#files.at(-1);
    if (file === undefined) return;
    await using stack = new AsyncDisposableStack();
    const handle = stack.use(await open(file.path, constants.O_RDWR | constants.O_NOFOLLOW));
    const { end, damaged } = await scanSpoolFile({ handle, ...file }, file.first, run);
    this.#last = end.sequence - 1;
    if (!damaged && end.offset < file.sizeBytes) {
      await handle.truncate(end.offset);
      file.sizeBytes = end.offset;
    }
    await handle.datasync();
    await syncFolder(this.#options.folder);
    if (damaged) return;
    stack.move();
    this.#handle = handle;
  }

  async append(entries: readonly SpoolEntry[], { signal }: Run): Promise<number> {
    signal.throwIfAborted();
    assume(!this.#closed && entries.length > 0, 'something to append to an open spool');
    const sizeBytes = entries.reduce((sum, entry) => sum + recordBytes(entry), 0);
    this.#assertRoom(sizeBytes);
    return await new Promise((resolve, reject) => {
      const onAbort = (): void => {
        if (!this.#queue.delete(waiting)) return;
        this.#waitingBytes -= sizeBytes;
        reject(signal.reason);
      };
      const settle = (): void => {
        this.#waitingBytes -= sizeBytes;
        signal.removeEventListener('abort', onAbort);
      };
      const waiting: WaitingAppend = {
        entries,
        sizeBytes,
        done: (last) => {
          settle();
          resolve(last);
        },
        failed: (error) => {
          settle();
          reject(error);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#queue.add(waiting);
      this.#waitingBytes += sizeBytes;
      this.#writing ??= this.#writeQueue();
    });
  }

  #assertRoom(sizeBytes: number): void {
    const { folder, maxBytes } = this.#options;
    if (sizeBytes > maxBytes) {
      throw new TidemarkError('SPOOL_FULL', `${sizeBytes} bytes at once are more than may wait in ${folder}`, {
        hint: `At most ${writeSize(maxBytes)} may: allow more.`,
      });
    }
    // The last file stays when all of it is released, but gives way to the next.
    const idle = this.#waitingBytes === 0 && this.#released >= this.#last;
    const givesWay = idle ? (this.#files.at(-1)?.sizeBytes ?? 0) : 0;
    if (this.sizeBytes - givesWay + this.#waitingBytes + sizeBytes <= maxBytes) return;
    throw new TidemarkError('SPOOL_FULL', `no more than ${writeSize(maxBytes)} may wait in ${folder}`, {
      disposition: 'retry',
    });
  }

  /** Never rejects: who waits is told. */
  async #writeQueue(): Promise<void> {
    while (this.#queue.size > 0) {
      const group = this.#takeGroup();
      try {
        await this.#write(group);
      } catch (thrown) {
        const error = fromSystem(thrown, 'FAILED', `the spool can’t be written: ${this.#options.folder}`);
        for (const { failed } of [...group, ...this.#queue]) failed(error);
        this.#queue.clear();
      }
    }
    this.#writing = undefined;
  }

  #takeGroup(): readonly WaitingAppend[] {
    const group: WaitingAppend[] = [];
    let groupBytes = 0;
    for (const waiting of this.#queue) {
      if (group.length > 0 && groupBytes + waiting.sizeBytes > this.#fileBytes) break;
      groupBytes += waiting.sizeBytes;
      group.push(waiting);
      this.#queue.delete(waiting);
    }
    return group;
  }

  async #write(group: readonly WaitingAppend[]): Promise<void> {
    const sizeBytes = group.reduce((sum, waiting) => sum + waiting.sizeBytes, 0);
    const target = await this.#fileFor(sizeBytes);
    const { file } = target;
    const pieces: Uint8Array[] = [];
    const lasts: number[] = [];
    let sequence = this.#last;
    for (const { entries } of group) {
      for (const entry of entries) {
        sequence += 1;
        const startsFlush = pieces.length === 0;
        pieces.push(...encodeRecord(entry, { sequence, seed: file.seed, startsFlush }));
      }
      lasts.push(sequence);
    }
    await this.#flush(target, pieces);
    file.sizeBytes += sizeBytes;
    this.#last = sequence;
    for (const [index, { done }] of group.entries()) done(lasts[index] ?? sequence);
  }

  async #fileFor(sizeBytes: number): Promise<OpenSpoolFile> {
    const file = this.#files.at(-1);
    const hasRoom = file !== undefined && (file.sizeBytes === 0 || file.sizeBytes + sizeBytes <= this.#fileBytes);
    if (hasRoom && file !== this.#damaged && this.#handle !== undefined) return { file, handle: this.#handle };
    const { folder, random } = this.#options;
    const number = this.#nextNumber++;
    const created = await createSpoolFile(folder, { number, first: this.#last + 1 }, random);
    await this.#leaveFile();
    this.#files.push(created.file);
    this.#handle = created.handle;
    return created;
  }

  /** Either all of it is on the disk behind what the file held, or the file is as before, or it is left for good. */
  async #flush({ file, handle }: OpenSpoolFile, pieces: readonly Uint8Array[]): Promise<void> {
    let written = false;
    let restored = false;
    try {
      await writePieces(handle, pieces, { offset: file.sizeBytes });
      written = true;
      await handle.datasync();
    } catch (error) {
      try {
        await handle.truncate(file.sizeBytes);
        restored = true;
      } catch {
        // The next file begins with the number that failed here: what is left behind the end is not read.
      }
      // After a flush that failed the kernel takes what it could not write for written: the next one would succeed without it.
      if (written || !restored) await this.#leaveFile();
      throw error;
    }
  }

  /** What is known to be on the disk stays in the file; the next append begins another. */
  async #leaveFile(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    try {
      await handle?.close();
    } catch {
      // It could only tell of what was never flushed, and nobody was told that it was.
    }
  }

  async *read(after: number | undefined, run: Run): AsyncGenerator<readonly SpoolRecord[]> {
    for (let sequence = (after ?? 0) + 1; ; ) {
      assume(!this.#closed, 'an open spool to read from');
      // What was released meanwhile is passed over.
      const from = Math.max(sequence, this.#released + 1);
      if (from > this.#last) return;
      const file = this.#files.findLast(({ first }) => first <= from);
      sequence = yield* this.#readFile(must(file, 'a file for each record that waits'), from, run);
    }
  }

  /** The file's records from a number on. Returns the number to go on with. */
  async *#readFile(file: SpoolFile, from: number, run: Run): AsyncGenerator<readonly SpoolRecord[], number> {
    let place = this.#placeBefore(file, from);
    try {
      await using handle = await open(file.path, constants.O_RDONLY | constants.O_NOFOLLOW);
      for (let last = this.#lastIn(file); place.sequence <= last; last = this.#lastIn(file)) {
        run.signal.throwIfAborted();
        const { records, next } = await readRecords({ handle, ...file }, place, last, run);
        if (records.length === 0) {
          const what = `${file.path} is damaged at byte ${place.offset}, in record ${place.sequence}`;
          this.#damaged = file;
          throw new TidemarkError('POSITION_LOST', what, {
            disposition: 'resync',
            hint: `Check the disk below ${this.#options.folder}.`,
          });
        }
        const wanted = records.slice(Math.max(0, from - place.sequence));
        place = next;
        this.#bookmark = { file, place };
        if (wanted.length > 0) yield wanted;
      }
    } catch (error) {
      run.signal.throwIfAborted();
      if (systemCode(error) === 'ENOENT' && !this.#files.includes(file)) return from;
      throw fromSystem(error, 'FAILED', `the spool can’t be read: ${file.path}`);
    }
    return Math.max(from, place.sequence);
  }

  #placeBefore(file: SpoolFile, sequence: number): SpoolPlace {
    const bookmark = this.#bookmark;
    if (bookmark?.file === file && bookmark.place.sequence <= sequence) return bookmark.place;
    return { offset: 0, sequence: file.first };
  }

  /** The number of the last record in a file, as the next file tells. 0 when the file has been released. */
  #lastIn(file: SpoolFile): number {
    const index = this.#files.indexOf(file);
    const next = this.#files[index + 1];
    if (index < 0) return 0;
    return next === undefined ? this.#last : next.first - 1;
  }

  async release(upTo: number, run: Run): Promise<void> {
    run.signal.throwIfAborted();
    assume(upTo <= this.#last, 'what is released has been appended');
    this.#released = Math.max(this.#released, upTo);
    const deletion = this.#deleting.then(() => this.#deleteReleased(run));
    this.#deleting = deletion.catch(() => undefined);
    await deletion;
  }

  /** The oldest first, each for good before the next: a power cut must not bring back a file without those after it. */
  async #deleteReleased(run: Run): Promise<void> {
    for (;;) {
      const [oldest, next] = this.#files;
      if (oldest === undefined || next === undefined || next.first - 1 > this.#released) return;
      run.signal.throwIfAborted();
      this.#files.shift();
      try {
        await rm(oldest.path, { force: true });
        await syncFolder(this.#options.folder);
      } catch (error) {
        this.#files.unshift(oldest);
        throw fromSystem(error, 'FAILED', `what the repository has can’t be removed from the spool: ${oldest.path}`);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const { failed } of this.#queue) failed(new Error('the spool was closed before it was written'));
    this.#queue.clear();
    await this.#writing;
    await this.#deleting;
    await this.#leaveFile();
  }
}
