import { constants } from 'node:fs';
import { equalBytes } from '../../core/bytes.ts';
import { systemCode } from '../../core/errors.ts';
import { readLinkAt, statAt } from '../../io/native-folder.ts';
import type { FileStatus } from '../../io/native-folder.ts';
import { modeToSet } from './apply-attributes.ts';
import type { Attributes } from './attributes.ts';
import { byteText, printablePath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import type { Notes } from './notes.ts';
import type { Staging } from './staging.ts';
import { fileSizeOf } from './tree-writer.ts';
import type { PlannedEntry } from './tree-writer.ts';

const TYPE_BITS: Readonly<Record<Attributes['type'], number>> = {
  file: constants.S_IFREG,
  folder: constants.S_IFDIR,
  link: constants.S_IFLNK,
};

/** Up to here, from 1970 on, every file system that keeps nanoseconds can hold a time. */
const LAST_COMMON_TIME_NS = 0x7fff_ffffn * 1_000_000_000n;

/**
 * Compares what lies in a staging folder with what should: type, size, target, mode, time, and which names are one file. A time that
 * not every file system can hold, and that is not there, is no difference but noted.
 */
export class StagingCheck {
  readonly #staging: Staging;
  readonly #notes: Notes;
  readonly #groups = new Map<string, { readonly inode: bigint; readonly encoded: Uint8Array }>();

  constructor(staging: Staging, notes: Notes) {
    this.#staging = staging;
    this.#notes = notes;
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
    return this.#metadata(attributes, status) ?? this.#time(relative, attributes, status) ?? this.#links(entry, status);
  }

  #hasTarget(relative: ByteText, { target }: Attributes): boolean {
    return target !== undefined && equalBytes(readLinkAt(this.#staging.folder, relative), target);
  }

  #metadata(attributes: Attributes, { mode }: FileStatus): string | undefined {
    const { keepsModes, owners } = this.#staging;
    const wanted = modeToSet(attributes, owners.choose(attributes));
    return keepsModes && attributes.type !== 'link' && (mode & 0o7777) !== wanted ? 'its mode differs' : undefined;
  }

  #time(relative: ByteText, { mtimeNs }: Attributes, status: FileStatus): string | undefined {
    if (!this.#staging.keepsTimes || status.mtimeNs === mtimeNs) return undefined;
    if (mtimeNs >= 0n && mtimeNs <= LAST_COMMON_TIME_NS) return 'its time differs';
    this.#notes.add(`${printablePath(relative)}: its time can’t be kept by this file system`);
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
