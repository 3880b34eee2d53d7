import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasCode } from './errors.ts';

const FOLDER_MODE = 0o700;
const MOST_REMEMBERED = 10_000;

type Sync = { readonly done: Promise<string>; next: Promise<string> | undefined };

/** Makes the entries of a folder durable, and says which folder that was: another one later under its name has another identity. */
export type FlushFolder = (path: string) => Promise<string>;

async function flushFolder(path: string): Promise<string> {
  await using folder = await open(path, 'r');
  const stats = await folder.stat({ bigint: true });
  try {
    await folder.sync();
  } catch (error) {
    // A file system that can't flush folders says so with EINVAL, and makes their entries durable in its own way.
    if (!hasCode(error, 'EINVAL')) throw error;
  }
  // The time of birth tells it from another folder made later under its name, which may get the same inode.
  return `${stats.ino}:${stats.birthtimeNs}`;
}

/** The folders below one root, and what of them is durable. Rejects with the file system's errors. */
export class Folders {
  readonly #root: string;
  readonly #flushFolder: FlushFolder;
  readonly #syncs = new Map<string, Sync>();
  /** Folders whose own entry in the folder above is durable. */
  readonly #anchored = new Map<string, string>();

  /** `root` itself is there and durable. */
  constructor(root: string, flush: FlushFolder = flushFolder) {
    this.#root = root;
    this.#flushFolder = flush;
  }

  /** Makes the folder at `path` and those above it, but never the root. Durable only after `settle`. */
  async make(path: string): Promise<void> {
    if (path === this.#root) return;
    try {
      await mkdir(path, { mode: FOLDER_MODE });
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return;
      if (!hasCode(error, 'ENOENT') || dirname(path) === this.#root) throw error;
      await this.make(dirname(path));
      await this.make(path);
    }
  }

  /**
   * Resolves when the entries that the folder had at the call are durable, and so is the way to it. Calls meanwhile for the same folder
   * share one flush, which begins after the last of them.
   */
  async settle(path: string): Promise<void> {
    const identity = await this.#flush(path);
    if (path === this.#root || this.#anchored.get(path) === identity) return;
    await this.settle(dirname(path));
    if (this.#anchored.size >= MOST_REMEMBERED) this.#anchored.clear();
    this.#anchored.set(path, identity);
  }

  #flush(path: string): Promise<string> {
    const current = this.#syncs.get(path);
    if (current === undefined) return this.#begin(path);
    current.next ??= Promise.allSettled([current.done]).then(() => this.#begin(path));
    return current.next;
  }

  #begin(path: string): Promise<string> {
    const sync: Sync = { done: this.#run(path), next: undefined };
    this.#syncs.set(path, sync);
    return sync.done;
  }

  async #run(path: string): Promise<string> {
    try {
      return await this.#flushFolder(path);
    } finally {
      const ended = this.#syncs.get(path);
      if (ended?.next === undefined) this.#syncs.delete(path);
    }
  }
}
