import { TidemarkError } from '../../../core/errors.ts';

const HEADER = '-- PostgreSQL database cluster dump';
const TRAILER = '-- PostgreSQL database cluster dump complete';
const LOOKED_AT = 4096;
const NOTHING = new Uint8Array(0);

/** Looks at the start and the end of a dump as it passes: a program that is cut off may end as if all were well. */
export class DumpCheck {
  readonly #what: string;
  readonly #code: 'FAILED' | 'REPOSITORY_DAMAGED';
  #start: Uint8Array = NOTHING;
  #end: Uint8Array = NOTHING;

  /** `what`: for messages. `code`: of the error for what is no dump. */
  constructor(what: string, code: 'FAILED' | 'REPOSITORY_DAMAGED' = 'FAILED') {
    this.#what = what;
    this.#code = code;
  }

  /** @throws `code` when it does not begin as a dump does */
  add(piece: Uint8Array): void {
    if (this.#start.byteLength < LOOKED_AT) {
      this.#start = Buffer.concat([this.#start, piece.subarray(0, LOOKED_AT)]);
      const text = Buffer.from(this.#start).toString();
      if (text.length > 2 * HEADER.length && !text.slice(0, LOOKED_AT).includes(HEADER)) throw this.#refused('begin');
    }
    const last = Buffer.concat([this.#end, piece.subarray(-LOOKED_AT)]);
    this.#end = last.subarray(-LOOKED_AT);
  }

  /** @throws `code` when it does not end as a dump does */
  finish(): void {
    if (!Buffer.from(this.#start).toString().includes(HEADER)) throw this.#refused('begin');
    const lines = Buffer.from(this.#end)
      .toString()
      .split('\n')
      .map((line) => line.trimEnd());
    if (!lines.includes(TRAILER)) throw this.#refused('end');
  }

  #refused(where: string): TidemarkError {
    return new TidemarkError(this.#code, `${this.#what} does not ${where} as a dump of a PostgreSQL cluster does`);
  }
}
