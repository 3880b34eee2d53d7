import { stat, statfs } from 'node:fs/promises';

export type FileSystem = {
  /** What an ordinary user may still write. */
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Undefined where the file system makes inodes as it needs them. */
  readonly freeInodes: number | undefined;
};

/**
 * `f_type` of file systems whose files are kept or written by other machines or programs: NFS, SMB (three), Ceph, AFS (two), Coda, 9P, FUSE,
 * VirtualBox, GPFS, Lustre, BeeGFS, OrangeFS, OCFS2, GFS2.
 */
const REMOTE_TYPES: ReadonlySet<number> = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x00c36400, 0x5346414f, 0x6b414653, 0x73757245, 0x01021997, 0x65735546,
  0x786f4256, 0x47504653, 0x0bd00bd0, 0x19830326, 0x20030528, 0x7461636f, 0x01161970,
]);

/** Whether times of change on such a file system may come from another clock than this machine's. `type`: of `statfs`. */
export function isRemoteType(type: number): boolean {
  return REMOTE_TYPES.has(type >>> 0);
}

/** The file system that `path` lies on. @throws Node's file system errors */
export async function inspectFileSystem(path: string | Uint8Array): Promise<FileSystem> {
  const status = await statfs(toPath(path));
  return {
    freeBytes: status.bavail * status.bsize,
    totalBytes: status.blocks * status.bsize,
    freeInodes: status.files === 0 ? undefined : status.ffree,
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
