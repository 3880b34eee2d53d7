import type { BaseReader, StoredContent, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { decodeAttributes } from './attributes.ts';

/** Zeros are handed out in pieces of this size. */
const HOLE_BYTES = 1024 * 1024;

type Piece = { readonly sizeBytes: number; readonly isHole: boolean };

/** The bytes of a file with its holes as zeros; undefined for what is no file. */
export function fileContent(
  entry: StoredEntry,
): { read(base: BaseReader, run: Run): AsyncIterable<Uint8Array> } | undefined {
  const { content } = entry;
  const { type, sizeBytes, extents } = decodeAttributes(entry.attributes);
  if (type !== 'file') return undefined;
  return {
    read: (base, run) =>
      content !== undefined && extents === undefined
        ? base.read(content, run)
        : readSparse(base, { content, extents: extents ?? [], sizeBytes }, run),
  };
}

async function* readSparse(
  base: BaseReader,
  file: {
    /** Absent when the file is empty, or one hole. */
    readonly content: StoredContent | undefined;
    readonly extents: readonly { readonly offset: number; readonly sizeBytes: number }[];
    readonly sizeBytes: number;
  },
  run: Run,
): AsyncGenerator<Uint8Array> {
  const data = file.content && base.read(file.content, run)[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array(0);
  for (const piece of piecesOf(file)) {
    for (let left = piece.sizeBytes; left > 0; ) {
      if (piece.isHole) {
        const zeros = new Uint8Array(Math.min(left, HOLE_BYTES));
        left -= zeros.byteLength;
        yield zeros;
        continue;
      }
      if (rest.byteLength === 0) {
        const next = await data?.next();
        if (next === undefined || next.done === true) return;
        rest = next.value;
      }
      const taken = rest.subarray(0, left);
      rest = rest.subarray(taken.byteLength);
      left -= taken.byteLength;
      yield taken;
    }
  }
}

function* piecesOf(file: {
  readonly extents: readonly { readonly offset: number; readonly sizeBytes: number }[];
  readonly sizeBytes: number;
}): Generator<Piece> {
  let at = 0;
  for (const { offset, sizeBytes } of file.extents) {
    if (offset > at) yield { sizeBytes: offset - at, isHole: true };
    yield { sizeBytes, isHole: false };
    at = offset + sizeBytes;
  }
  if (file.sizeBytes > at) yield { sizeBytes: file.sizeBytes - at, isHole: true };
}
