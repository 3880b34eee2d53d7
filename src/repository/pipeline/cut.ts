import { assume } from '../../core/must.ts';
import { createScanner } from './cut-scanner.ts';
import type { Scanner } from './cut-scanner.ts';
import type { ChunkSizes, CutKeys } from './engine.ts';

/** Finds where chunks end. What it finds depends on the bytes from the chunk's first on, and not on how they arrive. */
export interface Cutter {
  /**
   * The end of the chunk that begins at `start`, with `end` the end of what is known. `final`: nothing comes after
   * it; else undefined when more bytes are needed to tell. `maxBytes` (of pages: `pageBytes`) are always enough.
   */
  next(bytes: Uint8Array, start: number, end: number, final: boolean): number | undefined;
  /** The most that one chunk can have. */
  readonly maxBytes: number;
}

/** Fixed pieces, aligned to the content's beginning. */
export function createPageCutter(pageBytes: number): Cutter {
  assume(Number.isInteger(pageBytes) && pageBytes > 0, 'pages have a size');
  return {
    maxBytes: pageBytes,
    next(_bytes, start, end, final) {
      if (end - start >= pageBytes) return start + pageBytes;
      return final ? end : undefined;
    },
  };
}

/** How many bits the two masks differ from the average's: chunks gather around the average. */
const NORMALIZATION = 2;

/**
 * By content (FastCDC with a keyed gear table): an insertion changes the chunks around it and no others. A chunk has
 * more than `minBytes` and at most `maxBytes`, but the last of a content may have fewer.
 */
export function createContentCutter(sizes: ChunkSizes, scanner: Scanner): Cutter {
  const { minBytes, averageBytes, maxBytes } = sizes;
  assume(0 < minBytes && minBytes < averageBytes && averageBytes < maxBytes, 'chunk sizes ascend');
  const bits = Math.round(Math.log2(averageBytes));
  const beforeAverage = highBits(bits + NORMALIZATION);
  const afterAverage = highBits(bits - NORMALIZATION);
  return {
    maxBytes,
    next(bytes, start, end, final) {
      const known = end - start;
      if (known > minBytes) {
        const middle = start + Math.min(known, averageBytes);
        scanner.reset();
        let found = scanner.scan(bytes, start + minBytes, middle, beforeAverage);
        if (found < 0) found = scanner.scan(bytes, middle, start + Math.min(known, maxBytes), afterAverage);
        if (found >= 0) return found + 1;
        if (known >= maxBytes) return start + maxBytes;
      }
      return final ? end : undefined;
    },
  };
}

/** The upper bits depend on the most bytes: the n-th from above on the last 33 - n. */
function highBits(count: number): number {
  assume(count > 0 && count < 32, 'an average chunk between 8 bytes and 512 MiB');
  return (0xffff_ffff << (32 - count)) | 0;
}

/** Both ways to cut, under the writer's own gear table. */
export function createCutters(sizes: ChunkSizes, keys: CutKeys): Readonly<Record<'stream' | 'pages', Cutter>> {
  return {
    stream: createContentCutter(sizes, createScanner(keys.gear)),
    pages: createPageCutter(sizes.pageBytes),
  };
}
