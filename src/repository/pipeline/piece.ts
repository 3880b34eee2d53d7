import { must } from '../../core/must.ts';
import type { Extent, FileState } from '../../core/recorder.ts';
import type { ThreadError } from './thread-error.ts';

/** Bytes of one content in a slot: a whole small one, or a window of a large one. */
export type Piece = {
  readonly cut: 'stream' | 'pages';
  /** Where it lies in the slot, and how much of it is expected. */
  readonly offset: number;
  readonly sizeBytes: number;
  /** Nothing of the content comes after it. At most one piece of a task is not final, its last. */
  readonly final: boolean;
  /** Absent: the bytes are in the slot already. */
  readonly file?: FilePiece | undefined;
};

/** `runs`: what of the file to read, one after another. `padded`: whoever tells of them counts on all their bytes, so that of a tolerant file zeros stand for those that went. */
export type FilePiece = {
  readonly path: Uint8Array;
  readonly state: FileState;
  readonly tolerant: boolean;
  readonly padded: boolean;
  readonly runs: readonly Extent[];
};

/**
 * The chunks that were found in the pieces of a task, in the order of the pieces. Columns, because a task has up to a
 * thousand pieces and goes between threads.
 */
export type Identified = {
  /** Of each piece. */
  readonly chunkCounts: Uint32Array;
  /** Of each chunk: 32 bytes of id, place in the slot, size. */
  readonly ids: Uint8Array;
  readonly offsets: Uint32Array;
  readonly sizes: Uint32Array;
  readonly failures: readonly PieceFailure[];
};

/** A piece that could not be read as described. */
export type PieceFailure = { readonly piece: number; readonly error: ThreadError };

/**
 * Up to where the piece that is not final was cut, from its own start; `ended`: the content turned out to end there.
 */
export type WindowCut = { readonly consumedBytes: number; readonly ended: boolean };

/** Where the runs of a file lie in its content. */
export interface FileRuns {
  readonly totalBytes: number;
  /** The runs that make up `[start, start + sizeBytes)` of the content. */
  slice(start: number, sizeBytes: number): readonly Extent[];
}

export function wholeFile(sizeBytes: number): FileRuns {
  return { totalBytes: sizeBytes, slice: (start, size) => [{ offset: start, sizeBytes: size }] };
}

export function extentsOf(extents: readonly Extent[]): FileRuns {
  const ends = new Float64Array(extents.length);
  let totalBytes = 0;
  for (const [index, extent] of extents.entries()) {
    totalBytes += extent.sizeBytes;
    ends[index] = totalBytes;
  }
  const firstEndingAfter = (position: number): number => {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ends[middle] ?? 0) <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return {
    totalBytes,
    slice(start, sizeBytes) {
      const runs: Extent[] = [];
      const end = start + sizeBytes;
      for (let index = firstEndingAfter(start), at = start; at < end; index += 1) {
        const extent = must(extents[index], 'a slice lies within the extents');
        const extentEnd = must(ends[index], 'every extent has an end');
        const size = Math.min(end, extentEnd) - at;
        if (size > 0) runs.push({ offset: extent.offset + extent.sizeBytes - (extentEnd - at), sizeBytes: size });
        at += Math.max(size, 0);
      }
      return runs;
    },
  };
}
