import { closeSync, constants, fchmodSync, ftruncateSync } from 'node:fs';
import { assume, must } from '../../core/must.ts';
import type { FileResult, FileTarget, StoredEntry } from '../../core/restorer.ts';
import { PATH_MAX_BYTES } from '../../io/native.ts';
import { linkAt, makeFolderAt, openAt, openFolderAt, setOwnerAt, symlinkAt } from '../../io/native-folder.ts';
import { setTimes } from '../../io/native-time.ts';
import { applyAttributes, modeToSet, setXattrs } from './apply-attributes.ts';
import type { Attributes } from './attributes.ts';
import { byteText, bytesOf, printablePath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { EntryNames } from './entry-names.ts';
import { fileError } from './errors.ts';
import { LinkGroups } from './link-groups.ts';
import type { LinkedFile, WaitingLink } from './link-groups.ts';
import type { Notes } from './notes.ts';
import type { OwnerToSet } from './owners.ts';
import type { Staging } from './staging.ts';

/** One thing to restore: from a base (`stored`), or from the folder as it is now (`local`). */
export type PlannedEntry = {
  readonly name: Uint8Array;
  readonly attributes: Attributes;
  /** As they are stored: names of one file have equal ones. */
  readonly encoded: Uint8Array;
  readonly origin: 'base' | 'target';
  readonly stored?: StoredEntry | undefined;
};

/**
 * Length of the restored file. Without holes it is what the content has: a file that kept changing while it was read may have been
 * described with another one.
 */
export function fileSizeOf({ attributes, origin, stored }: PlannedEntry): number {
  if (origin === 'target' || attributes.extents !== undefined) return attributes.sizeBytes;
  return stored?.content?.sizeBytes ?? 0;
}

/** A file without its content yet. `relative`: its path from the staging folder. */
export type FilePlan = {
  readonly entry: PlannedEntry;
  readonly relative: ByteText;
  readonly parent: FolderNode;
  readonly owner: OwnerToSet;
  readonly linked: LinkedFile<FolderNode> | undefined;
};

/** A folder whose attributes come last, when all that it holds is done: setting them earlier would close it or change its times. */
export type FolderNode = {
  readonly name: ByteText;
  readonly relative: ByteText;
  readonly attributes: Attributes;
  readonly parent: FolderNode | undefined;
  /** What is not done in it, and one for the walk being in it. */
  pending: number;
};

export type WriteFailure = { readonly name: ByteText; readonly cause: unknown };

const FAILURES_KEPT = 20;

/**
 * Builds a tree in a staging folder from entries in the order of their names. Everything is created anew, exclusively and without following
 * links, starting at the folder's descriptor. Memory: the folders on the way, what waits for content, and a name for each file with several.
 */
export class TreeWriter implements Disposable {
  readonly #staging: Staging;
  readonly #notes: Notes;
  readonly #names = new EntryNames();
  readonly #groups = new LinkGroups<FolderNode>();
  readonly #failures: WriteFailure[] = [];
  /** Folders whose files are written by paths that start at them, open until all that they hold is done. */
  readonly #anchors = new Map<FolderNode, number>();
  #failureCount = 0;
  #folder: FolderNode | undefined;
  #entryCount = 0;

  constructor(staging: Staging, notes: Notes) {
    this.#staging = staging;
    this.#notes = notes;
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  get failureCount(): number {
    return this.#failureCount;
  }

  /** The first ones. */
  get failures(): readonly WriteFailure[] {
    return this.#failures;
  }

  /**
   * Creates the entry. Of a file with content returns what is to be written; `finishFile` has to be called for it.
   * @throws PATH_ESCAPES, REPOSITORY_DAMAGED for a name that may not be; DISK_FULL
   */
  add(entry: PlannedEntry): FilePlan | undefined {
    const { attributes } = entry;
    const { name, parent, component } = this.#names.take(entry.name, attributes.type === 'folder');
    this.#leaveFoldersExcept(parent, name === '');
    this.#entryCount++;
    const { relative: above = '' } = this.#folder ?? {};
    const relative = above === '' ? component : `${above}/${component}`;
    try {
      if (attributes.type === 'folder') this.#addFolder(name, relative, attributes);
      else return this.#addFileOrLink(entry, relative);
    } catch (error) {
      // Without a folder nothing in it can be restored.
      if (attributes.type === 'folder') {
        throw fileError('RESTORE_FAILED', `${printablePath(relative)} can’t be created`, error);
      }
      this.#fail(name, error);
    }
    return undefined;
  }

  /** What to hand to `BaseReader.extract`. `candidate`: see there. */
  targetOf(plan: FilePlan, stored: StoredEntry, candidate: Uint8Array | undefined): FileTarget<FilePlan> {
    const { attributes } = plan.entry;
    const { uid, gid } = plan.owner;
    // What has extended attributes gets its mode after them: a file that its owner may not write takes none.
    const mode = attributes.xattrs.length > 0 ? 0o600 : modeToSet(attributes, plan.owner);
    const { mtimeNs, extents } = attributes;
    const path = this.#pathOf(plan);
    const finish = { uid, gid, mode, mtimeNs, atimeNs: mtimeNs };
    return { tag: plan, entry: stored, path, fileSizeBytes: fileSizeOf(plan.entry), extents, candidate, finish };
  }

  /** After the content of a file is written, or not. @throws DISK_FULL */
  finishFile({ tag: plan, error }: FileResult<FilePlan>): void {
    const failure =
      error ?? (plan.entry.origin === 'base' ? this.#failureOf(() => this.#setXattrsOfFile(plan)) : undefined);
    if (failure !== undefined) this.#fail(byteText(plan.entry.name), failure);
    for (const link of plan.linked?.settle(failure) ?? []) {
      if (failure === undefined) this.#link(plan.relative, link);
      else this.#fail(link.name, failure);
      this.#release(link.parent);
    }
    this.#release(plan.parent);
  }

  /** After the last entry, when every file is finished. */
  finish(): void {
    this.#leaveFoldersExcept(undefined, false);
    assume(this.#folder === undefined, 'all folders were left');
  }

  [Symbol.dispose](): void {
    for (const folder of this.#anchors.keys()) this.#leaveAnchor(folder);
  }

  #addFolder(name: ByteText, relative: ByteText, attributes: Attributes): void {
    if (name !== '') makeFolderAt(this.#staging.folder, relative, 0o700);
    if (this.#folder !== undefined) this.#folder.pending++;
    this.#folder = { name, relative, attributes, parent: this.#folder, pending: 1 };
  }

  #addFileOrLink(entry: PlannedEntry, relative: ByteText): FilePlan | undefined {
    const { attributes, origin, encoded } = entry;
    const parent = must(this.#folder, 'a folder that holds it');
    const name = byteText(entry.name);
    const group = attributes.linkGroup;
    const found = group === undefined ? undefined : this.#groups.find({ origin, group, encoded, relative });
    if (found?.first === false) {
      this.#addName(found.file, { name, relative, parent });
      return undefined;
    }
    if (found?.changed === true) {
      this.#notes.add(
        `${printablePath(relative)}: a hard link that changed during the backup, restored as a file of its own`,
      );
    }
    const owner = this.#staging.owners.choose(attributes, this.#notes);
    if (attributes.type === 'file' && (entry.stored?.content !== undefined || origin === 'target')) {
      this.#anchor(parent, relative);
      parent.pending++;
      return { entry, relative, parent, owner, linked: found?.file };
    }
    if (attributes.type === 'link') this.#makeLink(attributes, relative, owner);
    else this.#makeEmptyFile(entry, relative, owner);
    found?.file?.settle(undefined);
    return undefined;
  }

  #addName(file: LinkedFile<FolderNode>, link: WaitingLink<FolderNode>): void {
    const state = file.join(link);
    if (state === 'waiting') link.parent.pending++;
    else if (state === 'done') this.#link(file.relative, link);
    else this.#fail(link.name, file.failure);
  }

  #link(from: ByteText, { name, relative: to }: WaitingLink<FolderNode>): void {
    const { folder } = this.#staging;
    try {
      linkAt({ fromFolder: folder, from, toFolder: folder, to });
    } catch (error) {
      this.#fail(name, error);
    }
  }

  #makeLink({ target, mtimeNs, xattrs }: Attributes, relative: ByteText, owner: OwnerToSet): void {
    const { folder } = this.#staging;
    symlinkAt(must(target, 'the target of a link'), folder, relative);
    const { uid, gid } = owner;
    if (uid !== undefined && gid !== undefined) setOwnerAt(folder, relative, { uid, gid });
    setXattrs(`/proc/self/fd/${folder}/${relative}`, xattrs, this.#noteOn(relative));
    setTimes(relative, { mtimeNs, atimeNs: mtimeNs }, folder);
  }

  #makeEmptyFile(entry: PlannedEntry, relative: ByteText, owner: OwnerToSet): void {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const file = openAt(this.#staging.folder, relative, flags);
    try {
      const sizeBytes = fileSizeOf(entry);
      if (sizeBytes > 0) ftruncateSync(file, sizeBytes);
      applyAttributes(file, entry.attributes, owner, this.#noteOn(relative));
    } finally {
      closeSync(file);
    }
  }

  #setXattrsOfFile({ entry: { attributes }, relative, owner }: FilePlan): void {
    if (attributes.xattrs.length === 0) return;
    const file = openAt(this.#staging.folder, relative, constants.O_RDONLY);
    try {
      setXattrs(file, attributes.xattrs, this.#noteOn(relative));
      fchmodSync(file, modeToSet(attributes, owner));
    } finally {
      closeSync(file);
    }
  }

  /** Leaves the folders that `parent` does not lie in. */
  #leaveFoldersExcept(parent: ByteText | undefined, isRoot: boolean): void {
    if (isRoot) return;
    while (this.#folder !== undefined && this.#folder.name !== parent) {
      const left = this.#folder;
      this.#folder = left.parent;
      this.#release(left);
    }
  }

  /** One thing less to wait for; the last one sets the folder's attributes. */
  #release(folder: FolderNode): void {
    folder.pending--;
    if (folder.pending > 0) return;
    this.#leaveAnchor(folder);
    const { relative, attributes, parent } = folder;
    const opened = openFolderAt(this.#staging.folder, relative === '' ? '.' : relative);
    try {
      applyAttributes(opened, attributes, this.#staging.owners.choose(attributes, this.#notes), this.#noteOn(relative));
    } finally {
      closeSync(opened);
    }
    if (parent !== undefined) this.#release(parent);
  }

  #pathOf({ relative, parent }: FilePlan): Uint8Array {
    const anchor = this.#anchors.get(parent);
    if (anchor === undefined) return bytesOf(`/proc/self/fd/${this.#staging.folder}/${relative}`);
    return bytesOf(`/proc/self/fd/${anchor}/${relative.slice(relative.lastIndexOf('/') + 1)}`);
  }

  /** A path that is too long from the staging folder starts at the file's own. */
  #anchor(folder: FolderNode, relative: ByteText): void {
    if (relative.length + `/proc/self/fd/${this.#staging.folder}/`.length < PATH_MAX_BYTES) return;
    if (!this.#anchors.has(folder)) {
      this.#anchors.set(folder, openFolderAt(this.#staging.folder, folder.relative));
    }
  }

  #leaveAnchor(folder: FolderNode): void {
    const anchor = this.#anchors.get(folder);
    if (anchor === undefined) return;
    this.#anchors.delete(folder);
    closeSync(anchor);
  }

  #noteOn(relative: ByteText): (note: string) => void {
    return (note) => this.#notes.add(`${printablePath(relative === '' ? '.' : relative)}: ${note}`);
  }

  #failureOf(work: () => void): unknown {
    try {
      work();
      return undefined;
    } catch (error) {
      return error;
    }
  }

  #fail(name: ByteText, cause: unknown): void {
    // Everything after it would fail, too.
    const error = fileError('RESTORE_FAILED', `${printablePath(name.replaceAll('\0', '/'))} can’t be restored`, cause);
    if (error.code === 'DISK_FULL') throw error;
    this.#failureCount++;
    if (this.#failures.length < FAILURES_KEPT) this.#failures.push({ name, cause });
  }
}
