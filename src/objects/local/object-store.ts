import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import type { Run, Runtime } from '../../core/run.ts';
import { createLimiter } from '../../flow/limiter.ts';
import { readFully, writePieces } from '../../io/file-pieces.ts';
import { assertKeyPrefix, assertObjectKey, assertOffset } from '../object-key.ts';
import type { ObjectInfo, ObjectStore, ObjectStoreCapabilities } from '../object-store.ts';
import { Descriptors, NoFileError } from './descriptors.ts';
import { hasCode, localError } from './errors.ts';
import { entriesOf, removeEmptyFolder, removeFile, statFile } from './files.ts';
import { Folders } from './folders.ts';
import { publish } from './publish.ts';
import type { Published } from './publish.ts';
import { Scratch } from './scratch.ts';
import { walkKeys } from './walk.ts';
import type { FolderEntry } from './walk.ts';

const LONGEST_BATCH = 1000;
const MOST_DESCRIPTORS = 64;
const DESCRIPTOR_LIFE_MS = 1000;
const SWEEP_EVERY_MS = 3_600_000;
const MOST_DRAFTS = 3;
const DELETES_AT_ONCE = 16;

export type LocalObjectStoreOptions = {
  /** Absolute. It must be there. */
  readonly folder: string;
  readonly runtime: Runtime;
};

/**
 * A folder as object store: the object `a/b` is the file `a/b` in it, so that the folder can be copied to a bucket and back.
 *
 * Order of durable steps of a create: the content goes to a file in `.tmp` and is flushed; that file gets the object's name by link(2), which
 * never replaces; the folder and those above it that are new are flushed. A crash leaves the whole object or none, and perhaps a file in
 * `.tmp`: those untouched for an hour, by the file system's clock, are removed at a create, once an hour.
 * @throws REPOSITORY_NOT_FOUND where the folder is absent
 */
export async function openLocalObjectStore(options: LocalObjectStoreOptions, run: Run): Promise<ObjectStore> {
  run.signal.throwIfAborted();
  try {
    return new LocalObjectStore(options, openSync(options.folder, constants.O_RDONLY | constants.O_DIRECTORY));
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) {
      throw new TidemarkError('REPOSITORY_NOT_FOUND', `there is no folder ${options.folder}`, { cause: error });
    }
    throw localError(error, 'open', options.folder);
  }
}

class LocalObjectStore implements ObjectStore {
  readonly url: string;
  readonly capabilities: ObjectStoreCapabilities = { exclusiveCreate: true, provesDigest: false, listsAtOnce: true };
  readonly #folder: string;
  /** Of the folder, kept open: while it is, no other has its inode number, and some network file systems would else give it a new one. */
  readonly #root: number;
  /** A mount point whose disk is away is another folder. The number is the same when the disk is mounted anew. */
  readonly #inode: bigint;
  readonly #runtime: Runtime;
  readonly #folders: Folders;
  readonly #scratch: Scratch;
  readonly #descriptors: Descriptors;
  #sweptAtMs = Number.NEGATIVE_INFINITY;
  #disposed = false;

  constructor({ folder, runtime }: LocalObjectStoreOptions, root: number) {
    this.url = folder;
    this.#folder = folder;
    this.#root = root;
    this.#inode = fstatSync(root, { bigint: true }).ino;
    this.#runtime = runtime;
    this.#folders = new Folders(folder);
    this.#scratch = new Scratch({
      root: folder,
      folders: this.#folders,
      random: runtime.random,
      onLeftOver: (path, error) => this.#warn('a draft is left for a later sweep', path, error),
    });
    this.#descriptors = new Descriptors({ clock: runtime.clock, limit: MOST_DESCRIPTORS, lifeMs: DESCRIPTOR_LIFE_MS });
  }

  async create(key: string, body: readonly Uint8Array[], run: Run): Promise<void> {
    const path = this.#begin(key, run);
    await this.#descriptors.expire();
    await this.#sweepScratch();
    try {
      let published = await this.#draft(path, body, run);
      for (let drafts = 1; published === 'lost' && drafts < MOST_DRAFTS; drafts += 1) {
        published = await this.#draft(path, body, run);
      }
      if (published === 'lost') {
        throw new TidemarkError('REPOSITORY_UNREACHABLE', `can't create ${path}: its draft was removed`, {
          disposition: 'retry',
        });
      }
      await this.#settle(dirname(path));
      if (published === 'taken') throw await taken(path);
    } catch (error) {
      throw localError(error, 'create', path);
    }
  }

  async read(key: string, offset: number, into: Uint8Array, run: Run): Promise<number> {
    const path = this.#begin(key, run);
    assertOffset(offset);
    try {
      return await this.#descriptors.use(path, (file) => readFully(file, offset, into, run));
    } catch (error) {
      if (!isNoObject(error, path)) throw localError(error, 'read', path);
      await this.#assertInPlace();
      throw missing(path, error);
    }
  }

  async stat(key: string, run: Run): Promise<ObjectInfo | undefined> {
    const path = this.#begin(key, run);
    try {
      const stats = statFile(path);
      if (stats !== undefined) return infoOf(key, stats);
    } catch (error) {
      throw localError(error, 'look at', path);
    }
    await this.#assertInPlace();
    return undefined;
  }

  async *list(prefix: string, after: string, run: Run): AsyncGenerator<readonly ObjectInfo[]> {
    assertKeyPrefix(prefix);
    this.#assertUsable(run);
    await this.#assertInPlace();
    const readFolder = (folder: string): readonly FolderEntry[] => entriesOf(join(this.#folder, folder));
    try {
      for (const keys of inBatches(walkKeys(readFolder, { prefix, after }), LONGEST_BATCH)) {
        run.signal.throwIfAborted();
        const infos = this.#inspect(keys);
        if (infos.length > 0) yield infos;
        run.signal.throwIfAborted();
      }
    } catch (error) {
      throw localError(error, 'list', join(this.#folder, prefix));
    }
    // A folder that is gone looks like an empty one: if it was all of them, this listing is no answer.
    await this.#assertInPlace();
  }

  async delete(keys: readonly string[], run: Run): Promise<void> {
    const paths = keys.map((key) => this.#begin(key, run));
    const limiter = createLimiter(DELETES_AT_ONCE);
    const folders = new Set<string>();
    let absent = false;
    const remove = async (path: string): Promise<void> => {
      try {
        await this.#descriptors.forget(path);
        if (await removeFile(path)) folders.add(dirname(path));
        else absent = true;
      } catch (error) {
        throw localError(error, 'delete', path);
      }
    };
    await all(paths.map((path) => limiter.within(() => remove(path), run)));
    if (absent) await this.#assertInPlace();
    await all([...folders].map((folder) => this.#prune(folder)));
  }

  async nowMs(run: Run): Promise<number> {
    this.#assertUsable(run);
    return await this.#fileSystemMs();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    closeSync(this.#root);
    await this.#descriptors[Symbol.asyncDispose]();
  }

  /** The path of a key, once a call may begin. */
  #begin(key: string, run: Run): string {
    assertObjectKey(key);
    this.#assertUsable(run);
    return join(this.#folder, key);
  }

  #assertUsable(run: Run): void {
    assume(!this.#disposed, 'no call after dispose');
    run.signal.throwIfAborted();
  }

  /** Absence proves something only while the folder that was opened is still there. */
  async #assertInPlace(): Promise<void> {
    try {
      const { ino } = await stat(this.#folder, { bigint: true });
      if (ino === this.#inode) return;
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw localError(error, 'reach', this.#folder);
    }
    throw new TidemarkError('REPOSITORY_UNREACHABLE', `${this.#folder} is no longer the folder that was opened`, {
      hint: 'Check that its disk or share is still mounted there.',
    });
  }

  async #draft(path: string, body: readonly Uint8Array[], run: Run): Promise<Published> {
    await using draft = await this.#scratch.create(() => this.#assertInPlace());
    await writePieces(draft.file, body, { run });
    await draft.file.sync();
    run.signal.throwIfAborted();
    return await publish(draft, path, this.#folders);
  }

  /** Makes the names in a folder durable, unless it was deleted with all of them meanwhile. */
  async #settle(folder: string): Promise<void> {
    try {
      await this.#folders.settle(folder);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
      await this.#assertInPlace();
    }
  }

  /** Removes the folders that are empty now, from `folder` upwards, and makes durable what is gone. */
  async #prune(folder: string): Promise<void> {
    let at = folder;
    try {
      while (at !== this.#folder && (await removeEmptyFolder(at))) at = dirname(at);
      await this.#settle(at);
    } catch (error) {
      throw localError(error, 'delete in', at);
    }
  }

  #inspect(keys: readonly string[]): readonly ObjectInfo[] {
    return keys.flatMap((key) => {
      const stats = statFile(join(this.#folder, key));
      return stats === undefined ? [] : [infoOf(key, stats)];
    });
  }

  async #fileSystemMs(): Promise<number> {
    try {
      await using draft = await this.#scratch.create(() => this.#assertInPlace());
      return Math.floor((await draft.file.stat()).mtimeMs);
    } catch (error) {
      throw localError(error, 'ask for the time in', this.#folder);
    }
  }

  async #sweepScratch(): Promise<void> {
    const nowMs = this.#runtime.clock.monotonicMs();
    if (nowMs - this.#sweptAtMs < SWEEP_EVERY_MS) return;
    this.#sweptAtMs = nowMs;
    try {
      await this.#scratch.removeLeftOvers(await this.#fileSystemMs());
    } catch (error) {
      this.#warn('left-over drafts could not be removed', this.#folder, error);
    }
  }

  #warn(message: string, path: string, error: unknown): void {
    this.#runtime.logger.log('warn', message, { path, error: error instanceof Error ? error.message : String(error) });
  }
}

/** Waits for all of them, also when one fails, so that nothing runs on behind the caller's back. */
async function all<T>(calls: readonly Promise<T>[]): Promise<readonly T[]> {
  await Promise.allSettled(calls);
  return await Promise.all(calls);
}

function* inBatches(runs: Iterable<readonly string[]>, size: number): Generator<readonly string[]> {
  let batch: string[] = [];
  for (const run of runs) {
    for (const key of run) {
      batch.push(key);
      if (batch.length < size) continue;
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

function infoOf(key: string, stats: Stats): ObjectInfo {
  return { key, sizeBytes: stats.size, modifiedMs: Math.floor(stats.mtimeMs) };
}

/** Whether a read failed because nothing is there, or something that is no object. */
function isNoObject(error: unknown, path: string): boolean {
  if (error instanceof NoFileError || hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return true;
  // A socket can't be opened, with the same code as a device that is away.
  return hasCode(error, 'ENXIO') && statFile(path) === undefined;
}

function missing(path: string, cause: unknown): TidemarkError {
  return new TidemarkError('OBJECT_NOT_FOUND', `${path} is missing`, { cause });
}

/** Why the name was not free; whatever had it may be gone by now. */
async function taken(path: string): Promise<TidemarkError> {
  try {
    const stats = await lstat(path);
    if (!stats.isFile()) {
      return new TidemarkError(
        'REPOSITORY_DAMAGED',
        `can't create ${path}: something that is no object is in its place`,
      );
    }
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  return new TidemarkError('OBJECT_EXISTS', `${path} is there already`);
}
