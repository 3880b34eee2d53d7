import { constants, readlinkSync } from 'node:fs';
import { equalBytes } from '../../core/bytes.ts';
import type { Content, Description, Extent } from '../../core/recorder.ts';
import { nativeAvailable } from '../../io/native.ts';
import type { FileStatus } from '../../io/native-folder.ts';
import { readXattrs } from '../../io/native-xattr.ts';
import type { Attributes, ExtendedAttribute, LinkGroup } from './attributes.ts';
import { encodeAttributes } from './attributes.ts';
import { bytesOf, systemPath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { runsOfData } from './extents.ts';

/** A file, folder or link as the scan saw it. `mount`: see `LinkGroup`. */
export type Found = {
  /** Components joined by '\0', relative to the root. */
  readonly name: ByteText;
  readonly path: ByteText;
  readonly status: FileStatus;
  readonly mount: bigint;
};

export type FoundType = Attributes['type'] | 'special';

export function typeOf({ mode }: FileStatus): FoundType {
  const type = mode & constants.S_IFMT;
  if (type === constants.S_IFREG) return 'file';
  if (type === constants.S_IFDIR) return 'folder';
  return type === constants.S_IFLNK ? 'link' : 'special';
}

/** Bytes that reading it would bring, as far as the file system's count of blocks tells. */
export function bytesToRead(status: FileStatus): number {
  return typeOf(status) === 'file' ? Math.min(status.sizeBytes, status.allocatedBytes) : 0;
}

/**
 * Reads what the scan did not: target of a link, extended attributes, holes. A folder is always described, because what lies in it needs
 * it: extended attributes that can't be read go to `onUnreadable` and are left out.
 * @throws what the system says of a file or link that vanished, changed its type or can't be read.
 */
export function describe(found: Found, tolerant: boolean, onUnreadable: (cause: unknown) => void): Description {
  const { status, path } = found;
  const type = typeOf(status);
  if (type === 'folder') {
    return {
      attributes: encodeAttributes({ ...basics(found), type, sizeBytes: 0, xattrs: folderXattrs(path, onUnreadable) }),
    };
  }
  const xattrs = sortedXattrs(path);
  if (type === 'link') {
    const target = readlinkSync(systemPath(path), 'buffer');
    return { attributes: encodeAttributes({ ...basics(found), type, sizeBytes: 0, target, xattrs }) };
  }
  const { sizeBytes } = status;
  const extents = holes(path, status);
  const attributes = encodeAttributes({ ...basics(found), type: 'file', sizeBytes, xattrs, extents });
  if (sizeBytes === 0 || extents?.length === 0) return { attributes };
  return { attributes, content: fileContent({ path, status, extents, tolerant }) };
}

function basics({ status, mount }: Found): Pick<Attributes, 'mode' | 'uid' | 'gid' | 'mtimeNs' | 'linkGroup'> {
  const { mode, uid, gid, mtimeNs } = status;
  return { mode: mode & 0o7777, uid, gid, mtimeNs, linkGroup: linkGroupOf(status, mount) };
}

function linkGroupOf(status: FileStatus, mount: bigint): LinkGroup | undefined {
  if (status.links <= 1 || typeOf(status) === 'folder') return undefined;
  return { mount, inode: status.inode, count: status.links };
}

function sortedXattrs(path: ByteText): ExtendedAttribute[] {
  if (!nativeAvailable()) return [];
  const xattrs = readXattrs(path);
  if (xattrs.length < 2) return xattrs;
  xattrs.sort((left, right) => Buffer.compare(left.name, right.name));
  return xattrs.filter((xattr, index) => index === 0 || !equalBytes(xattr.name, xattrs[index - 1]?.name ?? xattr.name));
}

function folderXattrs(path: ByteText, onUnreadable: (cause: unknown) => void): ExtendedAttribute[] {
  try {
    return sortedXattrs(path);
  } catch (error) {
    onUnreadable(error);
    return [];
  }
}

function holes(path: ByteText, { sizeBytes, allocatedBytes }: FileStatus): readonly Extent[] | undefined {
  return allocatedBytes >= sizeBytes || !nativeAvailable() ? undefined : runsOfData(path, sizeBytes);
}

type FileFacts = {
  readonly path: ByteText;
  readonly status: FileStatus;
  readonly extents: readonly Extent[] | undefined;
  readonly tolerant: boolean;
};

function fileContent({ path, status, extents, tolerant }: FileFacts): Content {
  const { sizeBytes, mtimeNs, ctimeNs, inode } = status;
  const state = { sizeBytes, mtimeNs, ctimeNs, inode };
  return { cut: 'stream', kind: 'file', path: bytesOf(path), state, extents, tolerant };
}
