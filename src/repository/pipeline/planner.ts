import { moveBytes } from '../../core/bytes.ts';
import { assume, BugError } from '../../core/must.ts';
import type { ByteReader, Content } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import type { ChunkRef, StoreSource } from './engine.ts';
import { extentsOf, wholeFile } from './piece.ts';
import type { FilePiece, FileRuns, Piece, WindowCut } from './piece.ts';
import type { PipelineShape } from './shape.ts';
import type { Slot, SlotPool } from './slots.ts';

/** What is known so far of a source. It grows task by task, in order. */
export type SourceProgress<Tag> = {
  readonly tag: Tag;
  readonly chunks: ChunkRef[];
  sizeBytes: number;
  failure?: { readonly cause: unknown } | undefined;
};

export type PlannedPiece<Tag> = { readonly piece: Piece; readonly source: SourceProgress<Tag> };

/**
 * Pieces that fill a slot, in the order in which they lie there, and the sources that are complete with them, in
 * their own order.
 */
export type Task<Tag> = {
  readonly pieces: readonly PlannedPiece<Tag>[];
  readonly finished: readonly SourceProgress<Tag>[];
  /** Present where bytes are in it already; the task has it from then on. */
  readonly slot?: Slot | undefined;
};

export type PlannerOptions<Tag> = {
  readonly shape: PipelineShape;
  readonly slots: SlotPool;
  /** Starts a task; resolves once another one may come. Tasks pass their own slot on. */
  launch(task: Task<Tag>): Promise<void>;
  /** The same for a task whose last piece is not final; resolves with its cut, or undefined when that piece failed. */
  launchWindow(task: Task<Tag>, onCut: (cut: WindowCut) => void): Promise<WindowCut | undefined>;
};

type FileContent = Extract<Content, { readonly kind: 'file' }>;
type ReaderContent = Extract<Content, { readonly kind: 'reader' }>;

/** A piece of a file, before it has a place in the slot. */
type WaitingPiece<Tag> = {
  readonly source: SourceProgress<Tag>;
  readonly cut: Content['cut'];
  readonly sizeBytes: number;
  readonly final: boolean;
  readonly file: FilePiece;
};

const MAX_SOURCES = 2048;

/** Packs sources into tasks. What a task holds depends on the sources and their cuts, never on time. */
export class Planner<Tag> {
  readonly #options: PlannerOptions<Tag>;
  #finished: SourceProgress<Tag>[] = [];
  #loaded: PlannedPiece<Tag>[] = [];
  #files: WaitingPiece<Tag>[] = [];
  #loadedBytes = 0;
  #fileBytes = 0;
  #slot: Slot | undefined;

  constructor(options: PlannerOptions<Tag>) {
    this.#options = options;
  }

  /** A promise only where something has to be waited for: sources are many. */
  add({ tag, content }: StoreSource<Tag>, run: Run): Promise<void> | undefined {
    const source: SourceProgress<Tag> = { tag, chunks: [], sizeBytes: 0 };
    if (content === undefined) return this.#finish(source);
    const adding = content.kind === 'file' ? this.#addFile(source, content) : this.#addReader(source, content, run);
    return adding === undefined ? this.#finish(source) : adding.then(() => this.#finish(source));
  }

  #finish(source: SourceProgress<Tag>): Promise<void> | undefined {
    this.#finished.push(source);
    return this.#finished.length >= MAX_SOURCES ? this.flush() : undefined;
  }

  /** Starts a task with what has been collected. */
  async flush(): Promise<void> {
    if (this.#finished.length > 0 || this.#hasPieces()) await this.#options.launch(this.#take());
  }

  /** Gives back what no task has taken over. */
  abandon(): void {
    if (this.#slot !== undefined) this.#options.slots.release(this.#slot);
    this.#slot = undefined;
  }

  get #freeBytes(): number {
    return this.#options.shape.capacityBytes - this.#loadedBytes - this.#fileBytes;
  }

  #hasPieces(): boolean {
    return this.#loaded.length > 0 || this.#files.length > 0;
  }

  #addFile(source: SourceProgress<Tag>, content: FileContent): Promise<void> | undefined {
    const { state, extents } = content;
    const runs = extents === undefined ? wholeFile(state.sizeBytes) : extentsOf(extents);
    if (runs.totalBytes === 0) return undefined;
    if (runs.totalBytes > this.#freeBytes) return this.#addLargeFile(source, content, runs);
    this.#addPiece(source, content, { runs: runs.slice(0, runs.totalBytes), sizeBytes: runs.totalBytes, final: true });
    return undefined;
  }

  async #addLargeFile(source: SourceProgress<Tag>, content: FileContent, runs: FileRuns): Promise<void> {
    const addPiece = (start: number, sizeBytes: number, final: boolean): void =>
      this.#addPiece(source, content, { runs: runs.slice(start, sizeBytes), sizeBytes, final });
    if (this.#hasPieces()) await this.flush();
    let start = 0;
    while (runs.totalBytes - start > this.#freeBytes) {
      addPiece(start, this.#windowBytes(content.cut), false);
      const window = await this.#options.launchWindow(this.#take(), () => {});
      if (window === undefined) return;
      assume(window.ended || window.consumedBytes > 0, 'a full window has a cut');
      start += window.consumedBytes;
      if (window.ended) return;
    }
    addPiece(start, runs.totalBytes - start, true);
  }

  #addPiece(
    source: SourceProgress<Tag>,
    { path, state, extents, tolerant = false, cut }: FileContent,
    {
      runs,
      sizeBytes,
      final,
    }: { readonly runs: FilePiece['runs']; readonly sizeBytes: number; readonly final: boolean },
  ): void {
    this.#files.push({
      source,
      cut,
      sizeBytes,
      final,
      file: { path, state, tolerant, padded: extents !== undefined, runs },
    });
    this.#fileBytes += sizeBytes;
  }

  #windowBytes(cut: Content['cut']): number {
    const { pageBytes } = this.#options.shape.sizes;
    return cut === 'stream' ? this.#freeBytes : this.#freeBytes - (this.#freeBytes % pageBytes);
  }

  async #addReader(source: SourceProgress<Tag>, content: ReaderContent, run: Run): Promise<void> {
    try {
      await using reader = await content.open(run);
      let rest: Uint8Array | undefined = new Uint8Array(0);
      while (rest !== undefined) rest = await this.#addWindow(source, { cut: content.cut, reader, rest }, run);
    } catch (error) {
      run.signal.throwIfAborted();
      if (error instanceof BugError) throw error;
      source.failure ??= { cause: error };
    }
  }

  /** Returns what was left behind the window's last cut, or undefined when there is no more. */
  async #addWindow(
    source: SourceProgress<Tag>,
    { cut, reader, rest }: { cut: Content['cut']; reader: ByteReader; rest: Uint8Array },
    run: Run,
  ): Promise<Uint8Array | undefined> {
    const { shape, slots } = this.#options;
    // A window that is not final has to hold a cut.
    if (this.#freeBytes < Math.max(shape.sizes.maxBytes, shape.sizes.pageBytes)) await this.flush();
    const { bytes } = (this.#slot ??= await slots.acquire(run));
    const offset = shape.reserveBytes + this.#loadedBytes;
    const window = bytes.subarray(offset, offset + this.#windowBytes(cut));
    moveBytes(rest, window);
    const sizeBytes = await fill(window, rest.byteLength, reader, run);
    const isLast = sizeBytes < window.byteLength;
    // Pages end where they end, whatever follows: nothing of a window of them is left over.
    const final = isLast || cut === 'pages';
    if (sizeBytes > 0) this.#loaded.push({ source, piece: { cut, offset, sizeBytes, final } });
    this.#loadedBytes += sizeBytes;
    if (isLast) return undefined;
    if (final) {
      await this.flush();
      return new Uint8Array(0);
    }
    let left: Uint8Array | undefined;
    // The slot is the task's own only while it runs.
    await this.#options.launchWindow(this.#take(), ({ consumedBytes }) => {
      left = window.slice(consumedBytes);
    });
    return left;
  }

  /**
   * Gives each piece its place. Small ones lie together, so that they share blocks; the one that is not final comes
   * last.
   */
  #take(): Task<Tag> {
    const { shape } = this.#options;
    const isLarge = (piece: WaitingPiece<Tag>): boolean => piece.sizeBytes >= shape.groupBytes || !piece.final;
    const inOrder = [...this.#files.filter((piece) => !isLarge(piece)), ...this.#files.filter(isLarge)];
    const pieces = this.#loaded;
    let offset = shape.reserveBytes + this.#loadedBytes;
    for (const { source, cut, sizeBytes, final, file } of inOrder) {
      pieces.push({ source, piece: { cut, offset, sizeBytes, final, file } });
      offset += sizeBytes;
    }
    const task = { pieces, finished: this.#finished, slot: this.#slot };
    this.#finished = [];
    this.#loaded = [];
    this.#files = [];
    this.#loadedBytes = 0;
    this.#fileBytes = 0;
    this.#slot = undefined;
    return task;
  }
}

/** Reads until the window is full or the reader at its end; returns up to where. */
async function fill(window: Uint8Array, from: number, reader: ByteReader, run: Run): Promise<number> {
  let filled = from;
  while (filled < window.byteLength) {
    const room = window.subarray(filled);
    const size = await reader.read(room);
    run.signal.throwIfAborted();
    assume(size >= 0 && size <= room.byteLength, 'a reader puts no more than fits');
    if (size === 0) break;
    filled += size;
  }
  return filled;
}
