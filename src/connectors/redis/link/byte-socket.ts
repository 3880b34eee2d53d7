import { connect as connectPlain } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Run } from '../../../core/run.ts';
import { Inbox } from '../../../io/inbox.ts';
import { readTlsOptions } from '../../../io/tls.ts';
import { untilDrained } from '../../../io/until-drained.ts';
import { connectionError, unreachable } from '../errors.ts';
import type { RedisServer } from '../place.ts';

const CONNECT_MS = 10_000;
const KEEP_ALIVE_MS = 15_000;
/** What has come and was not taken holds the sender back from here on. */
const HIGH_BYTES = 4 * 1024 * 1024;

/** Bytes to and from a server, pulled, so that who is slow holds the server back and not the memory. */
export class ByteSocket implements AsyncDisposable {
  readonly server: RedisServer;
  readonly #socket: Socket;
  readonly #inbox: Inbox;
  #receivedBytes = 0;
  #end: Error | undefined;
  #wake: (() => void) | undefined;

  /** @throws STORE_UNREACHABLE when there is no connection, or when TLS can't tell that it is the right server */
  static async connect(server: RedisServer, run: Run): Promise<ByteSocket> {
    run.signal.throwIfAborted();
    const inbox = new Inbox();
    const socket = await openSocket(server, inbox, run);
    const made = Promise.withResolvers<void>();
    const onAbort = (): void => made.reject(run.signal.reason);
    run.signal.addEventListener('abort', onAbort, { once: true });
    socket.once(server.tls === undefined ? 'connect' : 'secureConnect', () => made.resolve());
    socket.once('error', (error) => made.reject(connectionError(server, error)));
    socket.once('close', () => made.reject(unreachable(server, 'it ended the connection')));
    socket.setTimeout(CONNECT_MS, () => made.reject(unreachable(server, 'it does not answer')));
    try {
      await made.promise;
    } catch (error) {
      socket.on('error', () => undefined);
      socket.destroy();
      throw error;
    } finally {
      run.signal.removeEventListener('abort', onAbort);
    }
    socket.setTimeout(0);
    socket.removeAllListeners('timeout');
    return new ByteSocket(server, socket, inbox);
  }

  private constructor(server: RedisServer, socket: Socket, inbox: Inbox) {
    this.server = server;
    this.#socket = socket;
    this.#inbox = inbox;
    inbox.onData = (sizeBytes) => this.#arrive(sizeBytes);
    if (inbox.sizeBytes > 0) this.#arrive(inbox.sizeBytes);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('error', (error) => this.#finish(connectionError(server, error)));
    for (const event of ['end', 'close']) {
      socket.on(event, () => this.#finish(unreachable(server, 'it ended the connection')));
    }
  }

  /** Counts all that ever came. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Something waits to be taken. */
  get hasMore(): boolean {
    return this.#inbox.sizeBytes > 0;
  }

  /** Everything that has come, in few pieces; none when there is nothing. */
  take(): readonly Buffer[] {
    const chunks = this.#inbox.take();
    if (this.#socket.isPaused()) this.#socket.resume();
    return chunks;
  }

  /** All that was taken is needed no more, and its memory is used again. */
  giveBack(chunks: readonly Buffer[]): void {
    for (const chunk of chunks) this.#inbox.giveBack(chunk);
  }

  /** Puts back the end of what was taken. */
  putBack(rest: Buffer): void {
    if (rest.byteLength > 0) this.#inbox.putBack(rest);
  }

  /** Resolves when there is something to take. One waits at a time. @throws STORE_UNREACHABLE when the connection has ended */
  async arrived({ signal }: Run): Promise<void> {
    while (!this.hasMore) {
      this.#assertOpen(signal);
      await this.#change(signal);
    }
  }

  /** Resolves when the bytes are on their way and there is room for more. @throws STORE_UNREACHABLE when the connection has ended */
  async write(bytes: Uint8Array, { signal }: Run): Promise<void> {
    this.#assertOpen(signal);
    if (this.#socket.write(bytes)) return;
    await untilDrained(this.#socket, { signal });
    this.#assertOpen(signal);
  }

  /** Ends the connection; who waits gets the error. */
  fail(error: Error): void {
    this.#finish(error);
    this.#socket.destroy();
  }

  /** `onSilence` is called when neither side has said anything for so long. */
  onSilence(limitMs: number, onSilence: () => void): void {
    this.#socket.setTimeout(limitMs, onSilence);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fail(unreachable(this.server, 'the connection was closed here'));
    if (!this.#socket.closed) await new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
  }

  #assertOpen(signal: AbortSignal): void {
    signal.throwIfAborted();
    if (this.#end !== undefined) throw this.#end;
  }

  #arrive(sizeBytes: number): void {
    this.#receivedBytes += sizeBytes;
    if (this.#inbox.sizeBytes >= HIGH_BYTES) this.#socket.pause();
    this.#wake?.();
  }

  #finish(error: Error): void {
    this.#end ??= error;
    this.#wake?.();
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#wake = undefined;
        signal.removeEventListener('abort', leave);
        resolve();
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#wake = leave;
    });
  }
}

async function openSocket(server: RedisServer, inbox: Inbox, run: Run): Promise<Socket> {
  const { host, port, tls } = server;
  if (tls === undefined) {
    const callback = (sizeBytes: number): true => {
      inbox.filled(sizeBytes);
      return true;
    };
    return connectPlain({ host, port, onread: { buffer: () => inbox.room(), callback } });
  }
  const options = await readTlsOptions(tls, host, run);
  try {
    const socket = connectTls({ host, port, ...options });
    // What is decrypted comes in pieces of its own.
    socket.on('data', (chunk: Buffer) => inbox.put(chunk));
    return socket;
  } catch (error) {
    throw connectionError(server, error);
  }
}
