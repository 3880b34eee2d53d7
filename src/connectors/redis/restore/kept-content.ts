import { constants, existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fromSystem, TidemarkError } from '../../../core/errors.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { syncFolder } from '../../../io/atomic-file.ts';
import { writePieces } from '../../../io/file-pieces.ts';
import { readCommands } from '../commands/command-reader.ts';
import { ReplicaLink } from '../link/replica-link.ts';
import type { RedisServer } from '../place.ts';
import type { EncodedCommands } from '../resp-client.ts';
import { encodeCommand } from '../resp.ts';
import { checkRdb } from './staging.ts';
import { filePieces } from './work-files.ts';

/*
 * What a server holds before it is replaced: an RDB, as a replica gets it, and the commands that follow it up to the one that removes all. So nothing that was
 * acknowledged to anybody is missing.
 */

const WAIT_MS = 1_000;
const MULTI = encodeCommand(['MULTI']);
/** It is spelled as nobody else does it, so that it is found in the stream. Libraries are small: they need not be freed aside. */
const LAST_REMOVAL = encodeCommand(['FUNCTION', 'FLUSH', 'Sync']);

/** Removes all that a server holds, in one step. */
export const REMOVAL: EncodedCommands = {
  bytes: Buffer.concat([MULTI, encodeCommand(['FLUSHALL', 'ASYNC']), LAST_REMOVAL, encodeCommand(['EXEC'])]),
  count: 4,
};

export type KeepOptions = {
  readonly server: RedisServer;
  readonly clock: Clock;
  /** Of the RDB, and of what follows it. What an earlier call left there is replaced. */
  readonly rdb: string;
  readonly commands: string;
};

/** The content of a server that is being kept: its RDB is on the disk, and what follows comes. */
export class KeptContent implements AsyncDisposable {
  readonly #link: ReplicaLink;
  readonly #file: FileHandle;
  readonly #ended = new AbortController();
  readonly #following: Promise<void>;
  #reached: PromiseWithResolvers<void> | undefined;
  #wanted = 0n;
  #written: bigint;
  #failure: { readonly error: unknown } | undefined;

  /**
   * Resolves when the RDB is durable and known to be what can be put back by commands. @throws STORE_UNREACHABLE; UNSUPPORTED where it could not be put back
   */
  static async begin({ server, clock, rdb, commands }: KeepOptions, run: Run): Promise<KeptContent> {
    await using opened = new AsyncDisposableStack();
    const link = opened.use(await ReplicaLink.open(server, clock, run));
    await link.ask(undefined, run);
    await link.answer(run);
    const partial = `${rdb}.part`;
    for (const path of [partial, rdb, commands]) await rm(path, { force: true });
    await link.receiveRdb(partial, run);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const file = opened.use(await open(commands, flags, 0o600));
    const kept = opened.use(new KeptContent(link, file));
    const { moduleAux } = await checkRdb(partial, run);
    if (moduleAux !== undefined) throw notKept(moduleAux);
    await rename(partial, rdb);
    await syncFolder(dirname(rdb));
    opened.move();
    return kept;
  }

  private constructor(link: ReplicaLink, file: FileHandle) {
    this.#link = link;
    this.#file = file;
    this.#written = link.offset;
    this.#following = this.#follow({ signal: this.#ended.signal });
  }

  /** Resolves when all up to an offset of the server's stream is durable. @throws STORE_UNREACHABLE, DISK_FULL, FAILED */
  async reach(offset: bigint, run: Run): Promise<void> {
    this.#wanted = offset;
    this.#reached = Promise.withResolvers<void>();
    this.#reached.promise.catch(() => undefined);
    this.#tell();
    const onAbort = (): void => this.#reached?.reject(run.signal.reason);
    run.signal.addEventListener('abort', onAbort, { once: true });
    if (run.signal.aborted) onAbort();
    try {
      await this.#reached.promise;
    } finally {
      run.signal.removeEventListener('abort', onAbort);
    }
    await this.#file.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new Error('enough is kept'));
    await this.#following;
    await this.#file[Symbol.asyncDispose]();
    await this.#link[Symbol.asyncDispose]();
  }

  /** The server cuts off who does not take what it sends. */
  async #follow(run: Run): Promise<void> {
    try {
      for (;;) {
        await this.#link.arrivedWithin(WAIT_MS, run);
        const pieces = this.#link.take();
        await writePieces(this.#file, pieces, { run });
        this.#written = this.#link.offset;
        this.#link.acknowledge(this.#written);
        this.#tell();
      }
    } catch (error) {
      this.#failure = { error: fromSystem(error, 'FAILED', 'what the server is sent meanwhile can’t be kept') };
      this.#tell();
    }
  }

  #tell(): void {
    if (this.#written >= this.#wanted) this.#reached?.resolve();
    else if (this.#failure !== undefined) this.#reached?.reject(this.#failure.error);
  }
}

/** Where those of the commands behind a kept RDB end that are to be put back: before the transaction that removed all. 0 for none. */
export async function keptCommandsEnd(path: string, run: Run): Promise<number> {
  if (!existsSync(path)) return 0;
  let [settled, transaction] = [0, 0];
  for await (const batch of readCommands(filePieces(path, run))) {
    const removed = batch.bytes.indexOf(LAST_REMOVAL);
    const begun = removed < 0 ? batch.bytes.lastIndexOf(MULTI) : batch.bytes.lastIndexOf(MULTI, removed);
    if (begun >= 0) transaction = batch.at + begun;
    if (removed >= 0) return transaction;
    settled = batch.settled;
  }
  return settled;
}

function notKept(module: string): TidemarkError {
  return new TidemarkError(
    'UNSUPPORTED',
    `what the server holds could not be put back: its module ${module} keeps data beside the keys, which no command can give to a server`,
    { hint: 'Restore into another server with --into, or into files.' },
  );
}
