import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../../core/bytes.ts';
import type { RecorderContext } from '../../core/connector.ts';
import { fromSystem } from '../../core/errors.ts';
import { ensureFolder } from '../../io/atomic-file.ts';

const PRIVATE = 0o700;
const NAME_BYTES = 8;
const OURS = /^base-[0-9a-f]{16}\.rdb$/;

/** Where bases wait until they are stored: private, and empty when it is disposed. */
export class ScratchFiles implements AsyncDisposable {
  readonly #folder: string;
  readonly #isOwn: boolean;
  readonly #random: RecorderContext['runtime']['random'];

  /**
   * In the state folder of a history, where what a killed process left is removed; or in a temporary folder of its own.
   * @throws FAILED, DISK_FULL
   */
  static async open({ runtime, stateFolder }: RecorderContext): Promise<ScratchFiles> {
    const { random, temporaryFolder } = runtime;
    const isOwn = stateFolder === undefined;
    const folder = stateFolder ?? join(temporaryFolder, `tidemark-redis-${toHex(random(NAME_BYTES))}`);
    try {
      await ensureFolder(folder, PRIVATE);
      if (!isOwn) await removeLeft(folder);
    } catch (error) {
      throw fromSystem(error, 'FAILED', `${folder} can’t be used`);
    }
    return new ScratchFiles(folder, isOwn, random);
  }

  private constructor(folder: string, isOwn: boolean, random: RecorderContext['runtime']['random']) {
    this.#folder = folder;
    this.#isOwn = isOwn;
    this.#random = random;
  }

  /** The path of a file that is not there yet. */
  next(): string {
    return join(this.#folder, `base-${toHex(this.#random(NAME_BYTES))}.rdb`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOwn) await rm(this.#folder, { recursive: true, force: true });
  }
}

async function removeLeft(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (OURS.test(name)) await rm(join(folder, name), { force: true });
}
