import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { fromSystem } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import type { Clock, Run } from '../../../core/run.ts';
import { writePieces } from '../../../io/file-pieces.ts';
import { ErrorReply, refusal, unreachable } from '../errors.ts';
import { logIn } from '../resp-client.ts';
import type { Command } from '../resp-client.ts';
import type { RedisServer } from '../place.ts';
import { encodeCommand } from '../resp.ts';
import type { Reply } from '../resp.ts';
import { ByteSocket } from './byte-socket.ts';
import type { StreamPlace } from './history.ts';
import { parseRdbFrame, RdbTransfer } from './rdb-transfer.ts';

/** What the master shows as our address: no host has it, so that Sentinel does not take us for a replica that could become master. */
const SHOWN_ADDRESS = 'tidemark-recorder';
const ACK_MS = 1_000;
/** A diskless master sends nothing until it has heard from us after it has noticed that the transfer is over. */
const FIRST_ACK_MS = 100;
/**
 * From a replica that names none, Valkey 9 and later make an RDB of version 11, and fail where a hash has fields that expire. Newer ones than this make the
 * RDB of this one.
 */
const VALKEY_VERSION = '9.0.0';
/** As the server's own repl-timeout. It says something every ten seconds. */
const SILENCE_MS = 60_000;
const MOST_LINE_BYTES = 4096;
/** What is written of an RDB before it is made durable, so that the end does not take long. */
const SYNC_BYTES = 64 * 1024 * 1024;
const GET_ACK = Buffer.from('*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n');
const NEWLINE = 0x0a;

/** `full`: an RDB comes, of the state at `place`, and then what follows. `continued`: at once what follows; `replId` is the master's present one. */
export type SyncStart =
  | { readonly kind: 'full'; readonly place: StreamPlace }
  | { readonly kind: 'continued'; readonly replId: string };

/** A connection on which a master sends us its stream, as to a replica. */
export class ReplicaLink implements AsyncDisposable {
  readonly #socket: ByteSocket;
  readonly #clock: Clock;
  readonly #closed = new AbortController();
  #keeping: Promise<void> = Promise.resolve();
  #askedId: string | undefined;
  #started: SyncStart | undefined;
  /** Of the last byte that was taken. */
  #offset = 0n;
  #acknowledged = 0n;
  #isStreaming = false;

  /** Connects, logs in and says who we are. @throws STORE_UNREACHABLE, with NOPERM where a replica is not permitted */
  static async open(server: RedisServer, clock: Clock, run: Run): Promise<ReplicaLink> {
    await using opened = new AsyncDisposableStack();
    const link = opened.use(new ReplicaLink(await ByteSocket.connect(server, run), clock));
    const call = (command: Command, inner: Run): Promise<Reply> => link.#call(command, inner);
    await logIn(server, call, run);
    await call(['PING'], run);
    await call(['REPLCONF', 'listening-port', '0'], run);
    await call(['REPLCONF', 'ip-address', SHOWN_ADDRESS], run);
    await call(['REPLCONF', 'capa', 'eof', 'capa', 'psync2'], run);
    await link.#tellVersion(run);
    opened.move();
    return link;
  }

  private constructor(socket: ByteSocket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
  }

  get server(): RedisServer {
    return this.#socket.server;
  }

  /** Something can be taken. */
  get hasMore(): boolean {
    return this.#socket.hasMore;
  }

  /** All bytes up to here have been taken. */
  get offset(): bigint {
    return this.#offset;
  }

  /** Asks for what follows a place, or for everything; the answer is for `answer`. @throws STORE_UNREACHABLE */
  async ask(after: StreamPlace | undefined, run: Run): Promise<void> {
    const words = after === undefined ? ['?', '-1'] : [after.replId, String(after.offset + 1n)];
    await this.#socket.write(encodeCommand(['PSYNC', ...words]), run);
    this.#begin(after?.offset ?? 0n);
    this.#askedId = after?.replId;
    this.#keeping = this.#keepAlive({ signal: this.#closed.signal });
  }

  /** What the master does. Comes when it has begun to make an RDB, which may take seconds. @throws STORE_UNREACHABLE */
  async answer(run: Run): Promise<SyncStart> {
    const line = await this.#line(run);
    const [, replId, offset] = /^\+FULLRESYNC ([0-9a-f]{40}) (\d{1,19})$/.exec(line) ?? [];
    if (replId !== undefined && offset !== undefined) {
      const place = { replId, offset: BigInt(offset) };
      this.#begin(place.offset);
      this.#started = { kind: 'full', place };
      return this.#started;
    }
    const [isContinued, newId = this.#askedId] = /^\+CONTINUE(?: ([0-9a-f]{40}))?$/.exec(line) ?? [];
    if (isContinued === undefined || newId === undefined) throw this.#refused(line);
    this.#started = { kind: 'continued', replId: newId };
    this.#isStreaming = true;
    return this.#started;
  }

  /** The RDB into a new file, which is durable when this resolves. @throws STORE_UNREACHABLE, DISK_FULL, FAILED */
  async receiveRdb(path: string, run: Run): Promise<void> {
    const line = await this.#line(run);
    const frame = parseRdbFrame(line);
    if (frame === undefined) throw this.#refused(line);
    const transfer = new RdbTransfer(frame);
    try {
      await using file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
      await this.#writeTransfer(transfer, file, run);
    } catch (error) {
      throw fromSystem(error, 'FAILED', `${path} can’t be written`);
    }
    this.#isStreaming = true;
  }

  async #writeTransfer(transfer: RdbTransfer, file: FileHandle, run: Run): Promise<void> {
    let unsynced = 0;
    while (transfer.rest === undefined) {
      await this.#socket.arrived(run);
      const pieces: Buffer[] = [];
      const chunks = this.#socket.take();
      for (const [index, chunk] of chunks.entries()) {
        pieces.push(...transfer.push(chunk));
        const { rest } = transfer;
        if (rest !== undefined) this.#socket.putBack(Buffer.concat([rest, ...chunks.slice(index + 1)]));
        if (rest !== undefined) break;
      }
      await writePieces(file, pieces, { run });
      this.#socket.giveBack(chunks);
      unsynced += pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
      if (unsynced < SYNC_BYTES) continue;
      await file.datasync();
      unsynced = 0;
    }
    await file.sync();
  }

  /** What has come of the stream; none when there is nothing. */
  take(): readonly Buffer[] {
    const chunks = this.#socket.take();
    for (const { byteLength } of chunks) this.#offset += BigInt(byteLength);
    const last = chunks.at(-1);
    // It is a command like any other in the stream; that one looks like it and is not costs nothing.
    if (last?.subarray(-GET_ACK.byteLength).equals(GET_ACK) === true) this.#tell();
    return chunks;
  }

  /** Resolves when there is something to take, or after so long. @throws STORE_UNREACHABLE when the connection has ended */
  async arrivedWithin(limitMs: number, run: Run): Promise<void> {
    if (this.#socket.hasMore) return;
    const enough = new AbortController();
    const signal = AbortSignal.any([run.signal, enough.signal]);
    const slept = this.#clock.sleep(limitMs, { signal });
    const arrived = this.#socket.arrived({ signal });
    try {
      await Promise.race([slept, arrived]);
    } finally {
      enough.abort(new Error('enough'));
      await Promise.allSettled([slept, arrived]);
    }
  }

  /** What is durable up to here is told to the master. */
  acknowledge(offset: bigint): void {
    if (offset <= this.#acknowledged) return;
    this.#acknowledged = offset;
    this.#tell();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await this.#socket[Symbol.asyncDispose]();
    await this.#keeping;
  }

  #begin(offset: bigint): void {
    this.#offset = offset;
    this.#acknowledged = offset;
  }

  #tell(): void {
    if (this.#started === undefined) return;
    const bytes = encodeCommand(['REPLCONF', 'ACK', String(this.#acknowledged)]);
    // When it fails, so does what reads; and one second later there is another one.
    this.#socket.write(bytes, { signal: this.#closed.signal }).catch(() => undefined);
  }

  /** Tells the master each second that we are there, and notices when it is not. */
  async #keepAlive(run: Run): Promise<void> {
    const { receivedBytes: atStart } = this.#socket;
    let [heard, heardMs, toldMs] = [atStart, this.#clock.monotonicMs(), 0];
    let streamStart: number | undefined;
    try {
      for (;;) {
        await this.#clock.sleep(FIRST_ACK_MS, run);
        const nowMs = this.#clock.monotonicMs();
        const { receivedBytes, hasMore } = this.#socket;
        if (receivedBytes !== heard || hasMore) [heard, heardMs] = [receivedBytes, nowMs];
        if (nowMs - heardMs > SILENCE_MS) {
          this.#socket.fail(unreachable(this.#socket.server, `it has said nothing for ${SILENCE_MS / 1_000} s`));
          return;
        }
        if (this.#isStreaming) streamStart ??= receivedBytes;
        const isAwaited = streamStart === receivedBytes && nowMs - heardMs < ACK_MS;
        if (!isAwaited && nowMs - toldMs < ACK_MS) continue;
        toldMs = nowMs;
        this.#tell();
      }
    } catch (error) {
      if (!run.signal.aborted) this.#socket.fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async #call(command: Command, run: Run): Promise<Reply> {
    await this.#socket.write(encodeCommand(command), run);
    const line = await this.#line(run);
    if (!line.startsWith('+')) throw this.#refused(line);
    return line.slice(1);
  }

  /** Redis and older Valkeys do not know of versions, and say so. */
  async #tellVersion(run: Run): Promise<void> {
    await this.#socket.write(encodeCommand(['REPLCONF', 'version', VALKEY_VERSION]), run);
    const line = await this.#line(run);
    if (!line.startsWith('+') && !line.startsWith('-ERR ')) throw this.#refused(line);
  }

  #refused(line: string): Error {
    const { server } = this.#socket;
    if (line.startsWith('-')) return refusal(server, new ErrorReply(line.slice(1)));
    return unreachable(server, `it answers ${JSON.stringify(line.slice(0, 200))}`);
  }

  /** Newlines alone say only that the master is there. */
  async #line(run: Run): Promise<string> {
    for (let held = Buffer.alloc(0); ; ) {
      await this.#socket.arrived(run);
      held = Buffer.concat([held, ...this.#socket.take()]);
      let from = 0;
      while (held[from] === NEWLINE) from++;
      const end = held.indexOf('\r\n', from);
      if (end >= 0) {
        this.#socket.putBack(must(held.subarray(end + 2), 'the rest'));
        return held.toString('latin1', from, end);
      }
      held = held.subarray(from);
      if (held.byteLength > MOST_LINE_BYTES) {
        throw unreachable(this.#socket.server, 'it speaks something else than the protocol of replicas');
      }
    }
  }
}
