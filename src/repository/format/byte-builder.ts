/** Builds binary formats; grows as needed. What `take` returned is not touched again. */
export class ByteBuilder {
  #bytes: Buffer;
  #size = 0;

  constructor(initialBytes = 1024) {
    this.#bytes = Buffer.allocUnsafe(initialBytes);
  }

  get sizeBytes(): number {
    return this.#size;
  }

  u8(value: number): this {
    this.#room(1);
    this.#bytes[this.#size++] = value;
    return this;
  }

  u32(value: number): this {
    this.#room(4);
    this.#size = this.#bytes.writeUInt32LE(value, this.#size);
    return this;
  }

  varint(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not a count: ${value}`);
    this.#room(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#size++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#size++] = rest;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#room(value.byteLength);
    this.#bytes.set(value, this.#size);
    this.#size += value.byteLength;
    return this;
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, 'utf8'));
  }

  /** The bytes so far, as a copy; the builder is empty afterwards and keeps its room. */
  take(): Uint8Array {
    const result = Buffer.from(this.#bytes.subarray(0, this.#size));
    this.#size = 0;
    return result;
  }

  #room(sizeBytes: number): void {
    const need = this.#size + sizeBytes;
    if (need <= this.#bytes.byteLength) return;
    const grown = Buffer.allocUnsafe(Math.max(need, this.#bytes.byteLength * 2));
    grown.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = grown;
  }
}
