import { TidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { untilAborted } from '../../flow/until-aborted.ts';
import { ErrorReply, refusal, unreachable } from './errors.ts';
import { ByteSocket } from './link/byte-socket.ts';
import { shownAddress } from './place.ts';
import type { RedisServer } from './place.ts';
import { encodeCommand, ReplyParser } from './resp.ts';
import type { Reply } from './resp.ts';

const LIMITS = { mostBytes: 1024 ** 3, mostItems: 10_000_000 };
const SILENCE_MS = 30_000;

export type Command = readonly (string | Uint8Array)[];

/** A connection to a server for plain commands. Replies come in the order of the commands. */
export interface RedisClient extends AsyncDisposable {
  readonly server: RedisServer;
  /** The reply to one command. @throws STORE_UNREACHABLE when there is no answer, or a refusal: that one's `cause` is an ErrorReply */
  call(command: Command, run: Run): Promise<Reply>;
  /**
   * Sends commands that are encoded already, and resolves with their replies, of which some may be an ErrorReply. Several may be under way; `sent` is called
   * when the server has room for more. @throws STORE_UNREACHABLE when there is no answer
   */
  send(commands: EncodedCommands, run: Run): Promise<readonly Reply[]>;
}

export type EncodedCommands = {
  readonly bytes: Uint8Array;
  /** How many commands begin in the bytes: 0 for more of one that began before, which is answered there. */
  readonly count: number;
  readonly sent?: (() => void) | undefined;
};

/** Connects and logs in. @throws STORE_UNREACHABLE, also when the password is refused; SECRET_MISSING */
export async function openClient(
  server: RedisServer,
  run: Run,
  options: { readonly silenceMs?: number | undefined } = {},
): Promise<RedisClient> {
  await using opened = new AsyncDisposableStack();
  const socket = opened.use(await ByteSocket.connect(server, run));
  const client = opened.use(new PipelinedClient(socket, options.silenceMs ?? SILENCE_MS));
  await logIn(server, (command, inner) => client.call(command, inner), run);
  opened.move();
  return client;
}

/** Says who we are where that is known. @throws STORE_UNREACHABLE when it is refused */
export async function logIn(
  server: RedisServer,
  call: (command: Command, run: Run) => Promise<Reply>,
  run: Run,
): Promise<void> {
  const password = await server.password(run);
  if (password !== undefined) {
    const words = server.user === undefined ? [password] : [server.user, password];
    await call(['AUTH', ...words], run);
  } else if (server.user !== undefined) {
    throw new TidemarkError('SECRET_MISSING', `no password for the user ${server.user} of ${shownAddress(server)}`, {
      hint: 'Say with passwordFile, passwordEnv or passwordCommand of this store where it is.',
    });
  }
}

type Waiting = {
  readonly count: number;
  readonly replies: Reply[];
  readonly resolve: (replies: readonly Reply[]) => void;
  readonly reject: (error: unknown) => void;
};

class PipelinedClient implements RedisClient {
  readonly #socket: ByteSocket;
  readonly #waiting: Waiting[] = [];
  readonly #closed = new AbortController();
  readonly #receiving: Promise<void>;
  #failure: Error | undefined;

  constructor(socket: ByteSocket, silenceMs: number) {
    this.#socket = socket;
    socket.onSilence(silenceMs, () => {
      if (this.#waiting.length > 0) socket.fail(unreachable(socket.server, 'it does not answer'));
    });
    this.#receiving = this.#receive();
  }

  get server(): RedisServer {
    return this.#socket.server;
  }

  async call(command: Command, run: Run): Promise<Reply> {
    const [reply] = await this.send({ bytes: encodeCommand(command), count: 1 }, run);
    if (reply instanceof ErrorReply) throw refusal(this.server, reply);
    return reply ?? null;
  }

  async send({ bytes, count, sent }: EncodedCommands, run: Run): Promise<readonly Reply[]> {
    run.signal.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    if (count === 0) {
      await this.#socket.write(bytes, run);
      sent?.();
      return [];
    }
    const { promise, resolve, reject } = Promise.withResolvers<readonly Reply[]>();
    // The writing fails with it as well, and is heard first.
    promise.catch(() => undefined);
    this.#waiting.push({ count, replies: [], resolve, reject });
    try {
      await this.#socket.write(bytes, run);
      sent?.();
      return await untilAborted(promise, run);
    } catch (error) {
      // What was half written or never read out would be taken for the next one's.
      if (run.signal.aborted) this.#socket.fail(unreachable(this.server, 'the connection was left in the middle'));
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await this.#socket[Symbol.asyncDispose]();
    await this.#receiving;
  }

  async #receive(): Promise<void> {
    const parser = new ReplyParser(LIMITS);
    const run = { signal: this.#closed.signal };
    try {
      for (;;) {
        await this.#socket.arrived(run);
        for (const chunk of this.#socket.take()) for (const reply of parser.push(chunk)) this.#answer(reply);
      }
    } catch (error) {
      const isClosed = run.signal.aborted || !(error instanceof Error);
      const failure = isClosed ? unreachable(this.server, 'the connection was closed here') : error;
      this.#failure = failure;
      this.#socket.fail(failure);
      for (const { reject } of this.#waiting.splice(0)) reject(failure);
    }
  }

  #answer(reply: Reply): void {
    const first = this.#waiting[0];
    if (first === undefined) throw unreachable(this.server, 'it answers what was not asked');
    first.replies.push(reply);
    if (first.replies.length < first.count) return;
    this.#waiting.shift();
    first.resolve(first.replies);
  }
}
