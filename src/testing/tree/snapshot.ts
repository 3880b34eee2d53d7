import { createHash } from 'node:crypto';
import { closeSync, constants, readdirSync, readSync } from 'node:fs';
import type { Extent } from '../../core/recorder.ts';
import { dataExtents } from '../../io/native-file.ts';
import { openAt, openFolderAt, readLinkAt, statAt, WORKING_FOLDER } from '../../io/native-folder.ts';
import type { FileStatus } from '../../io/native-folder.ts';
import { readXattrs } from '../../io/native-xattr.ts';

export type SnapshotType = 'file' | 'folder' | 'link' | 'socket' | 'fifo' | 'character device' | 'block device';

/** All that a backup should bring back of one file, folder or link, in a form that prints. */
export type SnapshotEntry = {
  readonly type: SnapshotType;
  readonly mode: string;
  readonly owner: string;
  readonly mtimeNs: bigint;
  readonly sizeBytes: number;
  /** SHA-256 of a file's bytes, holes read as zeros; target of a link in hexadecimal. */
  readonly content: string | undefined;
  /** Where a file's data lies, as `offset+size` joined by spaces. */
  readonly data: string | undefined;
  /** `name=value` in hexadecimal, ascending. */
  readonly xattrs: readonly string[];
  /** The first name, in order, of the same file in this tree; undefined when it has no other. */
  readonly sameAs: string | undefined;
};

/** Paths relative to the root, as hexadecimal of their bytes: they print, compare and keep what is not UTF-8. '' is the root. */
export type Snapshot = ReadonlyMap<string, SnapshotEntry>;

const TYPES: Readonly<Record<number, SnapshotType>> = {
  [constants.S_IFREG]: 'file',
  [constants.S_IFDIR]: 'folder',
  [constants.S_IFLNK]: 'link',
  [constants.S_IFSOCK]: 'socket',
  [constants.S_IFIFO]: 'fifo',
  [constants.S_IFCHR]: 'character device',
  [constants.S_IFBLK]: 'block device',
};

const PIECE_BYTES = 1 << 18;

/**
 * Reads a whole tree: an independent walk by descriptors, one component at a time, so that no path is too long for it. Needs one
 * descriptor for each level. Times of access are left alone.
 */
export function snapshotTree(root: string): Snapshot {
  const entries = new Map<string, SnapshotEntry>();
  const folder = openFolderAt(WORKING_FOLDER, Buffer.from(root));
  try {
    entries.set('', describeIn(folder, Buffer.from('.'), statAt(folder, Buffer.from('.'))));
    walk({ folder, prefix: '', entries, firstNames: new Map() });
  } finally {
    closeSync(folder);
  }
  return entries;
}

type Walk = {
  readonly folder: number;
  readonly prefix: string;
  readonly entries: Map<string, SnapshotEntry>;
  readonly firstNames: Map<string, string>;
};

function walk({ folder, prefix, entries, firstNames }: Walk): void {
  const names = readdirSync(`/proc/self/fd/${folder}`, { encoding: 'buffer' }).sort(Buffer.compare);
  for (const name of names) {
    const path = prefix + name.toString('hex');
    const status = statAt(folder, name);
    const entry = describeIn(folder, name, status);
    const identity = `${status.device}:${status.inode}`;
    const sameAs = status.links > 1 && entry.type !== 'folder' ? firstNames.get(identity) : undefined;
    if (entry.type !== 'folder' && sameAs === undefined) firstNames.set(identity, path);
    entries.set(path, { ...entry, sameAs });
    if (entry.type !== 'folder') continue;
    const inner = openFolderAt(folder, name);
    try {
      walk({ folder: inner, prefix: `${path}2f`, entries, firstNames });
    } finally {
      closeSync(inner);
    }
  }
}

function describeIn(folder: number, name: Buffer, status: FileStatus): SnapshotEntry {
  const type = TYPES[status.mode & constants.S_IFMT];
  if (type === undefined) throw new Error(`a type of file that does not exist: ${status.mode.toString(8)}`);
  const xattrs = readXattrs(Buffer.concat([Buffer.from(`/proc/self/fd/${folder}/`), name]));
  const common = {
    type,
    mode: (status.mode & 0o7777).toString(8),
    owner: `${status.uid}:${status.gid}`,
    mtimeNs: status.mtimeNs,
    sizeBytes: type === 'file' ? status.sizeBytes : 0,
    xattrs: xattrs.map((xattr) => `${hex(xattr.name)}=${hex(xattr.value)}`).sort(),
    sameAs: undefined,
  };
  if (type === 'link') return { ...common, content: hex(readLinkAt(folder, name)), data: undefined };
  if (type !== 'file') return { ...common, content: undefined, data: undefined };
  return { ...common, ...readFile(folder, name, status.sizeBytes) };
}

function readFile(folder: number, name: Buffer, sizeBytes: number): Pick<SnapshotEntry, 'content' | 'data'> {
  const file = openAt(folder, name, constants.O_RDONLY);
  try {
    const data = dataExtents(file, sizeBytes).map(({ offset, sizeBytes: length }: Extent) => `${offset}+${length}`);
    const hash = createHash('sha256');
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    for (let at = 0; ; ) {
      const count = readSync(file, piece, 0, PIECE_BYTES, at);
      if (count === 0) break;
      hash.update(piece.subarray(0, count));
      at += count;
    }
    return { content: hash.digest('hex'), data: data.join(' ') };
  } finally {
    closeSync(file);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
