import { TidemarkError } from '../../core/errors.ts';

/** What a server answered: text, a number, bytes, nothing, a list, or an error. */
export type Reply = string | number | Buffer | null | ReplyError | readonly Reply[];

/** An error that a server answered with, in its own words. */
export class ReplyError extends Error {
  override readonly name = 'ReplyError';
}

const [PLUS, MINUS, COLON, DOLLAR, STAR] = [0x2b, 0x2d, 0x3a, 0x24, 0x2a];
const CR = 0x0d;

type Taken = { readonly reply: Reply; readonly next: number };

/** Reads one whole reply; undefined when it is not all there. @throws STORE_UNREACHABLE for what is none */
export function takeReply(bytes: Buffer, at: number): Taken | undefined {
  const end = bytes.indexOf('\r\n', at);
  if (end < 0) return undefined;
  const line = bytes.toString('utf8', at + 1, end);
  const behind = end + 2;
  switch (bytes[at]) {
    case PLUS:
      return { reply: line, next: behind };
    case MINUS:
      return { reply: new ReplyError(line), next: behind };
    case COLON:
      return { reply: Number(line), next: behind };
    case DOLLAR: {
      const size = Number(line);
      if (size < 0) return { reply: null, next: behind };
      if (bytes.byteLength < behind + size + 2) return undefined;
      return { reply: Buffer.from(bytes.subarray(behind, behind + size)), next: behind + size + 2 };
    }
    case STAR:
      return takeList(bytes, behind, Number(line));
    default:
      throw noReply();
  }
}

function takeList(bytes: Buffer, from: number, count: number): Taken | undefined {
  if (count < 0) return { reply: null, next: from };
  const list: Reply[] = [];
  let at = from;
  while (list.length < count) {
    const taken = takeReply(bytes, at);
    if (taken === undefined) return undefined;
    list.push(taken.reply);
    at = taken.next;
  }
  return { reply: list, next: at };
}

/** Counts replies without keeping them, and tells those that are errors or hold one. */
export class ReplyCounter {
  /** Elements still to come of lists that were begun, and bytes of a string. */
  #left = 0;
  #toPass = 0;
  #line = '';
  #error: string | undefined;

  /**
   * Takes from `at` on at most `most` replies. Returns where it stopped. `onReply` is called for each, with the error where there was one.
   * @throws STORE_UNREACHABLE
   */
  take(bytes: Buffer, from: number, most: number, onReply: (error: string | undefined) => void): number {
    let at = from;
    let taken = 0;
    while (taken < most && at < bytes.byteLength) {
      if (this.#toPass > 0) {
        const passed = Math.min(this.#toPass, bytes.byteLength - at);
        this.#toPass -= passed;
        at += passed;
        if (this.#toPass > 0) break;
      } else {
        const end = bytes.indexOf('\n', at);
        if (end < 0) {
          this.#line += bytes.toString('latin1', at);
          return bytes.byteLength;
        }
        this.#element(bytes, at, end);
        at = end + 1;
        if (this.#toPass > 0) continue;
      }
      if (this.#left > 0) continue;
      taken += 1;
      onReply(this.#error);
      this.#error = undefined;
    }
    return at;
  }

  /** What is in one line: a reply, or the beginning of one. */
  #element(bytes: Buffer, at: number, end: number): void {
    if (this.#left > 0) this.#left -= 1;
    const isWhole = this.#line === '';
    if (isWhole && (bytes[at] === PLUS || bytes[at] === COLON)) return;
    const stop = end > at && bytes[end - 1] === CR ? end - 1 : end;
    const line = this.#line + bytes.toString('latin1', at, stop);
    this.#line = '';
    const rest = line.slice(1).trimEnd();
    switch (line.charCodeAt(0)) {
      case PLUS:
      case COLON:
        return;
      case MINUS:
        this.#error ??= rest;
        return;
      case DOLLAR:
        this.#toPass = Number(rest) < 0 ? 0 : Number(rest) + 2;
        return;
      case STAR:
        this.#left += Math.max(Number(rest), 0);
        return;
      default:
        throw noReply();
    }
  }
}

function noReply(): TidemarkError {
  return new TidemarkError('STORE_UNREACHABLE', 'the server answers in a protocol that is not that of Redis');
}
