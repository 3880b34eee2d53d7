import { moveBytes } from '../core/bytes.ts';
import { assume, must } from '../core/must.ts';
import type { ByteReader, Content, Extent, Patch } from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import { startedAhead } from '../flow/started-ahead.ts';
import type { StoredEarlierBase } from './earlier-base.ts';
import { damaged } from './format/byte-cursor.ts';
import type { ChunkPart } from './format/node.ts';
import type { ChunkRef } from './pipeline/engine.ts';

/** While a page is stored, the earlier content of so many of the next ones is on its way. */
const PAGES_AHEAD = 8;

export type PatchTools = {
  readonly pageBytes: number;
  readonly earlier: StoredEarlierBase | undefined;
  /** Takes a stored chunk into the base. False when it counts as absent. */
  readonly reuse: (id: Uint8Array) => boolean;
};

/** A page that is stored anew. `part`: what of the earlier content it is made of, where that is not all changed. */
type Page = {
  readonly sizeBytes: number;
  readonly keptBytes: number;
  readonly part: ChunkPart | undefined;
  /** Of the page. */
  readonly extents: readonly Extent[];
};

/**
 * A content that is an earlier one with changes. Since pages end at the same places whatever is in them, those without a change are taken as they
 * are, and the others are stored as if they were a content of their own.
 */
export class PatchedContent {
  /** The pages that are to be stored. */
  readonly content: Content;
  readonly #patch: Patch;
  readonly #tools: PatchTools;
  /** In the order of the content. Undefined: one that is stored anew. */
  readonly #chunks: (ChunkRef | undefined)[] = [];
  #failure: { readonly error: unknown } | undefined;

  constructor(patch: Patch, tools: PatchTools) {
    this.#patch = patch;
    this.#tools = tools;
    this.content = { kind: 'reader', cut: 'pages', open: (run) => this.#noting(() => this.#open(run)) };
  }

  /** @throws what kept `content` from being read to its end */
  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** All chunks of the content, given those of `content` as they were stored. */
  with(stored: readonly ChunkRef[]): readonly ChunkRef[] {
    let next = 0;
    const chunks = this.#chunks.map((known) => known ?? must(stored[next++], 'a chunk for each page that was stored'));
    assume(next === stored.length, 'a page for each chunk that was stored');
    return chunks;
  }

  async #open(run: Run): Promise<ByteReader> {
    const pages = this.#plan(await this.#earlierChunks(run));
    const reader = new PageReader(pages, await this.#patch.open(run), this.#tools.earlier, run);
    return {
      read: (into) => this.#noting(() => reader.read(into)),
      [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
    };
  }

  async #noting<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    }
  }

  async #earlierChunks(run: Run): Promise<readonly ChunkPart[]> {
    const { earlier, keptBytes } = this.#patch;
    if (earlier === undefined || keptBytes === 0) return [];
    const parts = await must(this.#tools.earlier, 'an earlier base').chunksOf(earlier, run);
    const { pageBytes } = this.#tools;
    if (parts.slice(0, -1).every(({ sizeBytes }) => sizeBytes === pageBytes)) return parts;
    throw damaged('a content of the earlier base', 'it was not cut in pages');
  }

  /** Says of each page whether it is taken as it is. Returns those that are not. */
  #plan(parts: readonly ChunkPart[]): readonly Page[] {
    const { sizeBytes, keptBytes } = this.#patch;
    const { pageBytes, reuse } = this.#tools;
    const changed = new Extents(this.#patch.extents);
    const pages: Page[] = [];
    for (let start = 0, index = 0; start < sizeBytes; start += pageBytes, index++) {
      const end = Math.min(start + pageBytes, sizeBytes);
      const extents = changed.within(start, end);
      const part = start < keptBytes ? must(parts[index], 'a chunk where something is kept') : undefined;
      const isSame = part !== undefined && end <= keptBytes && part.sizeBytes === end - start && extents.length === 0;
      const isReused = isSame && reuse(part.id);
      this.#chunks.push(isReused ? part : undefined);
      if (isReused) continue;
      const changedBytes = extents.reduce((sum, extent) => sum + extent.sizeBytes, 0);
      const isAllChanged = changedBytes === end - start;
      pages.push({
        sizeBytes: end - start,
        keptBytes: Math.min(keptBytes, end) - start,
        part: isAllChanged ? undefined : part,
        extents,
      });
    }
    return pages;
  }
}

/** Runs of bytes, asked for from the beginning to the end. */
class Extents {
  readonly #extents: readonly Extent[];
  #next = 0;

  constructor(extents: readonly Extent[]) {
    this.#extents = extents;
  }

  /** What of them lies in a range that begins where the last one ended, counted from its start. */
  within(start: number, end: number): readonly Extent[] {
    const found: Extent[] = [];
    for (;;) {
      const extent = this.#extents[this.#next];
      if (extent === undefined || extent.offset >= end) return found;
      const extentEnd = extent.offset + extent.sizeBytes;
      const from = Math.max(extent.offset, start);
      found.push({ offset: from - start, sizeBytes: Math.min(extentEnd, end) - from });
      if (extentEnd > end) return found;
      this.#next++;
    }
  }
}

type WantedPage = ReturnType<typeof startedAhead<Page, Uint8Array | undefined>>;

/** The bytes of pages, one after another: what is kept of the earlier content, with the changes laid over it. */
class PageReader implements ByteReader {
  readonly #pages: WantedPage;
  readonly #changes: ByteReader;
  #page: Uint8Array = new Uint8Array(0);

  constructor(pages: readonly Page[], changes: ByteReader, earlier: StoredEarlierBase | undefined, run: Run) {
    this.#changes = changes;
    this.#pages = startedAhead(pages, PAGES_AHEAD, async ({ part }) =>
      part === undefined ? undefined : await must(earlier, 'an earlier base').chunk(part, run),
    );
  }

  async read(into: Uint8Array): Promise<number> {
    if (this.#page.byteLength === 0) {
      const next = this.#pages.next();
      if (next.done === true) return await this.#end(into);
      this.#page = await this.#patched(next.value.item, await next.value.result);
    }
    const taken = this.#page.subarray(0, into.byteLength);
    moveBytes(taken, into);
    this.#page = this.#page.subarray(taken.byteLength);
    return taken.byteLength;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#changes[Symbol.asyncDispose]();
  }

  async #patched({ sizeBytes, keptBytes, extents }: Page, earlier: Uint8Array | undefined): Promise<Uint8Array> {
    const page = new Uint8Array(sizeBytes);
    if (earlier !== undefined) page.set(earlier.subarray(0, keptBytes));
    for (const extent of extents) {
      const end = extent.offset + extent.sizeBytes;
      for (let at = extent.offset; at < end; ) {
        const count = await this.#changes.read(page.subarray(at, end));
        assume(count > 0, 'as many bytes as have changed');
        at += count;
      }
    }
    return page;
  }

  /** Whoever sends the changes knows that all have come only when it was asked for more. */
  async #end(into: Uint8Array): Promise<number> {
    assume((await this.#changes.read(into.subarray(0, 1))) === 0, 'no more bytes than have changed');
    return 0;
  }
}
