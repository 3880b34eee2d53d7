import { constants, fstatSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Clock } from '../../core/run.ts';

/** A link is not followed, and a pipe is not waited for. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

type Descriptor = {
  readonly handle: Promise<FileHandle>;
  readonly openedMs: number;
  users: number;
  state: 'kept' | 'dropped' | 'closed';
};

export type DescriptorsOptions = {
  readonly clock: Clock;
  /** How many files stay open without a user. */
  readonly limit: number;
  /** How long a file is read from after it was opened: what happens to its name is noticed no later than this. */
  readonly lifeMs: number;
};

/** What lies at a path is no file, such as a folder or a pipe. */
export class NoFileError extends Error {}

/** Files kept open for reading, so that thousands of reads of one file open it once. The least recently used go first. */
export class Descriptors implements AsyncDisposable {
  readonly #options: DescriptorsOptions;
  /** In order of use. */
  readonly #kept = new Map<string, Descriptor>();
  #disposed = false;

  constructor(options: DescriptorsOptions) {
    this.#options = options;
  }

  /** The file stays open until `action` has settled. Rejects with the file system's error when it can't be opened, or a NoFileError. */
  async use<T>(path: string, action: (file: FileHandle) => Promise<T>): Promise<T> {
    const known = this.#kept.get(path);
    if (known !== undefined && this.#isExpired(known)) await this.#drop(path, known);
    const descriptor = this.#kept.get(path) ?? this.#open(path);
    this.#kept.delete(path);
    this.#kept.set(path, descriptor);
    descriptor.users += 1;
    let failed = true;
    try {
      const result = await action(await descriptor.handle);
      failed = false;
      return result;
    } finally {
      descriptor.users -= 1;
      if (failed || this.#disposed || descriptor.state === 'dropped') await this.#drop(path, descriptor);
      await this.#trim();
    }
  }

  /** The next use of `path` opens it anew. */
  async forget(path: string): Promise<void> {
    const descriptor = this.#kept.get(path);
    if (descriptor !== undefined) await this.#drop(path, descriptor);
  }

  /** Closes what is past its life and unused since, so that deleted files give their space back. */
  async expire(): Promise<void> {
    for (const [path, descriptor] of this.#kept) {
      if (!this.#isExpired(descriptor)) return;
      await this.#drop(path, descriptor);
    }
  }

  /** What is in use stays open until its last user is done. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const [path, descriptor] of this.#kept) await this.#drop(path, descriptor);
  }

  #open(path: string): Descriptor {
    return { handle: openFile(path), openedMs: this.#options.clock.monotonicMs(), users: 0, state: 'kept' };
  }

  #isExpired(descriptor: Descriptor): boolean {
    return this.#options.clock.monotonicMs() - descriptor.openedMs > this.#options.lifeMs;
  }

  async #trim(): Promise<void> {
    while (this.#kept.size > this.#options.limit) {
      const oldest = this.#kept.entries().next().value;
      if (oldest === undefined) return;
      await this.#drop(...oldest);
    }
  }

  /** Closes it now, or when its last user is done. */
  async #drop(path: string, descriptor: Descriptor): Promise<void> {
    if (this.#kept.get(path) === descriptor) this.#kept.delete(path);
    if (descriptor.state === 'closed') return;
    descriptor.state = 'dropped';
    if (descriptor.users > 0) return;
    descriptor.state = 'closed';
    // Who opened it has been told when that failed, and then there is nothing to close.
    const [opened] = await Promise.allSettled([descriptor.handle]);
    if (opened.status === 'fulfilled') await opened.value.close();
  }
}

async function openFile(path: string): Promise<FileHandle> {
  const handle = await open(path, READ);
  let isFile = false;
  try {
    isFile = fstatSync(handle.fd).isFile();
  } finally {
    if (!isFile) await handle.close();
  }
  if (!isFile) throw new NoFileError(`${path} is no file`);
  return handle;
}
