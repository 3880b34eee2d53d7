import { TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';

const HIGHEST = Number.MAX_SAFE_INTEGER;

/** Appends numbers and bytes to a buffer that grows, and can be used again. Numbers of fixed width are little-endian. */
export class AttributeWriter {
  #buffer = new Uint8Array(256);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;

  /** Whatever an earlier use left, also one that failed. */
  clear(): void {
    this.#length = 0;
  }

  u8(value: number): void {
    const at = this.#reserve(1);
    this.#view.setUint8(at, value);
  }

  u32(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
  }

  i64(value: bigint): void {
    const at = this.#reserve(8);
    this.#view.setBigInt64(at, value, true);
  }

  u64(value: bigint): void {
    const at = this.#reserve(8);
    this.#view.setBigUint64(at, value, true);
  }

  /** Seven bits a byte, the lowest first; the top bit says that more follow. */
  varint(value: number): void {
    assume(Number.isSafeInteger(value) && value >= 0, 'a count that fits into 53 bits');
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.u8(rest);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.byteLength);
    this.#buffer.set(bytes, at);
  }

  /** A tag, the length of what `write` puts, and that. */
  field(tag: number, write: (field: AttributeWriter) => void): void {
    const field = new AttributeWriter();
    write(field);
    this.u8(tag);
    this.varint(field.#length);
    this.raw(field.#buffer.subarray(0, field.#length));
  }

  /** What was appended, in memory of its own; the writer is empty again. */
  finish(): Uint8Array {
    const bytes = Buffer.from(this.#buffer.subarray(0, this.#length));
    this.#length = 0;
    return bytes;
  }

  /** Where the next so many bytes go: asked first, as buffer and view may be others then. */
  #reserve(sizeBytes: number): number {
    const at = this.#length;
    this.#length += sizeBytes;
    if (this.#length > this.#buffer.byteLength) {
      const grown = new Uint8Array(Math.max(this.#length, this.#buffer.byteLength * 2));
      grown.set(this.#buffer.subarray(0, at));
      this.#buffer = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

/** Reads what `AttributeWriter` wrote. Every method throws REPOSITORY_DAMAGED where the bytes end too early or make no sense. */
export class AttributeReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.byteLength;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  i64(): bigint {
    return this.#bytes.readBigInt64LE(this.#take(8));
  }

  u64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8));
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (value > HIGHEST) throw tooShort();
      if (byte < 0x80) {
        if (byte === 0 && scale > 1) throw tooShort();
        return value;
      }
      scale *= 0x80;
    }
  }

  /** A view, not a copy. */
  raw(sizeBytes: number): Uint8Array {
    const start = this.#take(sizeBytes);
    return this.#bytes.subarray(start, start + sizeBytes);
  }

  rest(): Uint8Array {
    return this.raw(this.#bytes.byteLength - this.#at);
  }

  #take(sizeBytes: number): number {
    const start = this.#at;
    if (sizeBytes > this.#bytes.byteLength - start) throw tooShort();
    this.#at = start + sizeBytes;
    return start;
  }
}

function tooShort(): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', 'the stored attributes of an entry are cut off or not valid');
}
