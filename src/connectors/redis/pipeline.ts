import { TidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import type { RedisClient, Refused } from './resp-client.ts';

/**
 * Commands in the protocol's form. `describe`: what the one at an index is, for an error. `release`: they are answered, and the bytes needed no more; not
 * called once something has failed.
 */
export type CommandRun = {
  readonly bytes: readonly Uint8Array[];
  readonly count: number;
  readonly describe: (index: number) => string;
  readonly release?: (() => void) | undefined;
};

/** What may be unanswered, so that the memory of both sides is bounded. */
const MOST_RUNS = 16;

/** Sends commands without waiting for the answers to those before them. An answer that is an error ends everything that follows. */
export class Pipeline {
  readonly #client: RedisClient;
  readonly #under: Set<Promise<void>> = new Set();
  #failure: { readonly error: unknown } | undefined;
  #commands = 0;

  constructor(client: RedisClient) {
    this.#client = client;
  }

  /** How many commands were sent. */
  get commands(): number {
    return this.#commands;
  }

  /** Resolves when the commands are on their way and there is room for more. Their bytes must not be changed afterwards. @throws as `settle` */
  async send({ bytes, count, describe, release }: CommandRun, run: Run): Promise<void> {
    this.#assertWorks();
    if (count === 0) return;
    this.#commands += count;
    const [first] = bytes;
    const joined = bytes.length === 1 && first !== undefined ? first : Buffer.concat(bytes);
    const { promise: sent, resolve } = Promise.withResolvers<void>();
    const answered = this.#client
      .sendAll({ bytes: joined, count, sent: resolve }, run)
      .then((refused) => {
        if (refused !== undefined) throw refusedCommand(refused, describe);
        release?.();
      })
      .catch((error: unknown) => {
        this.#failure ??= { error };
        resolve();
      })
      .finally(() => this.#under.delete(answered));
    this.#under.add(answered);
    await sent;
    while (this.#under.size >= MOST_RUNS) await Promise.race(this.#under);
    this.#assertWorks();
  }

  /** Goes on with a command that was begun: its answer is awaited where it began. */
  async sendMore(bytes: Uint8Array, run: Run): Promise<void> {
    this.#assertWorks();
    await this.#client.send({ bytes, count: 0 }, run);
  }

  /**
   * Resolves when everything is answered, none of it by an error. @throws RESTORE_FAILED naming what was refused; STORE_UNREACHABLE; the signal's reason
   */
  async settle(): Promise<void> {
    await Promise.all(this.#under);
    this.#assertWorks();
  }

  #assertWorks(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

function refusedCommand({ index, error }: Refused, describe: (index: number) => string): TidemarkError {
  return new TidemarkError('RESTORE_FAILED', `the server refuses ${describe(index)}: ${error.message}`, {
    hint: 'Mend what the server says, then run `tidemark restore --resume`: it begins anew with what it writes.',
    cause: error,
  });
}
