import { putTime, TIME_CELLS, timeAt } from '../packed-time.ts';
import type { FileRun } from './content-layout.ts';
import type { TargetShape } from './target-file.ts';

/** A file that is created and finished by one job, or the runs of one that is there. */
export type FillFile =
  | { readonly kind: 'whole'; readonly shape: TargetShape }
  | { readonly kind: 'part'; readonly path: Uint8Array; readonly runs: readonly FileRun[] };

export type JobFile = { readonly fill: FillFile; readonly candidate?: Uint8Array | undefined };

/** The files of a job in columns: a clone of hundreds of small objects costs more than some of the files. */
export type PackedFiles = {
  /** Per file: flags; where its path, its candidate and its runs end in `paths` and `runs`; length, user, group, mode. */
  readonly numbers: Float64Array;
  /** Per file: modified, accessed; each as `putTime` has it. */
  readonly times: BigInt64Array;
  readonly paths: Uint8Array;
  /** Per run: offset, size. */
  readonly runs: Float64Array;
};

const NUMBERS = 8;
const TIMES = 2 * TIME_CELLS;
const PART = 1;
const SPARSE = 2;
const USER = 4;
const GROUP = 8;

export function countFiles({ numbers }: PackedFiles): number {
  return numbers.length / NUMBERS;
}

export function packFiles(files: readonly JobFile[]): PackedFiles {
  const numbers = new Float64Array(files.length * NUMBERS);
  const times = new BigInt64Array(files.length * TIMES);
  const paths = new Uint8Array(
    files.reduce((sum, { fill, candidate }) => sum + pathOf(fill).byteLength + (candidate?.byteLength ?? 0), 0),
  );
  const runs: number[] = [];
  let end = 0;
  for (const [index, { fill, candidate }] of files.entries()) {
    const path = pathOf(fill);
    paths.set(path, end);
    const pathEnd = end + path.byteLength;
    if (candidate !== undefined) paths.set(candidate, pathEnd);
    end = pathEnd + (candidate?.byteLength ?? 0);
    for (const { offset, sizeBytes } of runsOf(fill)) runs.push(offset, sizeBytes);
    const row = index * NUMBERS;
    if (fill.kind === 'part') {
      numbers.set([PART, pathEnd, end, runs.length], row);
      continue;
    }
    const { fileSizeBytes, extents, finish } = fill.shape;
    const { uid, gid, mode, mtimeNs, atimeNs } = finish;
    const flags =
      (extents === undefined ? 0 : SPARSE) | (uid === undefined ? 0 : USER) | (gid === undefined ? 0 : GROUP);
    numbers.set([flags, pathEnd, end, runs.length, fileSizeBytes, uid ?? 0, gid ?? 0, mode], row);
    putTime(times, index * TIMES, mtimeNs);
    putTime(times, index * TIMES + TIME_CELLS, atimeNs);
  }
  return { numbers, times, paths, runs: Float64Array.from(runs) };
}

/** In their order. Paths are views. */
export function* unpackFiles(packed: PackedFiles): Generator<JobFile> {
  const { numbers, times, paths } = packed;
  let [start, runStart] = [0, 0];
  for (let row = 0; row < numbers.length; row += NUMBERS) {
    const number = (column: number): number => numbers[row + column] ?? 0;
    const [flags, pathEnd, end, runEnd] = [number(0), number(1), number(2), number(3)];
    const path = paths.subarray(start, pathEnd);
    const runs = runsBetween(packed, runStart, runEnd);
    const at = (row / NUMBERS) * TIMES;
    const finish = {
      uid: flags & USER ? number(5) : undefined,
      gid: flags & GROUP ? number(6) : undefined,
      mode: number(7),
      mtimeNs: timeAt(times, at),
      atimeNs: timeAt(times, at + TIME_CELLS),
    };
    const shape = { path, fileSizeBytes: number(4), extents: flags & SPARSE ? runs : undefined, finish };
    yield {
      fill: flags & PART ? { kind: 'part', path, runs } : { kind: 'whole', shape },
      candidate: end > pathEnd ? paths.subarray(pathEnd, end) : undefined,
    };
    [start, runStart] = [end, runEnd];
  }
}

function pathOf(fill: FillFile): Uint8Array {
  return fill.kind === 'part' ? fill.path : fill.shape.path;
}

function runsOf(fill: FillFile): readonly FileRun[] {
  return fill.kind === 'part' ? fill.runs : (fill.shape.extents ?? []);
}

function runsBetween({ runs }: PackedFiles, start: number, end: number): FileRun[] {
  const found: FileRun[] = [];
  for (let at = start; at < end; at += 2) found.push({ offset: runs[at] ?? 0, sizeBytes: runs[at + 1] ?? 0 });
  return found;
}
