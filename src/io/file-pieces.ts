import type { FileHandle } from 'node:fs/promises';
import type { Run } from '../core/run.ts';

const MOST_BYTES = 8 << 20;
/** What one system call takes. */
const MOST_PIECES = 1024;

export type WriteOptions = {
  /** Else where the file was written last. */
  readonly offset?: number | undefined;
  /** Its signal is asked between calls of bounded size. */
  readonly run?: Run | undefined;
};

/** Writes all pieces, one after another. @throws Node's file system errors; the signal's reason: after a part of them at most */
export async function writePieces(
  file: FileHandle,
  pieces: readonly Uint8Array[],
  { offset, run }: WriteOptions,
): Promise<void> {
  let at = offset;
  for (const group of groups(pieces)) {
    run?.signal.throwIfAborted();
    for (let left: readonly Uint8Array[] = group; left.length > 0; ) {
      const { bytesWritten } = await file.writev(left, at);
      if (at !== undefined) at += bytesWritten;
      left = withoutFirst(left, bytesWritten);
    }
  }
}

/** Fills `into` from `offset`; what is missing at the end lies behind the end of the file. @throws Node's file system errors; the signal's reason */
export async function readFully(file: FileHandle, offset: number, into: Uint8Array, run: Run): Promise<number> {
  let filled = 0;
  while (filled < into.byteLength) {
    const { bytesRead } = await file.read(into, filled, into.byteLength - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
    run.signal.throwIfAborted();
  }
  return filled;
}

function* groups(pieces: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let group: Uint8Array[] = [];
  let groupBytes = 0;
  for (const whole of pieces) {
    for (let from = 0; from < whole.byteLength; from += MOST_BYTES) {
      const piece = whole.subarray(from, from + MOST_BYTES);
      group.push(piece);
      groupBytes += piece.byteLength;
      if (groupBytes < MOST_BYTES && group.length < MOST_PIECES) continue;
      yield group;
      group = [];
      groupBytes = 0;
    }
  }
  if (group.length > 0) yield group;
}

function withoutFirst(pieces: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skip = count;
  const left: Uint8Array[] = [];
  for (const piece of pieces) {
    if (skip < piece.byteLength) left.push(piece.subarray(skip));
    skip = Math.max(0, skip - piece.byteLength);
  }
  return left;
}
