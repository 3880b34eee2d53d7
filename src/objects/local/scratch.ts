import { lstat, open, readdir } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../../core/bytes.ts';
import type { RandomBytes } from '../../core/run.ts';
import { hasCode } from './errors.ts';
import { removeFile } from './files.ts';
import type { Folders } from './folders.ts';

/** Outside of what a key can be, so that no object lies here. */
export const SCRATCH_FOLDER = '.tmp';

/** A file of a live process is younger: it is written in one go, from memory. Should one be older, its create begins again. */
const LEFT_OVER_MS = 3_600_000;
const OBJECT_MODE = 0o400;

/** Dispose closes it and takes its name away; what that can't do is left to `removeLeftOvers`. */
export interface ScratchFile extends AsyncDisposable {
  readonly path: string;
  readonly file: FileHandle;
}

export type ScratchOptions = {
  readonly root: string;
  readonly folders: Folders;
  readonly random: RandomBytes;
  /** Told of a file that could not be removed. */
  readonly onLeftOver: (path: string, error: unknown) => void;
};

/** Where objects are written before they get their name: on the same file system, out of sight. Rejects with the file system's errors. */
export class Scratch {
  readonly #folder: string;
  readonly #options: ScratchOptions;
  readonly #owner: string;
  #count = 0;

  constructor(options: ScratchOptions) {
    this.#folder = join(options.root, SCRATCH_FOLDER);
    this.#options = options;
    this.#owner = toHex(options.random(12));
  }

  /** A new, empty file that only its owner may read. `beforeMaking` is asked before the scratch folder itself has to be made. */
  async create(beforeMaking: () => Promise<void>): Promise<ScratchFile> {
    this.#count += 1;
    const path = join(this.#folder, `${this.#owner}-${this.#count}`);
    const file = await this.#open(path, beforeMaking);
    return { path, file, [Symbol.asyncDispose]: () => this.#discard(path, file) };
  }

  /** Removes what dead processes left, by the clock of the file system. Safe beside live ones. */
  async removeLeftOvers(nowMs: number): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (name.startsWith(this.#owner)) continue;
      const path = join(this.#folder, name);
      const mtimeMs = await modifiedMs(path);
      if (mtimeMs !== undefined && nowMs - mtimeMs > LEFT_OVER_MS) await removeFile(path);
    }
  }

  async #open(path: string, beforeMaking: () => Promise<void>): Promise<FileHandle> {
    try {
      return await open(path, 'wx', OBJECT_MODE);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
    await beforeMaking();
    await this.#options.folders.make(this.#folder);
    return await open(path, 'wx', OBJECT_MODE);
  }

  /** The content has been flushed or is given up by now, so that a failure here is no failure of the create. */
  async #discard(path: string, file: FileHandle): Promise<void> {
    try {
      await file.close();
      await removeFile(path);
    } catch (error) {
      this.#options.onLeftOver(path, error);
    }
  }
}

async function modifiedMs(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).mtimeMs;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
