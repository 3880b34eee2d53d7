import { stat, statfs } from 'node:fs/promises';

export type FileSystem = {
  /** What an ordinary user may still write. */
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Undefined where the file system makes inodes as it needs them. */
  readonly freeInodes: number | undefined;
  /** Such as `ext4`; a hexadecimal number for one that is not known here. */
  readonly type: string;
  /** Other machines may write to it too, and locks or change times may not be what they are locally. */
  readonly isRemote: boolean;
};

const TYPES: Readonly<Record<number, string>> = {
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0xca451a4e: 'bcachefs',
  0x2fc12fc1: 'zfs',
  0xf2f52010: 'f2fs',
  0x01021994: 'tmpfs',
  0x858458f6: 'ramfs',
  0x794c7630: 'overlay',
  0x4d44: 'vfat',
  0x2011bab0: 'exfat',
  0x5346544e: 'ntfs',
  0x73717368: 'squashfs',
  0x6969: 'nfs',
  0xff534d42: 'cifs',
  0xfe534d42: 'smb2',
  0x01021997: '9p',
  0x65735546: 'fuse',
  0x00c36400: 'ceph',
  0x47504653: 'gpfs',
  0x0bd00bd0: 'lustre',
};

const REMOTE: ReadonlySet<string> = new Set(['nfs', 'cifs', 'smb2', '9p', 'fuse', 'ceph', 'gpfs', 'lustre']);

/** The file system that `path` lies on. @throws Node's file system errors */
export async function inspectFileSystem(path: string | Uint8Array): Promise<FileSystem> {
  const status = await statfs(toPath(path));
  const magic = status.type >>> 0;
  const type = TYPES[magic] ?? `0x${magic.toString(16)}`;
  return {
    freeBytes: status.bavail * status.bsize,
    totalBytes: status.blocks * status.bsize,
    freeInodes: status.files === 0 ? undefined : status.ffree,
    type,
    isRemote: REMOTE.has(type),
  };
}

/** Whether both lie on one file system, so that names can be moved between them. @throws Node's file system errors */
export async function onSameDevice(left: string | Uint8Array, right: string | Uint8Array): Promise<boolean> {
  const [first, second] = await Promise.all([stat(toPath(left)), stat(toPath(right))]);
  return first.dev === second.dev;
}

/** Node takes paths as bytes only in its own kind of array. */
function toPath(path: string | Uint8Array): string | Buffer {
  return typeof path === 'string' ? path : Buffer.from(path.buffer, path.byteOffset, path.byteLength);
}
