import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readdirSync, readSync, statfsSync } from 'node:fs';
import { systemCode } from '../../core/errors.ts';
import { isRemoteType } from '../../io/disk.ts';
import { PATH_MAX_BYTES } from '../../io/native.ts';
import type { FileStatus } from '../../io/native-folder.ts';
import { bytesOf, childOf, systemPath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import type { Found, FoundType } from './describe.ts';
import { typeOf } from './describe.ts';
import { reasonOf, storeUnreachable } from './errors.ts';
import { statusOf } from './file-status.ts';
import { compileSelection, isAsideName } from './patterns.ts';
import type { Selection } from './patterns.ts';
import { identitiesOf } from './root.ts';
import type { SkippedList } from './skipped.ts';
import type { FilesStore } from './store.ts';

/** How much more is looked at than comes out, in one go. */
const LOOKS_AN_ITEM = 4;
export const CACHE_TAG = 'CACHEDIR.TAG';
const CACHE_SIGNATURE = Buffer.from('Signature: 8a477f597d28d172789f06886806bc55');

export type ScanOptions = {
  /** Absolute, with links resolved. */
  readonly root: ByteText;
  readonly selection: Selection;
  readonly oneFileSystem: boolean;
  readonly cacheDirTag: boolean;
  /** `device:inode` of folders that are left out. */
  readonly excluded: ReadonlySet<string>;
  readonly skipped: SkippedList;
  /** Asked for each folder before it is listed: the components to look at in it, ascending, or undefined for all there are. */
  readonly narrow?: ((folder: ScanItem, kept: Kept) => readonly ByteText[] | undefined) | undefined;
};

/** Of a store as it is configured. `leaveOut`: more folders that are left out wherever they lie. `selection`: the store's, where that is at hand. */
export function scanOptionsOf(
  store: FilesStore,
  facts: { readonly skipped: SkippedList; readonly leaveOut?: readonly string[]; readonly selection?: Selection },
): Omit<ScanOptions, 'root' | 'narrow'> {
  const { skipped, leaveOut = [], selection = compileSelection(store) } = facts;
  const { oneFileSystem, cacheDirTag, excludeFolders } = store;
  return { selection, oneFileSystem, cacheDirTag, excluded: identitiesOf([...excludeFolders, ...leaveOut]), skipped };
}

/** Something found, and whether its times come from another machine's clock. */
export type ScanItem = { readonly found: Found; readonly remote: boolean };

/** A folder is kept for its own sake, or only if something in it is. */
export type Kept = 'always' | 'if-needed';

/**
 * What a scan does, step by step. `item`: it is kept. `enter`, `leave`: of a folder, around all that lies in it; `whole`: all of it is looked at; `told`: it
 * has come as an item. `gone`: nothing of that name is kept, nor anything below; `found`: what is left out. `unsure`: nobody can see what is there, or lies in a
 * folder, which has come before where it is kept.
 */
export type ScanStep =
  | (ScanItem & { readonly kind: 'item' })
  | { readonly kind: 'enter'; readonly name: ByteText; readonly whole: boolean }
  | (ScanItem & { readonly kind: 'leave'; readonly kept: Kept; readonly told: boolean })
  | { readonly kind: 'gone'; readonly name: ByteText; readonly found?: Found }
  | { readonly kind: 'unsure'; readonly name: ByteText };

type Folder = ScanItem & {
  /** Names in it, ascending; undefined until it is listed. */
  names: readonly ByteText[] | undefined;
  next: number;
  /** With `include`: told when something in it is. */
  told: boolean;
  /** `include` matches it, so that all it holds is in. */
  readonly whole: boolean;
};

/**
 * Walks a tree in the order of names: depth first, siblings bytewise. Synchronous; `next` does as much as it is asked for. Memory: the
 * names of the folders that lead to the place where it is, so at most depth × the largest folder (a million names take about 100 MB).
 * One listing of a folder is one step, which for a million names takes a second.
 */
export class TreeScan {
  readonly #options: ScanOptions;
  readonly #stack: Folder[] = [];
  readonly #rootDevice: number;

  /** @throws STORE_UNREACHABLE when the root can't be read. */
  constructor(options: ScanOptions) {
    this.#options = options;
    const { root } = options;
    try {
      const status = statusOf(root);
      this.#rootDevice = status.device;
      const found = { name: '', path: root, status, mount: 0n };
      const { include } = options.selection;
      this.#stack.push({
        found,
        remote: isRemote(root),
        names: undefined,
        next: 0,
        told: false,
        whole: include === undefined,
      });
    } catch (error) {
      throw storeUnreachable(root, error);
    }
  }

  /**
   * The next items, up to about `most`, none where little is kept of what was looked at; undefined at the end.
   * @throws STORE_UNREACHABLE when the root is lost.
   */
  next(most: number): ScanItem[] | undefined {
    return this.steps(most)?.filter((step) => step.kind === 'item');
  }

  /** As `next`, with what else happened on the way. */
  steps(most: number): ScanStep[] | undefined {
    if (this.#stack.length === 0) return undefined;
    const steps: ScanStep[] = [];
    for (let looked = 0; looked < most * LOOKS_AN_ITEM && steps.length < most; looked++) {
      const folder = this.#stack.at(-1);
      if (folder === undefined) break;
      if (folder.names === undefined) this.#open(folder, steps);
      else this.#step(folder, folder.names, steps);
    }
    return steps;
  }

  #open(folder: Folder, steps: ScanStep[]): void {
    const { found, remote } = folder;
    const narrowed = this.#options.narrow?.({ found, remote }, keptOf(folder));
    steps.push({ kind: 'enter', name: found.name, whole: narrowed === undefined });
    if (folder.whole || this.#stack.length === 1) this.#tell(steps);
    folder.names = narrowed === undefined ? this.#list(found, steps) : this.#tagged(found, narrowed);
  }

  /** Tells the folders that lead here and are not told yet. */
  #tell(steps: ScanStep[]): void {
    for (const folder of this.#stack) {
      if (folder.told) continue;
      folder.told = true;
      steps.push({ kind: 'item', found: folder.found, remote: folder.remote });
    }
  }

  #step(folder: Folder, names: readonly ByteText[], steps: ScanStep[]): void {
    const component = names[folder.next++];
    if (component === undefined) {
      this.#stack.pop();
      const { found, remote, told } = folder;
      steps.push({ kind: 'leave', found, remote, kept: keptOf(folder), told });
      return;
    }
    const { found: parent } = folder;
    const name = childOf(parent.name, component);
    const path = parent.path.endsWith('/') ? parent.path + component : `${parent.path}/${component}`;
    if (isAsideName(component)) return;
    if (path.length >= PATH_MAX_BYTES) {
      this.#options.skipped.add(name, 'too-long', `its path of ${path.length} bytes is longer than the system allows`);
      return;
    }
    const status = this.#look(name, path, steps);
    if (status === undefined) return;
    const type = typeOf(status);
    const chosen = this.#choose(name, type, folder.whole);
    const found = { name, path, status, mount: mountOf(parent, name, status, type) };
    if (type === 'folder' && chosen !== 'out') this.#enter(folder, found, chosen === 'in', steps);
    else if (chosen === 'in') this.#take(folder, found, type, steps);
    else steps.push({ kind: 'gone', name, found });
  }

  #look(name: ByteText, path: ByteText, steps: ScanStep[]): FileStatus | undefined {
    try {
      return statusOf(path);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') {
        this.#missing(name, 'it vanished during the scan');
        steps.push({ kind: 'gone', name });
      } else {
        this.#options.skipped.add(name, 'unreadable', reasonOf(error));
        steps.push({ kind: 'unsure', name });
      }
      return undefined;
    }
  }

  /** Where only names are looked at that someone hinted at, it is no news that one is gone. */
  #missing(name: ByteText, message: string): void {
    if (this.#options.narrow === undefined) this.#options.skipped.add(name, 'vanished', message);
  }

  /** `maybe`: a folder that is in only if something in it is. */
  #choose(name: ByteText, type: FoundType, whole: boolean): 'in' | 'maybe' | 'out' {
    const { include, exclude } = this.#options.selection;
    if (include === undefined && exclude === undefined) return 'in';
    const path = name.replaceAll('\0', '/');
    const isFolder = type === 'folder';
    if (exclude?.match(path, isFolder) === true) return 'out';
    if (whole || include === undefined || include.match(path, isFolder)) return 'in';
    return isFolder ? 'maybe' : 'out';
  }

  #take(folder: Folder, found: Found, type: FoundType, steps: ScanStep[]): void {
    const { skipped } = this.#options;
    const { name } = found;
    const { sizeBytes } = found.status;
    if (type !== 'special' && sizeBytes <= Number.MAX_SAFE_INTEGER) {
      this.#tell(steps);
      steps.push({ kind: 'item', found, remote: folder.remote });
      return;
    }
    if (type === 'special') skipped.add(name, 'special', 'sockets, fifos and devices are not kept');
    else skipped.add(name, 'unreadable', `a file of ${sizeBytes} bytes is too large to be kept`);
    steps.push({ kind: 'gone', name });
  }

  #enter(parent: Folder, found: Found, whole: boolean, steps: ScanStep[]): void {
    const { oneFileSystem, excluded, skipped } = this.#options;
    const { name } = found;
    const { device, inode } = found.status;
    if (excluded.has(`${device}:${inode}`)) {
      steps.push({ kind: 'gone', name });
      return;
    }
    const otherDevice = device !== parent.found.status.device;
    const remote = otherDevice ? isRemote(found.path) : parent.remote;
    const names = oneFileSystem && device !== this.#rootDevice ? [] : undefined;
    this.#stack.push({ found, remote, names, next: 0, told: false, whole });
    if (names === undefined) return;
    skipped.add(name, 'filesystem', 'another file system is mounted here');
    steps.push({ kind: 'enter', name, whole: true });
    if (whole) this.#tell(steps);
  }

  #list(folder: Found, steps: ScanStep[]): readonly ByteText[] {
    const { skipped } = this.#options;
    try {
      // In 'latin1' each byte of a name is one character, so that the default order is the order of bytes.
      const names = readdirSync(systemPath(folder.path), { encoding: 'latin1' }).sort();
      return names.includes(CACHE_TAG) ? this.#tagged(folder, names) : names;
    } catch (error) {
      if (folder.name === '') throw storeUnreachable(folder.path, error);
      if (systemCode(error) === 'ENOENT') this.#missing(folder.name, 'it vanished during the scan');
      else if (systemCode(error) === 'ENOTDIR') {
        skipped.add(folder.name, 'changed', 'it stopped being a folder during the scan');
      } else {
        skipped.add(folder.name, 'unreadable', `what it holds can’t be listed: ${reasonOf(error)}`);
        steps.push({ kind: 'unsure', name: folder.name });
      }
      return [];
    }
  }

  /** Of a folder with a valid tag only the tag. */
  #tagged({ path }: Found, names: readonly ByteText[]): readonly ByteText[] {
    if (!this.#options.cacheDirTag || !isCacheTag(`${path}/${CACHE_TAG}`)) return names;
    return names.filter((name) => name === CACHE_TAG);
  }
}

function keptOf(folder: Folder): Kept {
  return folder.whole || folder.found.name === '' ? 'always' : 'if-needed';
}

/** See `LinkGroup.mount`. A file with a device of its own (some layered file systems) has only that to go by. */
function mountOf(parent: Found, name: ByteText, { device }: FileStatus, type: FoundType): bigint {
  if (device === parent.status.device) return parent.mount;
  const source = type === 'folder' ? bytesOf(`folder\0${name}`) : bytesOf(`device\0${device}`);
  return createHash('sha256').update(source).digest().readBigUInt64LE() | 1n;
}

function isRemote(path: ByteText): boolean {
  try {
    return isRemoteType(statfsSync(systemPath(path)).type);
  } catch {
    // Without an answer the times are trusted less, which costs reading only.
    return true;
  }
}

function isCacheTag(path: ByteText): boolean {
  const start = Buffer.alloc(CACHE_SIGNATURE.byteLength);
  try {
    const file = openSync(systemPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      readSync(file, start);
    } finally {
      closeSync(file);
    }
  } catch {
    // A tag that can't be read is not a valid one; it is reported when it is kept itself.
    return false;
  }
  return start.equals(CACHE_SIGNATURE);
}
