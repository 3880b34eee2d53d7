import { isTidemarkError, TidemarkError } from '../../core/errors.ts';

/** Reads binary formats with every bound checked. @throws REPOSITORY_DAMAGED naming `what` when the bytes don't fit. */
export class ByteCursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #at = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.byteLength - this.#at;
  }

  fail(why: string): never {
    throw damaged(this.#what, why);
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 8; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (byte === 0 && count > 0) this.fail('a number is written too long');
        if (!Number.isSafeInteger(value)) this.fail('a number is too large');
        return value;
      }
      scale *= 128;
    }
    return this.fail('a number is too long');
  }

  /** A view, not a copy. */
  bytes(sizeBytes: number): Uint8Array {
    const start = this.#advance(sizeBytes);
    return this.#bytes.subarray(start, start + sizeBytes);
  }

  expectMagic(magic: string, version: number): void {
    const found = Buffer.from(this.bytes(4)).toString('latin1');
    if (found !== magic) this.fail('it does not begin as it must');
    const foundVersion = this.u8();
    if (foundVersion > version) {
      // Which format a repository has says its header alone: nothing in one of this version is newer.
      this.fail(`it claims to be of version ${foundVersion}`);
    }
  }

  expectEnd(): void {
    if (this.remaining !== 0) this.fail(`${this.remaining} bytes too many`);
  }

  #advance(sizeBytes: number): number {
    const start = this.#at;
    if (sizeBytes > this.remaining) this.fail('it ends too early');
    this.#at = start + sizeBytes;
    return start;
  }
}

export function damaged(what: string, why: string, cause?: unknown): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', `${what} is damaged: ${why}`, { cause });
}

/** Whether an error says that something stored is damaged or gone, rather than out of reach. */
export function isDamage(error: unknown): boolean {
  return isTidemarkError(error, 'REPOSITORY_DAMAGED') || isTidemarkError(error, 'OBJECT_NOT_FOUND');
}
