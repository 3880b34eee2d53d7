import type { BigIntStats } from 'node:fs';
import { constants, readlinkSync } from 'node:fs';
import { equalBytes } from '../../core/bytes.ts';
import type { Content, Description, Extent } from '../../core/recorder.ts';
import { nativeAvailable } from '../../io/native.ts';
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
  readonly stats: BigIntStats;
  readonly mount: bigint;
};

const TYPE_MASK = BigInt(constants.S_IFMT);
const FOLDER = BigInt(constants.S_IFDIR);
const FILE = BigInt(constants.S_IFREG);
const LINK = BigInt(constants.S_IFLNK);
const BLOCK_BYTES = 512;

export type FoundType = Attributes['type'] | 'special';

export function typeOf(stats: BigIntStats): FoundType {
  const type = stats.mode & TYPE_MASK;
  if (type === FILE) return 'file';
  if (type === FOLDER) return 'folder';
  return type === LINK ? 'link' : 'special';
}

/** Bytes that reading it would bring, as far as the file system's count of blocks tells. */
export function bytesToRead(stats: BigIntStats): number {
  if (typeOf(stats) !== 'file') return 0;
  const [sizeBytes, allocatedBytes] = [Number(stats.size), Number(stats.blocks) * BLOCK_BYTES];
  return Math.min(sizeBytes, allocatedBytes);
}

/**
 * Reads what the scan did not: target of a link, extended attributes, holes. A folder is always described, because what lies in it needs
 * it: extended attributes that can't be read go to `onUnreadable` and are left out.
 * @throws what the system says of a file or link that vanished, changed its type or can't be read.
 */
export function describe(found: Found, tolerant: boolean, onUnreadable: (cause: unknown) => void): Description {
  const { stats, path } = found;
  const type = typeOf(stats);
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
  const sizeBytes = Number(stats.size);
  const extents = holes(path, stats);
  const attributes = encodeAttributes({ ...basics(found), type: 'file', sizeBytes, xattrs, extents });
  if (sizeBytes === 0 || extents?.length === 0) return { attributes };
  return { attributes, content: fileContent({ path, stats, extents, tolerant }) };
}

function basics({ stats, mount }: Found): Pick<Attributes, 'mode' | 'uid' | 'gid' | 'mtimeNs' | 'linkGroup'> {
  return {
    mode: Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtimeNs: stats.mtimeNs,
    linkGroup: linkGroupOf(stats, mount),
  };
}

function linkGroupOf(stats: BigIntStats, mount: bigint): LinkGroup | undefined {
  if (stats.nlink <= 1n || typeOf(stats) === 'folder') return undefined;
  return { mount, inode: BigInt.asUintN(64, stats.ino), count: Number(stats.nlink) };
}

function sortedXattrs(path: ByteText): ExtendedAttribute[] {
  if (!nativeAvailable()) return [];
  const xattrs = readXattrs(bytesOf(path));
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

function holes(path: ByteText, stats: BigIntStats): readonly Extent[] | undefined {
  if (Number(stats.blocks) * BLOCK_BYTES >= Number(stats.size) || !nativeAvailable()) return undefined;
  return runsOfData(path, Number(stats.size));
}

type FileFacts = {
  readonly path: ByteText;
  readonly stats: BigIntStats;
  readonly extents: readonly Extent[] | undefined;
  readonly tolerant: boolean;
};

function fileContent({ path, stats, extents, tolerant }: FileFacts): Content {
  const { mtimeNs, ctimeNs, ino } = stats;
  const state = { sizeBytes: Number(stats.size), mtimeNs, ctimeNs, inode: ino };
  return { cut: 'stream', kind: 'file', path: bytesOf(path), state, extents, tolerant };
}
