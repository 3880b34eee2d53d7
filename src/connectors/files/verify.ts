import { constants } from 'node:fs';
import { equalBytes } from '../../core/bytes.ts';
import { systemCode } from '../../core/errors.ts';
import { readLinkAt, statAt } from '../../io/native-folder.ts';
import type { FileStatus } from '../../io/native-folder.ts';
import { modeToSet } from './apply-attributes.ts';
import type { Attributes } from './attributes.ts';
import { byteText } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import type { Staging } from './staging.ts';
import { fileSizeOf } from './tree-writer.ts';
import type { PlannedEntry } from './tree-writer.ts';

const TYPE_BITS: Readonly<Record<Attributes['type'], number>> = {
  file: constants.S_IFREG,
  folder: constants.S_IFDIR,
  link: constants.S_IFLNK,
};

/** Times that every file system that keeps nanoseconds can hold. */
const LAST_COMMON_TIME_NS = 0x7fff_ffffn * 1_000_000_000n;

/** Compares what lies in a staging folder with what should: type, size, target, mode, time, and which names are one file. */
export class StagingCheck {
  readonly #staging: Staging;
  readonly #groups = new Map<string, { readonly inode: bigint; readonly encoded: Uint8Array }>();

  constructor(staging: Staging) {
    this.#staging = staging;
  }

  /** What differs, or undefined. A folder that this user may not enter can't be looked into. */
  differenceOf(entry: PlannedEntry): string | undefined {
    const relative = byteText(entry.name).replaceAll('\0', '/') || '.';
    let status: FileStatus;
    try {
      status = statAt(this.#staging.folder, relative);
    } catch (error) {
      if (systemCode(error) === 'EACCES') return undefined;
      return systemCode(error) === 'ENOENT' ? 'it is missing' : `it can’t be looked at (${systemCode(error)})`;
    }
    const { attributes } = entry;
    if ((status.mode & constants.S_IFMT) !== TYPE_BITS[attributes.type]) return 'its type differs';
    if (attributes.type === 'file' && status.sizeBytes !== fileSizeOf(entry)) return 'its size differs';
    if (attributes.type === 'link' && !this.#hasTarget(relative, attributes)) return 'its target differs';
    return this.#metadata(attributes, status) ?? this.#links(entry, status);
  }

  #hasTarget(relative: ByteText, { target }: Attributes): boolean {
    return target !== undefined && equalBytes(readLinkAt(this.#staging.folder, relative), target);
  }

  #metadata(attributes: Attributes, { mode, mtimeNs }: FileStatus): string | undefined {
    const { keepsModes, keepsTimes, owners } = this.#staging;
    const wanted = modeToSet(attributes, owners.choose(attributes));
    if (keepsModes && attributes.type !== 'link' && (mode & 0o7777) !== wanted) return 'its mode differs';
    const isCommon = attributes.mtimeNs >= 0n && attributes.mtimeNs <= LAST_COMMON_TIME_NS;
    if (keepsTimes && isCommon && mtimeNs !== attributes.mtimeNs) return 'its time differs';
    return undefined;
  }

  #links({ attributes, encoded, origin }: PlannedEntry, { inode }: FileStatus): string | undefined {
    const { linkGroup } = attributes;
    if (linkGroup === undefined) return undefined;
    const key = `${origin}:${linkGroup.mount}:${linkGroup.inode}`;
    const first = this.#groups.get(key);
    if (first === undefined) {
      this.#groups.set(key, { inode, encoded });
      return undefined;
    }
    return equalBytes(first.encoded, encoded) && first.inode !== inode
      ? 'it is not the same file as its other names'
      : undefined;
  }
}
