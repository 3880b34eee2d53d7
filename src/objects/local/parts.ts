import type { FileHandle } from 'node:fs/promises';
import type { Run } from '../../core/run.ts';

const MOST_BYTES = 8 << 20;
/** What one system call takes. */
const MOST_PIECES = 1024;

/** Appends all parts to the file. The signal is asked between calls of bounded size. Rejects with the file system's errors. */
export async function writeParts(file: FileHandle, parts: readonly Uint8Array[], run: Run): Promise<void> {
  for (const group of groups(parts)) {
    run.signal.throwIfAborted();
    for (let left: readonly Uint8Array[] = group; left.length > 0; ) {
      const { bytesWritten } = await file.writev(left);
      left = withoutFirst(left, bytesWritten);
    }
  }
}

/** Fills `into` from `offset`; what is missing at the end lies behind the end of the file. */
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

function* groups(parts: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let group: Uint8Array[] = [];
  let groupBytes = 0;
  for (const part of parts) {
    for (let from = 0; from < part.byteLength; from += MOST_BYTES) {
      const piece = part.subarray(from, from + MOST_BYTES);
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

function withoutFirst(parts: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skip = count;
  const left: Uint8Array[] = [];
  for (const part of parts) {
    if (skip < part.byteLength) left.push(part.subarray(skip));
    skip = Math.max(0, skip - part.byteLength);
  }
  return left;
}
