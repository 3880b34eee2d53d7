import type { Socket } from 'node:net';
import pg from 'pg';
import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import type { Inbox } from '../../io/inbox.ts';
import { untilDrained } from '../../io/until-drained.ts';
import { unreachable } from './errors.ts';
import type { ClientSession } from './connection.ts';
import { addressName } from './place.ts';

/** More than this of what has come waits in memory only if a single message is larger. */
const HIGH_BYTES = 1024 * 1024;
const LOW_BYTES = HIGH_BYTES / 2;
const HEADER_BYTES = 5;
/** Smaller ones are put together where they come in pieces. */
const WHOLE_BYTES = 4_096;
/** A message of the streams that are read here is far smaller; a longer one is none. */
const MOST_MESSAGE_BYTES = 64 * 1024 * 1024;

export const MessageType = {
  error: 0x45, // E
  notice: 0x4e, // N
  rowDescription: 0x54, // T
  dataRow: 0x44, // D
  commandComplete: 0x43, // C
  readyForQuery: 0x5a, // Z
  parameterStatus: 0x53, // S
  copyIn: 0x47, // G
  copyOut: 0x48, // H
  copyBoth: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
} as const;

/** `routine`: the function of the server that says it, which has the same name in all languages. */
export type OnNotice = (message: string, routine: string) => void;

/** A message of the server, or a piece of one. `body` belongs to the receiver, and is never overwritten. */
export type Message = { readonly type: number; readonly body: Buffer; readonly isContinued?: true };

/**
 * The messages of a connection, pulled: what nobody has asked for stays in the network, but for a bounded rest. pg's own parser hands out bytes
 * that it overwrites later, and knows no back-pressure, so once a connection streams its socket is read here.
 */
export class ReplicationSocket implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #inbox: Inbox;
  readonly #session: ClientSession;
  readonly #pieces: Buffer[] = [];
  #heldBytes = 0;
  /** Of a message whose beginning was given out already. */
  #openBytes = 0;
  /** What `nextPiece` gave out last, to its end. */
  #spent: Buffer | undefined;
  #isPaused = false;
  #end: { readonly error: unknown } | undefined;
  #waiting: PromiseWithResolvers<void> | undefined;

  constructor(session: ClientSession) {
    this.#session = session;
    const { socket, inbox } = session.takeSocket();
    this.#socket = socket;
    this.#inbox = inbox;
    inbox.onData = () => this.#onData();
    this.#socket.on('error', this.#onEnd);
    this.#socket.on('close', this.#onEnd);
  }

  /** Sends a command; its answer comes by `next`. */
  command(text: string): void {
    this.#send(0x51, Buffer.from(`${text}\0`));
  }

  copyData(bytes: Uint8Array): void {
    this.#send(MessageType.copyData, bytes);
  }

  copyDone(): void {
    this.#send(MessageType.copyDone, Buffer.alloc(0));
  }

  /** Resolves when little of what was sent is still to go out: whoever sends much waits for it. What ended the connection `next` tells. */
  async drained(run: Run): Promise<void> {
    await untilDrained(this.#socket, run);
    run.signal.throwIfAborted();
  }

  /** Whether the next message is there already, whole. */
  get isReady(): boolean {
    const length = this.#nextBytes();
    return length !== undefined && this.#heldBytes >= length;
  }

  /** The next message. Notices go to `onNotice`. @throws STORE_UNREACHABLE at the end, pg's DatabaseError for what the server refuses */
  async next(run: Run, onNotice?: OnNotice): Promise<Message> {
    for (;;) {
      while (!this.isReady) await this.#arrival(run);
      const { type, body } = this.#takeMessage();
      if (type === MessageType.error) throw serverSaid(body);
      if (type === MessageType.notice) {
        const fields = fieldsOf(body);
        onNotice?.(fields.get('M') ?? '', fields.get('R') ?? '');
      } else if (type !== MessageType.parameterStatus) return { type, body };
    }
  }

  /** As `next`, but a large message comes in pieces, as it arrives: nothing is put together. A body is valid until the next call. */
  async nextPiece(run: Run, onNotice?: OnNotice): Promise<Message> {
    if (this.#spent !== undefined) this.#inbox.giveBack(this.#spent);
    this.#spent = undefined;
    if (this.#openBytes > 0) {
      while (this.#heldBytes === 0) await this.#arrival(run);
      return { type: MessageType.copyData, body: this.#takePiece(), isContinued: true };
    }
    while (this.#heldBytes <= HEADER_BYTES && !this.isReady) await this.#arrival(run);
    const length = must(this.#nextBytes(), 'a header');
    const [head] = this.#pieces;
    const isWhole = length <= WHOLE_BYTES || (head !== undefined && head.byteLength >= length);
    if (isWhole || head?.[0] !== MessageType.copyData) return await this.next(run, onNotice);
    this.#take(HEADER_BYTES);
    this.#openBytes = length - HEADER_BYTES;
    return { type: MessageType.copyData, body: this.#takePiece() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#inbox.onData = () => undefined;
    this.#session.destroy();
  }

  #onData(): void {
    for (const piece of this.#inbox.take()) {
      this.#pieces.push(piece);
      this.#heldBytes += piece.byteLength;
    }
    if (!this.#isPaused && this.#heldBytes >= HIGH_BYTES && this.#heldBytes >= this.#wantedBytes()) {
      this.#isPaused = true;
      this.#socket.pause();
    }
    this.#wake();
  }

  readonly #onEnd = (cause?: unknown): void => {
    const server = addressName(this.#session.address);
    this.#end ??= { error: unreachable(`${server}: the connection was lost`, cause instanceof Error ? { cause } : {}) };
    this.#wake();
  };

  #wake(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  async #arrival({ signal }: Run): Promise<void> {
    signal.throwIfAborted();
    if (this.#end !== undefined) throw this.#end.error;
    this.#resume();
    const waiting = Promise.withResolvers<void>();
    this.#waiting = waiting;
    const onAbort = (): void => waiting.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await waiting.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      if (this.#waiting === waiting) this.#waiting = undefined;
    }
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket.resume();
  }

  /** Bytes of the next message with its header, once that is there. */
  #nextBytes(): number | undefined {
    if (this.#heldBytes < HEADER_BYTES) return undefined;
    let [head] = this.#pieces;
    if (head === undefined || head.byteLength < HEADER_BYTES) {
      head = this.#join(HEADER_BYTES);
      this.#pieces.unshift(head);
    }
    const length = head.readUInt32BE(1) + 1;
    if (length < HEADER_BYTES || length > MOST_MESSAGE_BYTES) {
      throw unreachable(`${addressName(this.#session.address)} does not speak PostgreSQL’s protocol`);
    }
    return length;
  }

  #takeMessage(): Message {
    const length = must(this.#nextBytes(), 'a header');
    const whole = this.#take(length);
    if (this.#heldBytes <= LOW_BYTES) this.#resume();
    return { type: must(whole[0], 'a type'), body: whole.subarray(HEADER_BYTES) };
  }

  /** A single large message must come in whole, unless it is given out in pieces. */
  #wantedBytes(): number {
    return this.#openBytes > 0 ? 0 : (this.#nextBytes() ?? 0);
  }

  #takePiece(): Buffer {
    const head = must(this.#pieces[0], 'held bytes');
    const piece = this.#take(Math.min(this.#openBytes, head.byteLength));
    if (piece.byteLength === head.byteLength) this.#spent = piece;
    this.#openBytes -= piece.byteLength;
    if (this.#heldBytes <= LOW_BYTES) this.#resume();
    return piece;
  }

  #take(length: number): Buffer {
    this.#heldBytes -= length;
    const head = must(this.#pieces[0], 'held bytes');
    if (head.byteLength > length) {
      this.#pieces[0] = head.subarray(length);
      return head.subarray(0, length);
    }
    if (head.byteLength === length) {
      this.#pieces.shift();
      return head;
    }
    return this.#join(length);
  }

  /** Takes bytes out of several pieces. */
  #join(length: number): Buffer {
    const joined = Buffer.allocUnsafeSlow(length);
    let at = 0;
    while (at < length) {
      const piece = must(this.#pieces.shift(), 'held bytes');
      const used = piece.copy(joined, at, 0, length - at);
      at += used;
      if (used < piece.byteLength) this.#pieces.unshift(piece.subarray(used));
    }
    return joined;
  }

  #send(type: number, body: Uint8Array): void {
    const header = Buffer.alloc(HEADER_BYTES);
    header[0] = type;
    header.writeUInt32BE(body.byteLength + HEADER_BYTES - 1, 1);
    if (this.#socket.writable) this.#socket.write(Buffer.concat([header, body]));
  }
}

function fieldsOf(body: Buffer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (let at = 0; at < body.byteLength && body[at] !== 0; ) {
    const end = body.indexOf(0, at + 1);
    if (end < 0) break;
    fields.set(String.fromCharCode(body[at] ?? 0), body.toString('utf8', at + 1, end));
    at = end + 1;
  }
  return fields;
}

function serverSaid(body: Buffer): Error {
  const fields = fieldsOf(body);
  const error = new pg.DatabaseError(fields.get('M') ?? 'an error without words', body.byteLength, 'error');
  error.code = fields.get('C');
  error.severity = fields.get('S');
  error.detail = fields.get('D');
  error.hint = fields.get('H');
  return error;
}

/** The values of a row. */
export function readRow(body: Buffer): readonly (string | null)[] {
  const values: (string | null)[] = [];
  let at = 2;
  for (let index = 0; index < body.readUInt16BE(0); index++) {
    const length = body.readInt32BE(at);
    at += 4;
    values.push(length < 0 ? null : body.toString('utf8', at, at + length));
    at += Math.max(length, 0);
  }
  return values;
}
