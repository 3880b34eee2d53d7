import { TidemarkError } from '../../../core/errors.ts';

/**
 * Commands that are whole, one after another. `starts`: where in `bytes` each begins; it ends where the next begins, the last one with `bytes`. `at`: where
 * in the stream `bytes` begin. `settled`: how much of the stream, from its start, has been read when no transaction was open.
 */
export type CommandBatch = {
  readonly bytes: Buffer;
  readonly at: number;
  readonly starts: readonly number[];
  readonly settled: number;
};

const [STAR, DOLLAR, CR, NEWLINE, ZERO, NINE] = [0x2a, 0x24, 0x0d, 0x0a, 0x30, 0x39];
/** What a command and an argument may have at most; more is damage. */
const MOST_ARGUMENTS = 2 ** 31;
const MOST_ARGUMENT_BYTES = 2 ** 32;
const NOTHING = Buffer.alloc(0);

/**
 * Splits what a server sends its replicas into commands, whose bytes are as they came. Pull-based: holds a piece, and a command that is longer than that. What is
 * cut off at the end is not given. @throws REPOSITORY_DAMAGED for what are no commands
 */
export async function* readCommands(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<CommandBatch> {
  const scanner = new CommandScanner();
  for await (const piece of pieces) {
    const batch = scanner.take(piece);
    if (batch !== undefined) yield batch;
  }
}

/** The same for whoever is given the pieces. */
export class CommandScanner {
  #parts: Uint8Array[] = [];
  #partsBytes = 0;
  /** Begins with the first part, where no command of it has been given, and may have room for more. */
  #room = NOTHING;
  /** Of the command that is not all there: how many arguments are left, and where the next one begins. */
  #open: { readonly left: number; readonly at: number } | undefined;
  /** There is no use in looking before so many bytes are there. */
  #needed = 1;
  #at = 0;
  #settled = 0;
  #isInTransaction = false;

  /** The piece is the scanner's from then on. */
  take(piece: Uint8Array): CommandBatch | undefined {
    this.#parts.push(piece);
    this.#partsBytes += piece.byteLength;
    if (this.#partsBytes < this.#needed) return undefined;
    const bytes = this.#joined();
    const starts: number[] = [];
    let at = 0;
    for (;;) {
      const end = this.#commandEnd(bytes, at);
      if (end === undefined) break;
      starts.push(at);
      this.#noteTransaction(bytes, at);
      at = end;
      if (!this.#isInTransaction) this.#settled = this.#at + at;
    }
    const rest = bytes.subarray(at);
    this.#parts = rest.byteLength === 0 ? [] : [rest];
    this.#partsBytes = rest.byteLength;
    this.#needed -= at;
    if (at === 0) return undefined;
    this.#room = NOTHING;
    const batch = { bytes: bytes.subarray(0, at), at: this.#at, starts, settled: this.#settled };
    this.#at += at;
    return batch;
  }

  #joined(): Buffer {
    const [first = NOTHING, ...others] = this.#parts;
    if (others.length === 0) return Buffer.from(first.buffer, first.byteOffset, first.byteLength);
    let at = first.byteLength;
    if (this.#partsBytes > this.#room.byteLength) {
      const isOnceMore = this.#room.byteLength > 0;
      this.#room = Buffer.allocUnsafeSlow(isOnceMore ? 2 * this.#partsBytes : this.#partsBytes);
      this.#room.set(first);
    }
    for (const part of others) {
      this.#room.set(part, at);
      at += part.byteLength;
    }
    return this.#room.subarray(0, at);
  }

  /** Where the command at a place ends; undefined when it is not all there. */
  #commandEnd(bytes: Buffer, start: number): number | undefined {
    this.#needed = start + 1;
    if (start >= bytes.byteLength) return undefined;
    if (bytes[start] === NEWLINE) return start + 1;
    if (bytes[start] !== STAR) return this.#inlineEnd(bytes, start);
    let { at = 0, left = 0 } = this.#open ?? {};
    if (this.#open === undefined) {
      at = this.#number(bytes, start + 1);
      left = this.#value;
      if (at < 0) return undefined;
      if (left > MOST_ARGUMENTS) throw this.#damaged(start);
    }
    for (; left > 0; left -= 1) {
      const end = this.#argumentEnd(bytes, at);
      if (end === undefined) {
        // A command may have millions of arguments, and come in many pieces.
        this.#open = { left, at: at - start };
        return undefined;
      }
      at = end;
    }
    this.#open = undefined;
    return at;
  }

  #argumentEnd(bytes: Buffer, start: number): number | undefined {
    if (start >= bytes.byteLength) {
      this.#needed = start + 1;
      return undefined;
    }
    if (bytes[start] !== DOLLAR) throw this.#damaged(start);
    const from = this.#number(bytes, start + 1);
    if (from < 0) return undefined;
    if (this.#value > MOST_ARGUMENT_BYTES) throw this.#damaged(from);
    const end = from + this.#value + 2;
    if (end > bytes.byteLength) {
      this.#needed = end;
      return undefined;
    }
    if (bytes[end - 2] !== CR || bytes[end - 1] !== NEWLINE) throw this.#damaged(end - 2);
    return end;
  }

  #value = 0;

  /** Reads digits and a line end; -1 when they are not all there. */
  #number(bytes: Buffer, from: number): number {
    let value = 0;
    let at = from;
    for (; at < bytes.byteLength; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte < ZERO || byte > NINE) break;
      value = value * 10 + byte - ZERO;
    }
    if (at - from > 15) throw this.#damaged(from);
    if (at + 1 >= bytes.byteLength) {
      if (at < bytes.byteLength && bytes[at] !== CR) throw this.#damaged(at);
      this.#needed = at + 2;
      return -1;
    }
    if (at === from || bytes[at] !== CR || bytes[at + 1] !== NEWLINE) throw this.#damaged(at);
    this.#value = value;
    return at + 2;
  }

  /** A line without a count of arguments, such as PING. */
  #inlineEnd(bytes: Buffer, start: number): number | undefined {
    const first = bytes[start] ?? 0;
    if (first < 0x41 || first > 0x7a) throw this.#damaged(start);
    const end = bytes.indexOf(NEWLINE, start);
    if (end - start > 1024 || (end < 0 && bytes.byteLength - start > 1024)) throw this.#damaged(start);
    this.#needed = bytes.byteLength + 1;
    return end < 0 ? undefined : end + 1;
  }

  #noteTransaction(bytes: Buffer, start: number): void {
    // "*1\r\n$5\r\nMULTI\r\n" and "*1\r\n$4\r\nEXEC\r\n", in any case.
    if (bytes[start] !== STAR || bytes[start + 1] !== 0x31 || bytes[start + 2] !== CR) return;
    const name = commandName(bytes, start);
    if (name === 'MULTI') this.#isInTransaction = true;
    else if (name === 'EXEC') this.#isInTransaction = false;
  }

  #damaged(at: number): TidemarkError {
    return new TidemarkError('REPOSITORY_DAMAGED', `the log holds what is no command, at byte ${this.#at + at}`);
  }
}

/** In capitals. Empty for what stands between commands. */
export function commandName(bytes: Buffer, start: number): string {
  if (bytes[start] !== STAR) {
    const end = bytes.indexOf(NEWLINE, start);
    return bytes.toString('latin1', start, end).trim().toUpperCase().split(' ', 1)[0] ?? '';
  }
  const size = bytes.indexOf(DOLLAR, start) + 1;
  const from = bytes.indexOf(NEWLINE, size) + 1;
  return bytes.toString('latin1', from, from + Number(bytes.toString('latin1', size, from - 2))).toUpperCase();
}

/** The arguments of a command that is whole, its name first, as views. */
export function argumentsOf(bytes: Buffer, start: number): readonly Buffer[] {
  if (bytes[start] !== STAR) return [];
  const args: Buffer[] = [];
  let at = bytes.indexOf(NEWLINE, start) + 1;
  for (let left = Number(bytes.toString('latin1', start + 1, at - 2)); left > 0; left -= 1) {
    const from = bytes.indexOf(NEWLINE, at) + 1;
    const end = from + Number(bytes.toString('latin1', at + 1, from - 2));
    args.push(bytes.subarray(from, end));
    at = end + 2;
  }
  return args;
}
