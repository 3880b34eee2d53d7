import { moveBytes } from '../../../core/bytes.ts';
import { assume, must } from '../../../core/must.ts';
import { unreachable } from '../errors.ts';

const BLOCK_BYTES = 512;

/** `name` has no leading `./` and no trailing `/`. */
export type TarEntry = {
  readonly name: string;
  readonly type: 'file' | 'folder' | 'link';
  readonly mode: number;
  readonly sizeBytes: number;
  readonly mtimeS: number;
};

/** The next bytes of an archive, in pieces of any size; undefined at its end. */
export type PullBytes = () => Promise<Buffer | undefined>;

const TYPES: Readonly<Record<string, TarEntry['type']>> = {
  '0': 'file',
  '\0': 'file',
  '5': 'folder',
  '1': 'link',
  '2': 'link',
};

/** Reads a tar as a PostgreSQL server writes it, entry by entry, holding no more of it than a piece. */
export class TarReader {
  readonly #pull: PullBytes;
  #piece: Buffer = Buffer.alloc(0);
  /** Of the present entry's content, and of what fills its last block. */
  #leftBytes = 0;
  #paddingBytes = 0;

  constructor(pull: PullBytes) {
    this.#pull = pull;
  }

  /** Whether the present entry's content has been read to its end. */
  get isAtEnd(): boolean {
    return this.#leftBytes === 0;
  }

  /** The next entry, after what was left of the one before. Undefined at the archive's end. */
  async next(): Promise<TarEntry | undefined> {
    await this.#skip(this.#leftBytes + this.#paddingBytes);
    [this.#leftBytes, this.#paddingBytes] = [0, 0];
    const header = await this.#header();
    if (header === undefined) return undefined;
    const entry = parseHeader(header);
    this.#leftBytes = entry.type === 'file' ? entry.sizeBytes : 0;
    this.#paddingBytes = (BLOCK_BYTES - (this.#leftBytes % BLOCK_BYTES)) % BLOCK_BYTES;
    return entry;
  }

  /** Content of the present entry, put at the start of `into`; 0 at its end. `see` gets it too, where it lies in memory of this thread alone. */
  async read(into: Uint8Array, see?: (bytes: Buffer) => void): Promise<number> {
    const wanted = Math.min(into.byteLength, this.#leftBytes);
    let at = 0;
    while (at < wanted) {
      if (this.#piece.byteLength === 0) {
        // What there is goes out before anything is waited for.
        if (at > 0) break;
        await this.#refill();
      }
      at += this.#takeInto(into.subarray(at, wanted), see);
    }
    this.#leftBytes -= at;
    return at;
  }

  #takeInto(into: Uint8Array, see?: (bytes: Buffer) => void): number {
    const taken = this.#piece.subarray(0, into.byteLength);
    see?.(taken);
    moveBytes(taken, into);
    this.#piece = this.#piece.subarray(taken.byteLength);
    return taken.byteLength;
  }

  /** Undefined for what fills the end, or where the archive just ends, as those of servers before 15 do. */
  async #header(): Promise<Buffer | undefined> {
    const header = Buffer.alloc(BLOCK_BYTES);
    for (let at = 0; at < BLOCK_BYTES; ) {
      if (this.#piece.byteLength === 0) {
        const piece = await this.#pull();
        if (piece === undefined && at === 0) return undefined;
        this.#piece = piece ?? cutOff();
      }
      at += this.#takeInto(header.subarray(at));
    }
    if (header.some((byte) => byte !== 0)) return header;
    while ((await this.#pull()) !== undefined);
    return undefined;
  }

  async #refill(): Promise<void> {
    while (this.#piece.byteLength === 0) this.#piece = (await this.#pull()) ?? cutOff();
  }

  async #skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) {
      await this.#refill();
      const taken = Math.min(left, this.#piece.byteLength);
      this.#piece = this.#piece.subarray(taken);
      left -= taken;
    }
  }
}

function cutOff(): never {
  throw unreachable('the server’s archive of its files ends in the middle');
}

function parseHeader(header: Buffer): TarEntry {
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (sum !== number(header.subarray(148, 156))) {
    throw unreachable('the server’s archive of its files has a header that is none');
  }
  const prefix = text(header.subarray(345, 500));
  const name = text(header.subarray(0, 100));
  const type = must(TYPES[String.fromCharCode(header[156] ?? 0)], 'a type of entry that servers send');
  return {
    name: (prefix === '' ? name : `${prefix}/${name}`).replace(/^\.\//, '').replace(/\/+$/, ''),
    type,
    mode: number(header.subarray(100, 108)) & 0o7777,
    sizeBytes: number(header.subarray(124, 136)),
    mtimeS: number(header.subarray(136, 148)),
  };
}

function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? field.byteLength : end);
}

/** Octal digits, or where they do not suffice, binary with the highest bit set. */
function number(field: Buffer): number {
  const [first = 0] = field;
  if ((first & 0x80) === 0) return Number.parseInt(text(field).trim() || '0', 8);
  const value = field.reduce((total, byte, at) => total * 256 + (at === 0 ? byte & 0x7f : byte), 0);
  assume(Number.isSafeInteger(value), 'a number that fits');
  return value;
}
