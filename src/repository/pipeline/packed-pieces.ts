import { must } from '../../core/must.ts';
import type { Extent } from '../../core/recorder.ts';
import type { Piece } from './piece.ts';

/**
 * The pieces of a task in columns: a clone of a thousand small objects, each with views of a pool that is cloned
 * whole every time, would cost more than reading the files.
 */
export type PackedPieces = {
  /** Per piece: flags, offset, size; where its path and its runs end in `paths` and `runs`; size of the file. */
  readonly numbers: Float64Array;
  /** Per piece: modified, changed, inode. */
  readonly states: BigInt64Array;
  readonly paths: Uint8Array;
  /** Per run: offset, size. */
  readonly runs: Float64Array;
};

const NUMBERS = 6;
const STATES = 3;
const PAGES = 1;
const FINAL = 2;
const FILE = 4;
const TOLERANT = 8;

export function packPieces(pieces: readonly Piece[]): PackedPieces {
  const numbers = new Float64Array(pieces.length * NUMBERS);
  const states = new BigInt64Array(pieces.length * STATES);
  const paths = new Uint8Array(pieces.reduce((sum, { file }) => sum + (file?.path.byteLength ?? 0), 0));
  const runs: number[] = [];
  let pathEnd = 0;
  for (const [index, { cut, offset, sizeBytes, final, file }] of pieces.entries()) {
    let flags = (cut === 'pages' ? PAGES : 0) | (final ? FINAL : 0);
    if (file !== undefined) {
      flags |= FILE | (file.tolerant ? TOLERANT : 0);
      paths.set(file.path, pathEnd);
      pathEnd += file.path.byteLength;
      for (const run of file.runs) runs.push(run.offset, run.sizeBytes);
      states.set([file.state.mtimeNs, file.state.ctimeNs, file.state.inode], index * STATES);
    }
    numbers.set([flags, offset, sizeBytes, pathEnd, runs.length, file?.state.sizeBytes ?? 0], index * NUMBERS);
  }
  return { numbers, states, paths, runs: Float64Array.from(runs) };
}

export function unpackPieces({ numbers, states, paths, runs }: PackedPieces): Piece[] {
  let pathStart = 0;
  let runsStart = 0;
  return Array.from({ length: numbers.length / NUMBERS }, (_, index) => {
    const at = (column: number): number => must(numbers[index * NUMBERS + column], 'every piece has its numbers');
    const state = (column: number): bigint => must(states[index * STATES + column], 'every piece has its state');
    const [flags, pathEnd, runsEnd] = [at(0), at(3), at(4)];
    const piece: Piece = {
      cut: flags & PAGES ? 'pages' : 'stream',
      final: (flags & FINAL) !== 0,
      offset: at(1),
      sizeBytes: at(2),
    };
    const file = {
      path: paths.subarray(pathStart, pathEnd),
      state: { sizeBytes: at(5), mtimeNs: state(0), ctimeNs: state(1), inode: state(2) },
      tolerant: (flags & TOLERANT) !== 0,
      runs: runsOf(runs.subarray(runsStart, runsEnd)),
    };
    pathStart = pathEnd;
    runsStart = runsEnd;
    return flags & FILE ? { ...piece, file } : piece;
  });
}

function runsOf(columns: Float64Array): Extent[] {
  return Array.from({ length: columns.length / 2 }, (_, run) => ({
    offset: must(columns[run * 2], 'every run has an offset'),
    sizeBytes: must(columns[run * 2 + 1], 'every run has a size'),
  }));
}
