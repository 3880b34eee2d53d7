import { constants } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { TidemarkError } from '../../../core/errors.ts';
import type { Run } from '../../../core/run.ts';
import { writePieces } from '../../../io/file-pieces.ts';
import { makePageHeader } from './page-header.ts';
import { segmentName, startOf } from './shape.ts';
import type { WalShape } from './shape.ts';
import type { Timelines } from './timelines.ts';
import type { WalBytes } from './wal-bytes.ts';

/** A file is under this name until it is whole: nobody may take it before. */
const UNFINISHED = 'tidemark-unfinished';

export type WalFile = { readonly name: string; readonly kind: 'segment' | 'history' };

export type SegmentWriterOptions = {
  readonly folder: string;
  readonly shape: WalShape;
  readonly timelines: Timelines;
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** Each file is on the disk before it gets its name. */
  readonly durable: boolean;
};

type OpenSegment = { readonly file: FileHandle; readonly start: bigint; timeline: number };

/**
 * Makes the files of a server's log from its bytes. All but the last one are whole; the last one has zeros behind the last byte, where the server
 * finds that the log ends. A segment in which the timeline changes is named for the later one, as the server does it.
 */
export class SegmentWriter implements AsyncDisposable {
  readonly #options: SegmentWriterOptions;
  #segment: OpenSegment | undefined;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
  }

  /** Adds the bytes, which go on from the last ones, and tells of each file that has become whole. */
  async *add({ timeline, start, bytes }: WalBytes, run: Run): AsyncGenerator<WalFile> {
    const { shape, timelines } = this.#options;
    if (timelines.reach({ timeline, lsn: start })) yield* this.#writeHistory(run);
    for (let at = 0; at < bytes.byteLength; ) {
      const lsn = start + BigInt(at);
      const segment = this.#segment ?? (await this.#open(lsn, timeline, run));
      segment.timeline = timeline;
      const offset = Number(lsn - segment.start);
      const piece = bytes.subarray(at, at + shape.segmentBytes - offset);
      await writePieces(segment.file, [piece], { offset, run });
      at += piece.byteLength;
      if (offset + piece.byteLength === shape.segmentBytes) yield await this.#close(segment);
    }
    timelines.reach({ timeline, lsn: start + BigInt(bytes.byteLength) });
  }

  /** Writes again what was written. @throws UNSUPPORTED where a whole file holds it: that one may be in use */
  async overwrite(lsn: bigint, bytes: Uint8Array, run: Run): Promise<void> {
    const segment = this.#segment;
    if (segment === undefined || lsn < segment.start) {
      throw new TidemarkError('UNSUPPORTED', 'a tablespace was created exactly where two files of the log meet', {
        hint: 'Restore to a moment before it, or from a base that was taken after it.',
      });
    }
    await writePieces(segment.file, [bytes], { offset: Number(lsn - segment.start), run });
  }

  /** Ends the last file. */
  async *finish(): AsyncGenerator<WalFile> {
    if (this.#segment !== undefined) yield await this.#close(this.#segment);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#segment?.file.close();
    this.#segment = undefined;
  }

  async #open(lsn: bigint, timeline: number, run: Run): Promise<OpenSegment> {
    const { shape } = this.#options;
    const file = await this.#create(UNFINISHED, shape.segmentBytes);
    const segment = { file, start: startOf(lsn, shape.segmentBytes), timeline };
    this.#segment = segment;
    // The server reads the first page of each file, and of a page its header, even if it needs only what lies behind.
    for (const page of new Set([segment.start, startOf(lsn, shape.pageBytes)])) {
      if (page === lsn) continue;
      await writePieces(file, [makePageHeader(page, timeline, shape)], { offset: Number(page - segment.start), run });
    }
    return segment;
  }

  async #close({ file, start, timeline }: OpenSegment): Promise<WalFile> {
    const { shape } = this.#options;
    this.#segment = undefined;
    return { name: await this.#name(file, segmentName(timeline, start, shape.segmentBytes)), kind: 'segment' };
  }

  async *#writeHistory(run: Run): AsyncGenerator<WalFile> {
    const history = this.#options.timelines.historyFile();
    if (history === undefined) return;
    const file = await this.#create(`${UNFINISHED}-history`, 0);
    await writePieces(file, [history.bytes], { offset: 0, run });
    const { folder } = this.#options;
    if (this.#options.durable) await file.sync();
    await file.close();
    await rename(join(folder, `${UNFINISHED}-history`), join(folder, history.name));
    yield { name: history.name, kind: 'history' };
  }

  async #create(name: string, sizeBytes: number): Promise<FileHandle> {
    const { folder, owner } = this.#options;
    const file = await open(join(folder, name), constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
    await file.truncate(sizeBytes);
    if (owner !== undefined) await file.chown(owner.uid, owner.gid);
    return file;
  }

  async #name(file: FileHandle, name: string): Promise<string> {
    const { folder, durable } = this.#options;
    if (durable) await file.sync();
    await file.close();
    await rename(join(folder, UNFINISHED), join(folder, name));
    return name;
  }
}
