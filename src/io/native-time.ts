import { checked, createStringPlace, libc } from './native.ts';
import type { PathBytes } from './native.ts';

/** Nanoseconds since 1970. An absent time stays as it is. */
export type FileTimes = { readonly atimeNs?: bigint | undefined; readonly mtimeNs?: bigint | undefined };

const UTIME_OMIT = 0x3ffffffen;
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const NS_PER_SECOND = 1_000_000_000n;

const pathPlace = createStringPlace();
/** Two `struct timespec`: access, modification. */
const times = new BigInt64Array(4);

function putTime(index: number, timeNs: bigint | undefined): void {
  if (timeNs === undefined) {
    times[index] = 0n;
    times[index + 1] = UTIME_OMIT;
    return;
  }
  const rest = timeNs % NS_PER_SECOND;
  const nanoseconds = rest < 0n ? rest + NS_PER_SECOND : rest;
  const seconds = (timeNs - nanoseconds) / NS_PER_SECOND;
  if (BigInt.asIntN(64, seconds) !== seconds) throw new RangeError(`not a time of a file: ${timeNs} ns`);
  times[index] = seconds;
  times[index + 1] = nanoseconds;
}

/**
 * Sets the times of what lies at `path` to the nanosecond; a link is not followed. A relative path starts at `folder`, an
 * open folder's descriptor, or else at the working directory. What the file system can't hold, the kernel rounds down.
 * @throws SystemError, RangeError when the seconds exceed 64 bits
 */
export function setTimes(path: PathBytes, to: FileTimes, folder: number = AT_FDCWD): void {
  const facts = { syscall: 'utimensat', path };
  putTime(0, to.atimeNs);
  putTime(2, to.mtimeNs);
  checked(libc().utimensat(folder, pathPlace.put(path, facts), times, AT_SYMLINK_NOFOLLOW), facts);
}

/** As `setTimes`, of an open file. */
export function setTimesOfFile(file: number, to: FileTimes): void {
  putTime(0, to.atimeNs);
  putTime(2, to.mtimeNs);
  checked(libc().futimens(file, times), { syscall: 'futimens' });
}
