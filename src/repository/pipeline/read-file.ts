import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { ContentChangedError } from '../../core/content-changed.ts';
import { systemCode } from '../../core/errors.ts';
import type { FileState } from '../../core/recorder.ts';
import type { FilePiece } from './piece.ts';

/** Fills the start of `into` with the runs of a file, and returns how many bytes there were. */
export type ReadFilePiece = (file: FilePiece, into: Uint8Array) => number;

// Without O_NONBLOCK a fifo that took the file's place would block the thread for ever.
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const REPLACED = 'something else took the file’s place';
/** Linux only; absent elsewhere. */
const WITHOUT_ACCESS_TIME = (constants.O_NOATIME as number | undefined) ?? 0;

/**
 * Reads synchronously. Fewer bytes than the runs have come only of a tolerant file that has become shorter and is not padded: they end
 * where it first ends.
 * @throws ContentChangedError when the file is no longer as described once it has been read; what the system says
 */
export function createReadFilePiece(): ReadFilePiece {
  let withoutAccessTime = WITHOUT_ACCESS_TIME;
  const open = (path: Uint8Array): number => {
    const name = Buffer.from(path.buffer, path.byteOffset, path.byteLength);
    try {
      return openSync(name, READ | withoutAccessTime);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENXIO') throw new ContentChangedError(REPLACED, { cause: error });
      if (withoutAccessTime === 0 || code !== 'EPERM') throw error;
    }
    const file = openSync(name, READ);
    // Only the owner may leave the access time alone, and whoever is not will meet more such files.
    withoutAccessTime = 0;
    return file;
  };
  return (piece, into) => {
    const file = open(piece.path);
    try {
      const sizeBytes = readRuns(file, piece, into);
      // What was described is the state before: equal to it now means that nothing happened in between.
      assertUnchanged(fstatSync(file, { bigint: true }), piece);
      return sizeBytes;
    } catch (error) {
      assertRegular(fstatSync(file, { bigint: true }));
      throw error;
    } finally {
      closeSync(file);
    }
  };
}

function readRuns(file: number, piece: FilePiece, into: Uint8Array): number {
  let filled = 0;
  for (const run of piece.runs) {
    for (let done = 0; done < run.sizeBytes; ) {
      const size = readSync(file, into, filled, run.sizeBytes - done, run.offset + done);
      if (size === 0) {
        if (!piece.tolerant) throw new ContentChangedError('the file became shorter while it was read');
        return piece.padded ? pad(piece, into, filled) : filled;
      }
      done += size;
      filled += size;
    }
  }
  return filled;
}

function pad({ runs }: FilePiece, into: Uint8Array, filled: number): number {
  const sizeBytes = runs.reduce((sum, run) => sum + run.sizeBytes, 0);
  into.fill(0, filled, sizeBytes);
  return sizeBytes;
}

function assertUnchanged(stats: BigIntStats, { state, tolerant }: FilePiece): void {
  assertRegular(stats);
  if (tolerant || isAsDescribed(stats, state)) return;
  throw new ContentChangedError('the file changed since it was described');
}

function assertRegular(stats: BigIntStats): void {
  if (!stats.isFile()) throw new ContentChangedError(REPLACED);
}

function isAsDescribed(stats: BigIntStats, state: FileState): boolean {
  return (
    stats.size === BigInt(state.sizeBytes) &&
    stats.mtimeNs === state.mtimeNs &&
    stats.ctimeNs === state.ctimeNs &&
    BigInt.asUintN(64, stats.ino) === BigInt.asUintN(64, state.inode)
  );
}
