import { closeSync, constants, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { TidemarkError } from '../../core/errors.ts';
import type { Extent } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import { cloneFile, copyRange } from '../../io/native-file.ts';
import { openAt, removeFileAt, statOpen } from '../../io/native-folder.ts';
import { systemPath } from './byte-text.ts';
import type { Found } from './describe.ts';

const PIECE_BYTES = 1 << 23;

export type LocalCopy = {
  readonly found: Found;
  readonly folder: number;
  /** From `folder`; must not exist. */
  readonly path: Uint8Array;
  readonly extents: readonly Extent[] | undefined;
};

/**
 * Copies a file of the folder as it is now: shares its blocks where the file system can, copies them elsewhere, never links. Owner, mode and
 * times are the caller's to set, by the descriptor that `finish` gets. Leaves nothing behind when it throws.
 * @throws RESTORE_FAILED when it is no longer the file that was found; SystemError
 */
export async function copyLocally(copy: LocalCopy, finish: (file: number) => void, run: Run): Promise<void> {
  const { found, folder, path, extents } = copy;
  const from = openSync(systemPath(found.path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { inode, device, sizeBytes } = statOpen(from);
    const { status } = found;
    if (inode !== status.inode || device !== status.device || sizeBytes !== status.sizeBytes) {
      throw new TidemarkError('RESTORE_FAILED', 'it was replaced or changed its size meanwhile');
    }
    const to = openAt(folder, path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL);
    try {
      if (sizeBytes > 0 && !cloneFile(from, to)) {
        ftruncateSync(to, sizeBytes);
        for (const extent of extents ?? [{ offset: 0, sizeBytes }]) await copyExtent(from, to, extent, run);
      }
      finish(to);
    } catch (error) {
      removeFileAt(folder, path);
      throw error;
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

async function copyExtent(from: number, to: number, extent: Extent, run: Run): Promise<void> {
  const end = extent.offset + extent.sizeBytes;
  for (let offset = extent.offset; offset < end; ) {
    run.signal.throwIfAborted();
    const sizeBytes = Math.min(PIECE_BYTES, end - offset);
    const copied = copyRange({ from, to, offset, sizeBytes }) ?? copyThrough({ from, to, offset, sizeBytes });
    if (copied === 0) throw new TidemarkError('RESTORE_FAILED', 'it became shorter while it was copied');
    offset += copied;
    if (sizeBytes === PIECE_BYTES) await nextTurn();
  }
}

type Piece = { readonly from: number; readonly to: number; readonly offset: number; readonly sizeBytes: number };

function copyThrough({ from, to, offset, sizeBytes }: Piece): number {
  const piece = Buffer.allocUnsafe(sizeBytes);
  const count = readSync(from, piece, 0, sizeBytes, offset);
  for (let at = 0; at < count; ) at += writeSync(to, piece, at, count - at, offset + at);
  return count;
}
