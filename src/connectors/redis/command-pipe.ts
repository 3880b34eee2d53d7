import type { Duplex } from 'node:stream';
import { fromSystem, TidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { commandBytes } from './command-bytes.ts';
import { ReplyCounter, ReplyError, takeReply } from './reply-reader.ts';
import type { Reply } from './reply-reader.ts';

/** Many commands in the protocol's form. `describe`: what the one at this index is, for an error. */
export type CommandRun = {
  readonly bytes: readonly Uint8Array[];
  readonly count: number;
  readonly describe: (index: number) => string;
};

type Waiting =
  | { readonly kind: 'call'; resolve(reply: Reply): void; reject(error: unknown): void }
  | { readonly kind: 'run'; readonly run: CommandRun; answered: number };

/** What may be on its way, so that the memory of both sides is bounded. */
const MOST_RUNS = 8;
const NOTHING = Buffer.alloc(0);

/**
 * A connection to a server that is logged in to. Commands are sent without waiting for the answers to those before them; an answer that is an error ends
 * everything that follows. One user at a time.
 */
export class CommandPipe implements AsyncDisposable {
  readonly #socket: Duplex;
  readonly #waiting: Waiting[] = [];
  readonly #counter = new ReplyCounter();
  readonly #name: string;
  #runs = 0;
  #rest: Buffer = NOTHING;
  #failure: unknown;
  #wake: (() => void) | undefined;

  /** `name`: of the server, for errors. */
  constructor(socket: Duplex, name: string) {
    this.#socket = socket;
    this.#name = name;
    socket.on('data', (piece: Buffer) => this.#onData(piece));
    socket.on('drain', () => this.#wake?.());
    socket.on('error', (error) =>
      this.#fail(fromSystem(error, 'STORE_UNREACHABLE', `the connection to ${name} broke`)),
    );
    socket.on('close', () => this.#fail(new TidemarkError('STORE_UNREACHABLE', `${name} closed the connection`)));
  }

  /** The answer, which is no error. @throws ReplyError, STORE_UNREACHABLE, the signal's reason */
  async call(args: readonly (string | Uint8Array)[], run: Run): Promise<Exclude<Reply, ReplyError>> {
    this.#assertWorks(run);
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.#waiting.push({ kind: 'call', resolve, reject });
    this.#socket.write(commandBytes(args));
    const onAbort = (): void => this.#fail(run.signal.reason);
    run.signal.addEventListener('abort', onAbort, { once: true });
    try {
      const reply = await promise;
      if (reply instanceof ReplyError) throw reply;
      return reply;
    } finally {
      run.signal.removeEventListener('abort', onAbort);
    }
  }

  /** Resolves when the commands may be given up: they are written, and not too many are unanswered. @throws as `settle` */
  async send(commands: CommandRun, run: Run): Promise<void> {
    this.#assertWorks(run);
    if (commands.count > 0) {
      this.#waiting.push({ kind: 'run', run: commands, answered: 0 });
      this.#runs += 1;
    }
    this.#socket.cork();
    for (const piece of commands.bytes) this.#socket.write(piece);
    this.#socket.uncork();
    await this.#until(() => this.#runs < MOST_RUNS && !this.#socket.writableNeedDrain, run);
  }

  /** Resolves when all that was sent is answered, none of it by an error. @throws RESTORE_FAILED, STORE_UNREACHABLE, the signal's reason */
  async settle(run: Run): Promise<void> {
    await this.#until(() => this.#runs === 0, run);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fail(new TidemarkError('STORE_UNREACHABLE', `the connection to ${this.#name} was closed`));
    this.#socket.destroy();
  }

  #assertWorks(run: Run): void {
    run.signal.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #until(isSo: () => boolean, run: Run): Promise<void> {
    for (;;) {
      this.#assertWorks(run);
      if (isSo()) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const onAbort = (): void => resolve();
      run.signal.addEventListener('abort', onAbort, { once: true });
      await promise;
      run.signal.removeEventListener('abort', onAbort);
    }
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    for (const waiting of this.#waiting) if (waiting.kind === 'call') waiting.reject(error);
    this.#waiting.length = 0;
    this.#wake?.();
    this.#socket.destroy();
  }

  #onData(piece: Buffer): void {
    if (this.#failure !== undefined) return;
    try {
      this.#take(this.#rest.byteLength === 0 ? piece : Buffer.concat([this.#rest, piece]));
    } catch (error) {
      this.#fail(error);
    }
  }

  #take(bytes: Buffer): void {
    this.#rest = NOTHING;
    for (let at = 0; at < bytes.byteLength; ) {
      const [first] = this.#waiting;
      if (first === undefined) throw new TidemarkError('STORE_UNREACHABLE', `${this.#name} answers what was not asked`);
      if (first.kind === 'call') {
        const taken = takeReply(bytes, at);
        if (taken === undefined) {
          this.#rest = bytes.subarray(at);
          return;
        }
        at = taken.next;
        this.#waiting.shift();
        first.resolve(taken.reply);
        continue;
      }
      at = this.#counter.take(bytes, at, first.run.count - first.answered, (error) => {
        if (error !== undefined) throw refused(first.run.describe(first.answered), error);
        first.answered += 1;
      });
      if (first.answered < first.run.count) continue;
      this.#waiting.shift();
      this.#runs -= 1;
      this.#wake?.();
    }
  }
}

function refused(what: string, error: string): TidemarkError {
  return new TidemarkError('RESTORE_FAILED', `the server refuses ${what}: ${error}`);
}
