import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';
import { TidemarkError } from '../core/errors.ts';

/** What the system call needs: a buffer is passed in place, without a copy. */
type Memory = Uint8Array | BigInt64Array | null;

/** The C functions that Node does not offer. Each returns -1 on failure, and `lastErrno` then says why. */
export type Libc = {
  readonly clock_gettime: (clock: number, time: BigInt64Array) => number;
  readonly utimensat: (folder: number, path: Memory, times: BigInt64Array, flags: number) => number;
  readonly futimens: (file: number, times: BigInt64Array) => number;
  readonly lgetxattr: (path: Memory, name: Memory, value: Memory, size: number) => number;
  readonly fgetxattr: (file: number, name: Memory, value: Memory, size: number) => number;
  readonly llistxattr: (path: Memory, list: Memory, size: number) => number;
  readonly flistxattr: (file: number, list: Memory, size: number) => number;
  readonly lsetxattr: (path: Memory, name: Memory, value: Memory, size: number, flags: number) => number;
  readonly fsetxattr: (file: number, name: Memory, value: Memory, size: number, flags: number) => number;
  readonly lremovexattr: (path: Memory, name: Memory) => number;
  readonly fremovexattr: (file: number, name: Memory) => number;
  readonly lseek: (file: number, offset: number, whence: number) => number;
  readonly ioctl: (file: number, request: number, argument: number) => number;
  readonly copy_file_range: (
    from: number,
    fromOffset: BigInt64Array,
    to: number,
    toOffset: BigInt64Array,
    size: number,
    flags: number,
  ) => number;
  readonly flock: (file: number, operation: number) => number;
  readonly syncfs: AsyncCall<(file: number) => number>;
  readonly openat: (folder: number, path: Memory, flags: number, mode: number) => number;
  readonly mkdirat: (folder: number, path: Memory, mode: number) => number;
  readonly symlinkat: (target: Memory, folder: number, path: Memory) => number;
  readonly linkat: (fromFolder: number, from: Memory, toFolder: number, to: Memory, flags: number) => number;
  readonly unlinkat: (folder: number, path: Memory, flags: number) => number;
  readonly fchownat: (folder: number, path: Memory, user: number, group: number, flags: number) => number;
  readonly readlinkat: (folder: number, path: Memory, target: Memory, size: number) => number;
  readonly renameat2: (fromFolder: number, from: Memory, toFolder: number, to: Memory, flags: number) => number;
  readonly statx: (folder: number, path: Memory, flags: number, mask: number, status: Memory) => number;
  readonly syscall: (call: number, first: number, second: number, third: number) => number;
  readonly inotify_init1: (flags: number) => number;
  readonly inotify_add_watch: (queue: number, path: Memory, mask: number) => number;
  readonly inotify_rm_watch: (queue: number, watch: number) => number;
  readonly read: (file: number, into: Memory, size: number) => number;
  /** Of the GNU C library only. */
  readonly mallopt?: ((parameter: number, value: number) => number) | undefined;
  readonly malloc_trim?: ((keptBytes: number) => number) | undefined;
};

/** A call that may wait for the disk, and therefore can also be made on the thread pool. */
type AsyncCall<Call extends (...values: never[]) => number> = Call & {
  readonly async: (...values: [...Parameters<Call>, (error: unknown, result: number) => void]) => void;
};

// `off_t`, `ssize_t` and `time_t` are 64 bits wide on both supported processors. Variadic functions are declared with the
// arguments that are used: integers travel in the same registers either way.
const DECLARATIONS = [
  'int clock_gettime(int, void *)',
  'int utimensat(int, void *, void *, int)',
  'int futimens(int, void *)',
  'int64_t lgetxattr(void *, void *, void *, size_t)',
  'int64_t fgetxattr(int, void *, void *, size_t)',
  'int64_t llistxattr(void *, void *, size_t)',
  'int64_t flistxattr(int, void *, size_t)',
  'int lsetxattr(void *, void *, void *, size_t, int)',
  'int fsetxattr(int, void *, void *, size_t, int)',
  'int lremovexattr(void *, void *)',
  'int fremovexattr(int, void *)',
  'int64_t lseek(int, int64_t, int)',
  'int ioctl(int, uint64_t, int64_t)',
  'int64_t copy_file_range(int, void *, int, void *, size_t, uint32_t)',
  'int flock(int, int)',
  'int syncfs(int)',
  'int openat(int, void *, int, uint32_t)',
  'int mkdirat(int, void *, uint32_t)',
  'int symlinkat(void *, int, void *)',
  'int linkat(int, void *, int, void *, int)',
  'int unlinkat(int, void *, int)',
  'int fchownat(int, void *, uint32_t, uint32_t, int)',
  'int64_t readlinkat(int, void *, void *, size_t)',
  'int renameat2(int, void *, int, void *, uint32_t)',
  'int statx(int, void *, int, uint32_t, void *)',
  'int64_t syscall(int64_t, int64_t, int64_t, int64_t)',
  'int inotify_init1(int)',
  'int inotify_add_watch(int, void *, uint32_t)',
  'int inotify_rm_watch(int, int)',
  'int64_t read(int, void *, size_t)',
] as const;

const GNU_DECLARATIONS = ['int mallopt(int, int)', 'int malloc_trim(size_t)'] as const;

/** Calls `listener` whenever the descriptor has something to read, until it is closed. Does not keep the process running. */
type Poll = (file: number, listener: () => void) => { close(): void };

type Native = { readonly libc: Libc; readonly lastErrno: () => number; readonly poll: Poll };
type Koffi = typeof import('koffi');

let native: Native | undefined;

function load(): Native {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
    const machine = `${process.platform} on ${process.arch}`;
    throw new TidemarkError(
      'UNSUPPORTED',
      `no native system calls for ${machine}; they exist for Linux on x64 and arm64`,
    );
  }
  try {
    // A require returns what the package exports, untyped. It is not an import, so that nobody pays for it who makes no call.
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const symbols = koffi.load(null);
    const functionOf = (declaration: string) => [nameOf(declaration), symbols.func(declaration)] as const;
    const functions = [...DECLARATIONS.map(functionOf), ...GNU_DECLARATIONS.flatMap(whereThere(functionOf))];
    // The declarations above are the ones of `Libc`.
    return {
      libc: Object.fromEntries(functions) as unknown as Libc,
      lastErrno: () => koffi.errno(),
      poll: pollOf(koffi),
    };
  } catch (error) {
    throw new TidemarkError('UNSUPPORTED', 'the package koffi, which makes native system calls, can’t be loaded', {
      hint: 'Install Tidemark again, with its dependencies for this platform.',
      cause: error,
    });
  }
}

/** By the event loop itself: nothing runs, and no thread waits, while nothing is there to read. */
function pollOf(koffi: Koffi): Poll {
  return (file, listener) => {
    const handle = koffi.node.poll(file, () => listener());
    handle.unref();
    return handle;
  };
}

/** Other C libraries lack what is the GNU one's own; koffi tells by an error alone. */
function whereThere<Result>(make: (declaration: string) => Result): (declaration: string) => Result[] {
  return (declaration) => {
    try {
      return [make(declaration)];
    } catch {
      return [];
    }
  };
}

function nameOf(declaration: string): string {
  const end = declaration.indexOf('(');
  return declaration.slice(declaration.lastIndexOf(' ', end) + 1, end);
}

function loaded(): Native {
  native ??= load();
  return native;
}

/**
 * The C library, loaded at the first call in each thread. A call costs about 0.1 µs plus what the kernel does.
 * @throws UNSUPPORTED elsewhere than on Linux (x64, arm64), or where koffi can't be loaded.
 */
export function libc(): Libc {
  return loaded().libc;
}

/** Whether the native calls work here. Where not, each of them throws UNSUPPORTED, and the caller decides what to do without. */
export function nativeAvailable(): boolean {
  try {
    return loaded() !== undefined;
  } catch {
    return false;
  }
}

/** The error number of the native call that has just failed in this thread. Nothing may come between the two. */
export function lastErrno(): number {
  return loaded().lastErrno();
}

/** See `Poll`. Close it before the descriptor. @throws UNSUPPORTED as `libc` */
export function whenReadable(file: number, listener: () => void): { close(): void } {
  return loaded().poll(file, listener);
}

/** Error numbers that callers of native calls tell apart. */
export const {
  EINVAL,
  EINTR,
  EMFILE,
  ENODATA,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENOSYS,
  ENOTSUP,
  ENXIO,
  EOPNOTSUPP,
  ERANGE,
  EWOULDBLOCK,
  EXDEV,
  ENOTTY,
} = constants.errno;

/** An error of the kernel in the form of Node's own. */
export type SystemError = Error & {
  readonly code: string;
  /** Negative, as in Node. */
  readonly errno: number;
  readonly syscall: string;
  readonly path?: string | undefined;
  readonly dest?: string | undefined;
};

/** Bytes; or a string with one character from U+0000 to U+00FF for each byte, which costs less than a buffer of its own. */
export type PathBytes = Uint8Array | string;

export type CallFacts = {
  readonly syscall: string;
  readonly path?: PathBytes | undefined;
  readonly dest?: PathBytes | undefined;
};

/** The error for the positive error number `errno`, with code, message and fields like those of Node's file system errors. */
export function systemError(errno: number, call: CallFacts): SystemError {
  const code = errno === EOPNOTSUPP ? 'ENOTSUP' : getSystemErrorName(-errno);
  const path = call.path === undefined ? undefined : pathText(call.path);
  const dest = call.dest === undefined ? undefined : pathText(call.dest);
  const subject = path === undefined ? '' : ` '${path}'${dest === undefined ? '' : ` -> '${dest}'`}`;
  const error = new Error(`${code}: ${getSystemErrorMessage(-errno)}, ${call.syscall}${subject}`);
  return Object.assign(error, {
    code,
    errno: -errno,
    syscall: call.syscall,
    ...(path === undefined ? {} : { path }),
    ...(dest === undefined ? {} : { dest }),
  });
}

/** Returns `result` unless it says failure. To be called right after the native call. @throws SystemError */
export function checked(result: number, call: CallFacts): number {
  if (result < 0) throw systemError(lastErrno(), call);
  return result;
}

/** A path for people: text where it is UTF-8, else `\xHH` for each byte that is not. */
export function pathText(path: PathBytes): string {
  const bytes =
    typeof path === 'string' ? Buffer.from(path, 'latin1') : Buffer.from(path.buffer, path.byteOffset, path.byteLength);
  const text = bytes.toString('utf8');
  if (!text.includes('\ufffd')) return text;
  return bytes.toString('latin1').replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
}

/** PATH_MAX of Linux: the longest path that a system call takes, its closing zero included. */
export const PATH_MAX_BYTES = 4096;

/** A place for a zero-terminated string, used again by each call: good until the next one that uses the same place. */
export type StringPlace = { put(text: PathBytes, call: CallFacts): Uint8Array };

/** @throws SystemError ENAMETOOLONG or EINVAL from `put`, for what could not be passed as it is. */
export function createStringPlace(): StringPlace {
  const place = Buffer.alloc(PATH_MAX_BYTES);
  const put = (text: PathBytes, call: CallFacts): Uint8Array => {
    if (text.length >= PATH_MAX_BYTES) throw systemError(constants.errno.ENAMETOOLONG, call);
    if (typeof text === 'string' ? text.includes('\0') : text.includes(0)) throw systemError(EINVAL, call);
    if (typeof text === 'string') place.write(text, 'latin1');
    else place.set(text);
    place[text.length] = 0;
    return place;
  };
  return { put };
}

const CLOCK_BOOTTIME = 7;
const bootTime = new BigInt64Array(2);

/** Milliseconds since the machine started, the time that it was suspended included. @throws UNSUPPORTED as `libc`. */
export function bootTimeMs(): number {
  checked(libc().clock_gettime(CLOCK_BOOTTIME, bootTime), { syscall: 'clock_gettime' });
  const [seconds = 0n, nanoseconds = 0n] = bootTime;
  return Number(seconds) * 1000 + Number(nanoseconds) / 1e6;
}
