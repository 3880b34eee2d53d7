import { TidemarkError } from '../../core/errors.ts';
import { ErrorReply } from './errors.ts';

/** Text is what has no length of its own (`+`); bytes are bytes. Of a map the keys and values alternate. */
export type Reply = Uint8Array | string | number | bigint | boolean | null | ErrorReply | readonly Reply[];

export type ReplyLimits = {
  /** Of one bulk string. */
  readonly mostBytes: number;
  /** Of one array, at any depth. */
  readonly mostItems: number;
};

const MOST_DEPTH = 16;
const MOST_LINE_BYTES = 64 * 1024;
const LINE_END = Buffer.from('\r\n');

/** Of an array; none of anything else. */
export function itemsOf(reply: Reply): readonly Reply[] {
  // What is an array here is one of replies.
  return Array.isArray(reply) ? (reply as readonly Reply[]) : [];
}

/** Of bytes or a line of text; '' of anything else. */
export function textOf(reply: Reply | undefined): string {
  if (reply instanceof Uint8Array) return Buffer.from(reply.buffer, reply.byteOffset, reply.byteLength).toString();
  return typeof reply === 'string' ? reply : '';
}

/** A command as a server takes it. Text is encoded as UTF-8. */
export function encodeCommand(words: readonly (string | Uint8Array)[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = typeof word === 'string' ? Buffer.from(word) : word;
    parts.push(Buffer.from(`$${bytes.byteLength}\r\n`), bytes, LINE_END);
  }
  return Buffer.concat(parts);
}

/** Who takes replies, in their order; those that are a plain OK by their number. */
export interface ReplySink {
  takeReply(reply: Reply): void;
  takeOks(count: number): void;
}

/** Of several pieces of one reply: what has been read, and where the rest belongs. */
type OpenArray = { readonly items: Reply[]; left: number; readonly isAttribute: boolean };

/**
 * Takes replies of RESP2 and RESP3 out of the bytes of a connection, in whatever pieces they come. Holds at most one reply that is not whole.
 * @throws STORE_UNREACHABLE for what is no reply, or larger than the limits
 */
export class ReplyParser {
  readonly #limits: ReplyLimits;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Fewer bytes than this can't go on. */
  #wantedBytes = 1;
  readonly #open: OpenArray[] = [];

  constructor(limits: ReplyLimits) {
    this.#limits = limits;
  }

  /** The replies that are whole with these bytes, which must not be changed afterwards. */
  push(bytes: Buffer): readonly Reply[] {
    const replies: Reply[] = [];
    const takeReply = (reply: Reply): void => {
      replies.push(reply);
    };
    const takeOks = (count: number): void => {
      for (let left = count; left > 0; left--) replies.push('OK');
    };
    this.pushTo(bytes, { takeReply, takeOks });
    return replies;
  }

  /** The same for whoever needs not see each. */
  pushTo(bytes: Buffer, sink: ReplySink): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.byteLength;
    if (this.#heldBytes < this.#wantedBytes) return;
    const all = this.#held.length === 1 ? bytes : Buffer.concat(this.#held, this.#heldBytes);
    let at = 0;
    for (;;) {
      // Nearly all of what is answered to nearly all that is sent: a restore gets millions of them.
      const oks = this.#open.length === 0 ? oksAt(all, at) : 0;
      if (oks > 0) sink.takeOks(oks);
      at += oks * OK_BYTES;
      const next = this.#next(all, at);
      if (next === undefined) break;
      at = next.end;
      if (next.value !== undefined) this.#place(next.value, sink);
    }
    const rest = all.subarray(at);
    this.#held = rest.byteLength === 0 ? [] : [rest];
    this.#heldBytes = rest.byteLength;
  }

  /** A value that is not in an open array is a reply. */
  #place(value: Reply, sink: ReplySink): void {
    let done = value;
    for (;;) {
      const into = this.#open.at(-1);
      if (into === undefined) {
        sink.takeReply(done);
        return;
      }
      into.items.push(done);
      into.left--;
      if (into.left > 0) return;
      this.#open.pop();
      // What is told about the reply that follows is nothing that was asked for.
      if (into.isAttribute) return;
      done = into.items;
    }
  }

  /** The value at a place; none where an array began. Undefined when it is not whole. */
  #next(all: Buffer, at: number): { readonly value: Reply | undefined; readonly end: number } | undefined {
    this.#wantedBytes = all.byteLength - at + 1;
    const lineEnd = all.indexOf('\r\n', at);
    if (lineEnd < 0) {
      if (all.byteLength - at > MOST_LINE_BYTES) throw broken('a line without end');
      return undefined;
    }
    const kind = all[at];
    const line = all.toString('utf8', at + 1, lineEnd);
    const end = lineEnd + LINE_END.byteLength;
    switch (kind) {
      case 0x24: // $
      case 0x3d: // =
      case 0x21: // !
        return this.#bulk(all, { start: end, sizeBytes: lengthOf(line, this.#limits.mostBytes), kind });
      case 0x2a: // *
      case 0x7e: // ~
      case 0x3e: // >
        return { value: this.#array(lengthOf(line, this.#limits.mostItems), false), end };
      case 0x25: // %
        return { value: this.#array(lengthOf(line, this.#limits.mostItems / 2) * 2, false), end };
      case 0x7c: // |
        return { value: this.#array(lengthOf(line, this.#limits.mostItems / 2) * 2, true), end };
      default:
        return { value: simple(kind, line), end };
    }
  }

  #bulk(
    all: Buffer,
    { start, sizeBytes, kind }: { readonly start: number; readonly sizeBytes: number; readonly kind: number },
  ): { readonly value: Reply; readonly end: number } | undefined {
    if (sizeBytes < 0) return { value: null, end: start };
    const end = start + sizeBytes + LINE_END.byteLength;
    if (all.byteLength < end) {
      this.#wantedBytes = this.#wantedBytes - 1 + end - all.byteLength;
      return undefined;
    }
    if (all[end - 2] !== 0x0d || all[end - 1] !== 0x0a) throw broken('bytes without their end');
    const bytes = all.subarray(start, start + sizeBytes);
    if (kind === 0x21) return { value: new ErrorReply(bytes.toString()), end };
    // Verbatim text begins with its format, such as txt:.
    return { value: kind === 0x3d ? bytes.subarray(4) : bytes, end };
  }

  #array(left: number, isAttribute: boolean): Reply | undefined {
    if (left < 0) return null;
    if (left === 0) return isAttribute ? undefined : [];
    if (this.#open.length >= MOST_DEPTH) throw broken('arrays in arrays without end');
    this.#open.push({ items: [], left, isAttribute });
    return undefined;
  }
}

const OK_BYTES = 5;

/** How many replies from there on are a plain OK. */
function oksAt(all: Buffer, start: number): number {
  let at = start;
  while (
    all[at] === 0x2b &&
    all[at + 1] === 0x4f &&
    all[at + 2] === 0x4b &&
    all[at + 3] === 0x0d &&
    all[at + 4] === 0x0a
  ) {
    at += OK_BYTES;
  }
  return (at - start) / OK_BYTES;
}

function simple(kind: number | undefined, line: string): Reply {
  switch (kind) {
    case 0x2b: // +
      return line;
    case 0x2d: // -
      return new ErrorReply(line);
    case 0x3a: // :
      return integerOf(line);
    case 0x28: // (
      return integerOf(line);
    case 0x2c: // ,
      return line === 'inf' ? Infinity : line === '-inf' ? -Infinity : Number(line);
    case 0x23: // #
      return line === 't';
    case 0x5f: // _
      return null;
    default:
      throw broken('something else than a reply');
  }
}

function integerOf(line: string): number | bigint {
  if (!/^[+-]?\d{1,400}$/.test(line)) throw broken('a number that is none');
  const number = Number(line);
  return Number.isSafeInteger(number) ? number : BigInt(line);
}

function lengthOf(line: string, most: number): number {
  if (line === '-1') return -1;
  if (!/^\d{1,15}$/.test(line)) throw broken('a length that is none');
  const length = Number(line);
  if (length > most) throw broken(`a reply of ${length}, which is more than ${most}`);
  return length;
}

function broken(what: string): TidemarkError {
  return new TidemarkError('STORE_UNREACHABLE', `a Redis server was expected, but what came is ${what}`, {
    hint: 'Check that the URL names a Redis server, with rediss: where it speaks TLS.',
  });
}
