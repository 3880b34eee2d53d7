import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../../core/bytes.ts';
import type { RecorderContext } from '../../core/connector.ts';
import { fromSystem } from '../../core/errors.ts';
import { ensureFolder } from '../../io/atomic-file.ts';
import { nativeAvailable } from '../../io/native.ts';
import { tryLockFile } from '../../io/native-file.ts';

const PRIVATE = 0o700;
const NAME_BYTES = 8;
const OURS = /^base-[0-9a-f]{16}\.rdb$/;
const OWN_FOLDER = /^tidemark-redis-[0-9a-f]{16}$/;
/** In a folder of its own: locked while whoever made it lives. */
const LOCK = 'lock';

/** Where bases wait until they are stored: private, and empty when it is disposed. */
export class ScratchFiles implements AsyncDisposable {
  readonly #folder: string;
  readonly #lock: FileHandle | undefined;
  readonly #random: RecorderContext['runtime']['random'];

  /**
   * In the state folder of a history, or in a temporary folder of its own. What killed processes left in the one, or beside the other, is removed.
   * @throws FAILED, DISK_FULL
   */
  static async open({ runtime, stateFolder }: RecorderContext): Promise<ScratchFiles> {
    const { random, temporaryFolder } = runtime;
    const folder = stateFolder ?? join(temporaryFolder, `tidemark-redis-${toHex(random(NAME_BYTES))}`);
    try {
      if (stateFolder === undefined) return new ScratchFiles(folder, await makeOwn(folder, temporaryFolder), random);
      await ensureFolder(folder, PRIVATE);
      await removeLeft(folder);
    } catch (error) {
      throw fromSystem(error, 'FAILED', `${folder} can’t be used`);
    }
    return new ScratchFiles(folder, undefined, random);
  }

  private constructor(folder: string, lock: FileHandle | undefined, random: RecorderContext['runtime']['random']) {
    this.#folder = folder;
    this.#lock = lock;
    this.#random = random;
  }

  /** The path of a file that is not there yet. */
  next(): string {
    return join(this.#folder, `base-${toHex(this.#random(NAME_BYTES))}.rdb`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#lock === undefined) return;
    await rm(this.#folder, { recursive: true, force: true });
    await this.#lock[Symbol.asyncDispose]();
  }
}

async function removeLeft(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (OURS.test(name)) await rm(join(folder, name), { force: true });
}

/** A new folder, in place when it is locked. */
async function makeOwn(folder: string, parent: string): Promise<FileHandle> {
  await using made = new AsyncDisposableStack();
  const coming = `${folder}.new`;
  await mkdir(coming, { mode: PRIVATE });
  made.defer(() => rm(coming, { recursive: true, force: true }));
  const lock = made.use(await open(join(coming, LOCK), constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600));
  const { uid } = await lock.stat();
  if (nativeAvailable() && tryLockFile(lock.fd)) await removeAbandoned(parent, uid);
  else await rm(join(coming, LOCK));
  await rename(coming, folder);
  made.move();
  return lock;
}

/** Folders that this user made in processes that are gone: whole copies of stores may lie in them. */
async function removeAbandoned(parent: string, uid: number): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!OWN_FOLDER.test(name)) continue;
    const folder = join(parent, name);
    try {
      const found = await lstat(folder);
      if (found.uid !== uid || !found.isDirectory()) continue;
      await using lock = await open(join(folder, LOCK), constants.O_RDWR | constants.O_NOFOLLOW);
      if (tryLockFile(lock.fd)) await rm(folder, { recursive: true, force: true });
    } catch {
      // Another process removes it at this moment, or it stays: nothing depends on it.
    }
  }
}
