import { TidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { untilAborted } from '../../flow/until-aborted.ts';
import { ErrorReply, refusal, unreachable } from './errors.ts';
import { ByteSocket } from './link/byte-socket.ts';
import { shownAddress } from './place.ts';
import type { RedisServer } from './place.ts';
import { encodeCommand, itemsOf, ReplyParser } from './resp.ts';
import type { Reply, ReplySink } from './resp.ts';

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
  /** The same, of which only the first refusal is told, if there is one. Replies are not kept. */
  sendAll(commands: EncodedCommands, run: Run): Promise<Refused | undefined>;
}

/** `index`: of the command. Of a transaction, the error may be one of its commands'. */
export type Refused = { readonly index: number; readonly error: ErrorReply };

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

/** Says who we are where that is known, and wanted. @throws STORE_UNREACHABLE when it is refused */
export async function logIn(
  server: RedisServer,
  call: (command: Command, run: Run) => Promise<Reply>,
  run: Run,
): Promise<void> {
  if (server.login === 'whenAsked' && !(await isAsked(call, run))) return;
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

/** Whether the server refuses whoever has not logged in. */
async function isAsked(call: (command: Command, run: Run) => Promise<Reply>, run: Run): Promise<boolean> {
  try {
    await call(['PING'], run);
    return false;
  } catch (error) {
    if (!(error instanceof TidemarkError && error.cause instanceof ErrorReply)) throw error;
    return error.cause.kind === 'NOAUTH';
  }
}

/** `left`: how many replies were awaited when it came. `passesOks`: those that are a plain OK need not be taken. */
type Taking = { readonly take: (reply: Reply, left: number) => void; readonly passesOks?: boolean };

type Waiting = Required<Taking> & {
  left: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};

class PipelinedClient implements RedisClient, ReplySink {
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

  async send(commands: EncodedCommands, run: Run): Promise<readonly Reply[]> {
    const replies: Reply[] = [];
    await this.#send(commands, { take: (reply) => replies.push(reply) }, run);
    return replies;
  }

  async sendAll(commands: EncodedCommands, run: Run): Promise<Refused | undefined> {
    let refused: Refused | undefined;
    const take = (reply: Reply, left: number): void => {
      const error = refused === undefined ? errorIn(reply) : undefined;
      if (error !== undefined) refused = { index: commands.count - left, error };
    };
    await this.#send(commands, { take, passesOks: true }, run);
    return refused;
  }

  async #send({ bytes, count, sent }: EncodedCommands, { take, passesOks = false }: Taking, run: Run): Promise<void> {
    run.signal.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    if (count === 0) {
      await this.#socket.write(bytes, run);
      sent?.();
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // The writing fails with it as well, and is heard first.
    promise.catch(() => undefined);
    this.#waiting.push({ left: count, take, passesOks, resolve, reject });
    try {
      await this.#socket.write(bytes, run);
      sent?.();
      await untilAborted(promise, run);
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
        for (const chunk of this.#socket.take()) parser.pushTo(chunk, this);
      }
    } catch (error) {
      const isClosed = run.signal.aborted || !(error instanceof Error);
      const failure = isClosed ? unreachable(this.server, 'the connection was closed here') : error;
      this.#failure = failure;
      this.#socket.fail(failure);
      for (const { reject } of this.#waiting.splice(0)) reject(failure);
    }
  }

  takeReply(reply: Reply): void {
    const first = this.#first();
    first.take(reply, first.left);
    this.#answered(first, 1);
  }

  takeOks(count: number): void {
    for (let left = count; left > 0; ) {
      const first = this.#first();
      const passed = Math.min(left, first.left);
      if (!first.passesOks) for (let at = 0; at < passed; at++) first.take('OK', first.left - at);
      this.#answered(first, passed);
      left -= passed;
    }
  }

  #first(): Waiting {
    const first = this.#waiting[0];
    if (first === undefined) throw unreachable(this.server, 'it answers what was not asked');
    return first;
  }

  #answered(first: Waiting, count: number): void {
    first.left -= count;
    if (first.left > 0) return;
    this.#waiting.shift();
    first.resolve();
  }
}

function errorIn(reply: Reply): ErrorReply | undefined {
  if (reply instanceof ErrorReply) return reply;
  for (const part of itemsOf(reply)) {
    const error = errorIn(part);
    if (error !== undefined) return error;
  }
  return undefined;
}
