import type { Cutter } from './cut.ts';
import type { Identify } from './identify.ts';
import type { Identified, Piece, PieceFailure, WindowCut } from './piece.ts';
import type { ReadFilePiece } from './read-file.ts';
import { packError } from './thread-error.ts';

export type IdentifyTools = {
  readonly cutters: Readonly<Record<Piece['cut'], Cutter>>;
  readonly identify: Identify;
  readonly readFile: ReadFilePiece;
};

/**
 * Reads the pieces into the slot, cuts them and computes the ids of their chunks. A piece that fails has no chunks.
 * `onCut` is called before the chunks of the piece that is not final are hashed, so that the next window can be read
 * meanwhile; never when that piece fails.
 */
export function identifyPieces(
  slot: Uint8Array,
  pieces: readonly Piece[],
  tools: IdentifyTools,
  onCut: (cut: WindowCut) => void,
): Identified {
  const chunkCounts = new Uint32Array(pieces.length);
  const found: FoundChunks = { offsets: [], sizes: [], ids: [] };
  const failures: PieceFailure[] = [];
  for (const [index, piece] of pieces.entries()) {
    let ends: readonly number[];
    try {
      ends = readAndCut(slot, piece, tools, onCut);
    } catch (error) {
      failures.push({ piece: index, error: packError(error) });
      continue;
    }
    chunkCounts[index] = ends.length;
    identifyChunks(slot, { start: piece.offset, ends }, tools.identify, found);
  }
  return {
    chunkCounts,
    offsets: Uint32Array.from(found.offsets),
    sizes: Uint32Array.from(found.sizes),
    ids: joinIds(found.ids),
    failures,
  };
}

type FoundChunks = { readonly offsets: number[]; readonly sizes: number[]; readonly ids: Uint8Array[] };

/** A loop of its own: the compiler gives up on one within another again and again. */
function identifyChunks(
  slot: Uint8Array,
  { start, ends }: { readonly start: number; readonly ends: readonly number[] },
  identify: Identify,
  found: FoundChunks,
): void {
  let from = start;
  for (const end of ends) {
    found.offsets.push(from);
    found.sizes.push(end - from);
    found.ids.push(identify(slot.subarray(from, end)));
    from = end;
  }
}

/** Where the piece's chunks end. @throws what `readFile` throws */
function readAndCut(
  slot: Uint8Array,
  piece: Piece,
  tools: IdentifyTools,
  onCut: (cut: WindowCut) => void,
): readonly number[] {
  const { file, offset, sizeBytes, final } = piece;
  const present = file === undefined ? sizeBytes : tools.readFile(file, slot.subarray(offset, offset + sizeBytes));
  const ended = final || present < sizeBytes;
  const ends = cutAll(slot, { start: offset, end: offset + present, final: ended }, tools.cutters[piece.cut]);
  if (!final) onCut({ consumedBytes: (ends.at(-1) ?? offset) - offset, ended });
  return ends;
}

function cutAll(bytes: Uint8Array, range: { start: number; end: number; final: boolean }, cutter: Cutter): number[] {
  const ends: number[] = [];
  for (let at = range.start; at < range.end; ) {
    const end = cutter.next(bytes, at, range.end, range.final);
    if (end === undefined) break;
    ends.push(end);
    at = end;
  }
  return ends;
}

const ID_BYTES = 32;

function joinIds(ids: readonly Uint8Array[]): Uint8Array {
  // Memory of its own, not the shared pool, because it goes to another thread.
  const joined = new Uint8Array(ids.length * ID_BYTES);
  for (const [index, id] of ids.entries()) joined.set(id, index * ID_BYTES);
  return joined;
}
