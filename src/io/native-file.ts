import type { Extent } from '../core/recorder.ts';
import {
  EINVAL,
  EINTR,
  ENOSYS,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EWOULDBLOCK,
  EXDEV,
  lastErrno,
  libc,
  systemError,
} from './native.ts';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/**
 * The runs of an open file's first `sizeBytes` bytes that are not holes, ascending. A file system that knows no holes gives
 * one run. It is what the file is at this moment; the descriptor's own offset is moved. @throws SystemError
 */
export function dataExtents(file: number, sizeBytes: number): Extent[] {
  const extents: Extent[] = [];
  const facts = { syscall: 'lseek' };
  for (let at = 0; at < sizeBytes; ) {
    const offset = libc().lseek(file, at, SEEK_DATA);
    if (offset < 0) {
      const errno = lastErrno();
      if (errno === ENXIO) break;
      if (errno === EINVAL && at === 0) return [{ offset: 0, sizeBytes }];
      throw systemError(errno, facts);
    }
    if (offset >= sizeBytes) break;
    const hole = libc().lseek(file, offset, SEEK_HOLE);
    if (hole < 0) {
      const errno = lastErrno();
      // The file was cut shorter between the two calls.
      if (errno === ENXIO) break;
      throw systemError(errno, facts);
    }
    at = Math.min(hole, sizeBytes);
    extents.push({ offset, sizeBytes: at - offset });
  }
  return extents;
}

const FICLONE = 0x4004_9409;

/** Errors by which a file system says that it can't share blocks, between these files or at all. */
const CANNOT_SHARE: readonly number[] = [EOPNOTSUPP, ENOTTY, EINVAL, EXDEV, ENOSYS];

/**
 * Makes the open file `to` a copy of `from` that shares its blocks until one of them is written. False where the file system
 * can't; then nothing has changed. @throws SystemError
 */
export function cloneFile(from: number, to: number): boolean {
  if (libc().ioctl(to, FICLONE, from) >= 0) return true;
  const errno = lastErrno();
  if (CANNOT_SHARE.includes(errno)) return false;
  throw systemError(errno, { syscall: 'ioctl_ficlone' });
}

const fromOffset = new BigInt64Array(1);
const toOffset = new BigInt64Array(1);

export type RangeCopy = {
  readonly from: number;
  readonly to: number;
  readonly offset: number;
  readonly sizeBytes: number;
};

/**
 * Copies a range between two open files to the same offset, inside the kernel (the file system may share the blocks).
 * Returns the bytes copied, fewer than asked at the end of `from`, or undefined where it can't be done that way; then
 * nothing has been copied. @throws SystemError
 */
export function copyRange(range: RangeCopy): number | undefined {
  let copied = 0;
  while (copied < range.sizeBytes) {
    fromOffset[0] = toOffset[0] = BigInt(range.offset + copied);
    const size = libc().copy_file_range(range.from, fromOffset, range.to, toOffset, range.sizeBytes - copied, 0);
    if (size === 0) break;
    if (size > 0) {
      copied += size;
      continue;
    }
    const errno = lastErrno();
    if (errno === EINTR) continue;
    if (copied === 0 && CANNOT_SHARE.includes(errno)) return undefined;
    throw systemError(errno, { syscall: 'copy_file_range' });
  }
  return copied;
}

const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Takes the advisory lock of an open file, for all who ask by flock on the same file. It ends when the descriptor is closed,
 * with the process at the latest. False when another holds it. Never waits. @throws SystemError
 */
export function tryLockFile(file: number): boolean {
  for (;;) {
    if (libc().flock(file, LOCK_EX | LOCK_NB) >= 0) return true;
    const errno = lastErrno();
    if (errno === EWOULDBLOCK) return false;
    if (errno !== EINTR) throw systemError(errno, { syscall: 'flock' });
  }
}

/**
 * Resolves when all that was written to the file system of an open file or folder is on the disk: for a tree of many files
 * far cheaper than one fsync each. Runs on the thread pool. @throws SystemError
 */
export function syncFileSystem(file: number): Promise<void> {
  return new Promise((resolve, reject) => {
    libc().syncfs.async(file, (error, result) => {
      if (error !== null && error !== undefined) reject(error);
      else if (result < 0) reject(systemError(lastErrno(), { syscall: 'syncfs' }));
      else resolve();
    });
  });
}
