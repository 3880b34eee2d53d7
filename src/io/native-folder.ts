import { constants } from 'node:fs';
import { checked, createStringPlace, libc, PATH_MAX_BYTES } from './native.ts';
import type { PathBytes } from './native.ts';

/**
 * Calls that name things by an open folder's descriptor and a path from there. Nothing above a descriptor can be exchanged
 * under a caller, so whoever walks down one component at a time with `openFolderAt` can't be led out of a tree.
 *
 * An absolute path goes with any descriptor; `WORKING_FOLDER` stands for the working directory. None follows a link in the
 * last component. All throw SystemError.
 */
export const WORKING_FOLDER = -100;

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const O_CLOEXEC = 0o2000000;

const place = createStringPlace();
const secondPlace = createStringPlace();

/** Flags are `fs.constants`; links are never followed and the descriptor is not passed to child processes. */
export function openAt(folder: number, path: PathBytes, flags: number, mode = 0o600): number {
  const facts = { syscall: 'openat', path };
  const all = flags | constants.O_NOFOLLOW | O_CLOEXEC;
  return checked(libc().openat(folder, place.put(path, facts), all, mode), facts);
}

/** A descriptor of a folder, for the calls here. @throws SystemError ENOTDIR or ELOOP when it is a link. */
export function openFolderAt(folder: number, path: PathBytes): number {
  return openAt(folder, path, constants.O_RDONLY | constants.O_DIRECTORY);
}

/** The process's umask applies to `mode`. */
export function makeFolderAt(folder: number, path: PathBytes, mode: number): void {
  const facts = { syscall: 'mkdirat', path };
  checked(libc().mkdirat(folder, place.put(path, facts), mode), facts);
}

/** A symbolic link at `path` that says `target`. */
export function symlinkAt(target: PathBytes, folder: number, path: PathBytes): void {
  const facts = { syscall: 'symlinkat', path: target, dest: path };
  checked(libc().symlinkat(place.put(target, facts), folder, secondPlace.put(path, facts)), facts);
}

export type TwoPlaces = {
  readonly fromFolder: number;
  readonly from: PathBytes;
  readonly toFolder: number;
  readonly to: PathBytes;
};

/** A further name for what lies at `from`, a symbolic link itself included. */
export function linkAt({ fromFolder, from, toFolder, to }: TwoPlaces): void {
  const facts = { syscall: 'linkat', path: from, dest: to };
  checked(libc().linkat(fromFolder, place.put(from, facts), toFolder, secondPlace.put(to, facts), 0), facts);
}

export function removeFileAt(folder: number, path: PathBytes): void {
  const facts = { syscall: 'unlinkat', path };
  checked(libc().unlinkat(folder, place.put(path, facts), 0), facts);
}

/** @throws SystemError ENOTEMPTY */
export function removeFolderAt(folder: number, path: PathBytes): void {
  const facts = { syscall: 'unlinkat', path };
  checked(libc().unlinkat(folder, place.put(path, facts), AT_REMOVEDIR), facts);
}

/** Of a link: its own owner. The kernel may clear set-user-id bits and capabilities: set these afterwards. */
export function setOwnerAt(
  folder: number,
  path: PathBytes,
  owner: { readonly uid: number; readonly gid: number },
): void {
  const facts = { syscall: 'fchownat', path };
  const { uid, gid } = owner;
  checked(libc().fchownat(folder, place.put(path, facts), uid, gid, AT_SYMLINK_NOFOLLOW), facts);
}

const linkTarget = new Uint8Array(PATH_MAX_BYTES);

/** What a symbolic link says, byte for byte. @throws SystemError EINVAL when it is no link. */
export function readLinkAt(folder: number, path: PathBytes): Uint8Array {
  const facts = { syscall: 'readlinkat', path };
  const size = checked(libc().readlinkat(folder, place.put(path, facts), linkTarget, linkTarget.byteLength), facts);
  return linkTarget.slice(0, size);
}

const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;

/** `replace`: as rename(2). `keep`: fails with EEXIST when `to` is there. `exchange`: each takes the other's place, in one step. */
export type RenameMode = 'replace' | 'keep' | 'exchange';

const RENAME_FLAGS: Readonly<Record<RenameMode, number>> = {
  replace: 0,
  keep: RENAME_NOREPLACE,
  exchange: RENAME_EXCHANGE,
};

/** One atomic step. @throws SystemError: EINVAL where the file system does not know `keep` or `exchange`, EXDEV across two. */
export function renameAt({ fromFolder, from, toFolder, to }: TwoPlaces, mode: RenameMode): void {
  const facts = { syscall: 'renameat2', path: from, dest: to };
  const flags = RENAME_FLAGS[mode];
  checked(libc().renameat2(fromFolder, place.put(from, facts), toFolder, secondPlace.put(to, facts), flags), facts);
}

/** What the kernel says of a file, a folder, or a link itself. */
export type FileStatus = {
  /** Type and permissions, as in `fs.Stats`. */
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly device: number;
  readonly inode: bigint;
  readonly sizeBytes: number;
  /** What it takes on the disk: less than its size where it has holes. */
  readonly allocatedBytes: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** Something is mounted here, from the same file system too. Undefined when the kernel does not say (before 5.8). */
  readonly mountPoint: boolean | undefined;
};

const AT_EMPTY_PATH = 0x1000;
const AT_NO_AUTOMOUNT = 0x800;
const STATX_BASIC_STATS = 0x7ff;
const STATX_ATTR_MOUNT_ROOT = 0x2000;

const status = new Uint8Array(256);
const statusView = new DataView(status.buffer);
const nothing = new Uint8Array(1);

function u32(offset: number): number {
  return statusView.getUint32(offset, true);
}

/** Exact up to 2⁵³. */
function u64(offset: number): number {
  return u32(offset) + u32(offset + 4) * 2 ** 32;
}

function timeNs(offset: number): bigint {
  return statusView.getBigInt64(offset, true) * 1_000_000_000n + BigInt(u32(offset + 8));
}

/** The offsets are those of `struct statx`, which is the same on every processor. */
function takeStatus(): FileStatus {
  return {
    mode: statusView.getUint16(28, true),
    links: u32(16),
    uid: u32(20),
    gid: u32(24),
    device: deviceNumber(u32(136), u32(140)),
    inode: statusView.getBigUint64(32, true),
    sizeBytes: u64(40),
    allocatedBytes: u64(48) * 512,
    mtimeNs: timeNs(112),
    ctimeNs: timeNs(96),
    mountPoint: (u32(56) & STATX_ATTR_MOUNT_ROOT) === 0 ? undefined : (u32(8) & STATX_ATTR_MOUNT_ROOT) !== 0,
  };
}

/** One number of major and minor, the way the C library and Node's `dev` do it. */
function deviceNumber(major: number, minor: number): number {
  const low = ((major & 0xfff) << 8) | (minor & 0xff);
  return low + (minor >>> 8) * 2 ** 20 + (major >>> 12) * 2 ** 44;
}

export function statAt(folder: number, path: PathBytes): FileStatus {
  const facts = { syscall: 'statx', path };
  const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  checked(libc().statx(folder, place.put(path, facts), flags, STATX_BASIC_STATS, status), facts);
  return takeStatus();
}

/** Of an open file or folder. */
export function statOpen(file: number): FileStatus {
  checked(libc().statx(file, nothing, AT_EMPTY_PATH, STATX_BASIC_STATS, status), { syscall: 'statx' });
  return takeStatus();
}
