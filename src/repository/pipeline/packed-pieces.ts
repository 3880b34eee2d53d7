import type { Extent } from '../../core/recorder.ts';
import { putTime, TIME_CELLS, timeAt } from '../packed-time.ts';
import type { FilePiece, Piece } from './piece.ts';

/**
 * The pieces of a task in columns: a clone of a thousand small objects, each with views of a pool that is cloned
 * whole every time, would cost more than reading the files.
 */
export type PackedPieces = {
  /** Per piece: flags, offset, size; where its path and its runs end in `paths` and `runs`; size of the file. */
  readonly numbers: Float64Array;
  /** Per piece: modified, changed, both as `putTime` has them; inode. */
  readonly states: BigInt64Array;
  readonly paths: Uint8Array;
  /** Per run: offset, size. */
  readonly runs: Float64Array;
};

const NUMBERS = 6;
const CHANGED = TIME_CELLS;
const INODE = 2 * TIME_CELLS;
const STATES = INODE + 1;
const PAGES = 1;
const FINAL = 2;
const FILE = 4;
const TOLERANT = 8;
const PADDED = 16;

export function packPieces(pieces: readonly Piece[]): PackedPieces {
  const numbers = new Float64Array(pieces.length * NUMBERS);
  const states = new BigInt64Array(pieces.length * STATES);
  const paths = new Uint8Array(pieces.reduce((sum, { file }) => sum + (file?.path.byteLength ?? 0), 0));
  const runs: number[] = [];
  let pathEnd = 0;
  let at = 0;
  let stateAt = 0;
  for (const { cut, offset, sizeBytes, final, file } of pieces) {
    let flags = (cut === 'pages' ? PAGES : 0) | (final ? FINAL : 0);
    if (file !== undefined) {
      const { path, state, tolerant, padded } = file;
      flags |= FILE | (tolerant ? TOLERANT : 0) | (padded ? PADDED : 0);
      paths.set(path, pathEnd);
      pathEnd += path.byteLength;
      for (const run of file.runs) runs.push(run.offset, run.sizeBytes);
      putTime(states, stateAt, state.mtimeNs);
      putTime(states, stateAt + CHANGED, state.ctimeNs);
      states[stateAt + INODE] = state.inode;
      numbers[at + 5] = state.sizeBytes;
    }
    numbers[at] = flags;
    numbers[at + 1] = offset;
    numbers[at + 2] = sizeBytes;
    numbers[at + 3] = pathEnd;
    numbers[at + 4] = runs.length;
    at += NUMBERS;
    stateAt += STATES;
  }
  return { numbers, states, paths, runs: Float64Array.from(runs) };
}

export function unpackPieces(packed: PackedPieces): Piece[] {
  const { numbers } = packed;
  const pieces: Piece[] = [];
  let pathStart = 0;
  let runStart = 0;
  for (let at = 0; at < numbers.length; at += NUMBERS) {
    const flags = numbers[at] ?? 0;
    const pathEnd = numbers[at + 3] ?? 0;
    const runEnd = numbers[at + 4] ?? 0;
    pieces.push({
      cut: flags & PAGES ? 'pages' : 'stream',
      offset: numbers[at + 1] ?? 0,
      sizeBytes: numbers[at + 2] ?? 0,
      final: (flags & FINAL) !== 0,
      file: flags & FILE ? unpackFile(packed, at, { pathStart, pathEnd, runStart, runEnd }) : undefined,
    });
    pathStart = pathEnd;
    runStart = runEnd;
  }
  return pieces;
}

type FilePlaces = {
  readonly pathStart: number;
  readonly pathEnd: number;
  readonly runStart: number;
  readonly runEnd: number;
};

/** `at`: where the piece's numbers begin. */
function unpackFile({ numbers, states, paths, runs }: PackedPieces, at: number, places: FilePlaces): FilePiece {
  const state = (at / NUMBERS) * STATES;
  const extents: Extent[] = [];
  for (let run = places.runStart; run < places.runEnd; run += 2) {
    extents.push({ offset: runs[run] ?? 0, sizeBytes: runs[run + 1] ?? 0 });
  }
  return {
    path: paths.subarray(places.pathStart, places.pathEnd),
    state: {
      sizeBytes: numbers[at + 5] ?? 0,
      mtimeNs: timeAt(states, state),
      ctimeNs: timeAt(states, state + CHANGED),
      inode: states[state + INODE] ?? 0n,
    },
    tolerant: ((numbers[at] ?? 0) & TOLERANT) !== 0,
    padded: ((numbers[at] ?? 0) & PADDED) !== 0,
    runs: extents,
  };
}
