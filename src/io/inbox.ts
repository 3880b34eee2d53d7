/** What is read goes into one after another of these. */
const SLAB_BYTES = 256 * 1024;
/** Of a slab with less room than this a read would be a small one. */
const LEAST_ROOM_BYTES = 32 * 1024;

/** Slabs that wait for more to come. */
const MOST_FREE = 16;

/**
 * What has come over a socket and was not taken. Reads write into large slabs (`onread` of net.Socket), so that many small ones cost no more than a
 * large one: what came in one after another lies in one piece. A slab is used again once all that was taken of it has been given back, in order.
 */
export class Inbox {
  #slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #from = 0;
  #to = 0;
  #chunks: Buffer[] = [];
  readonly #free: Buffer[] = [];
  /** Of slabs that are full: where what came in them ends. */
  readonly #ends = new WeakMap<ArrayBufferLike, number>();
  sizeBytes = 0;
  onData: (sizeBytes: number) => void = () => undefined;

  /** Where the next read may write. */
  room(): Buffer {
    if (SLAB_BYTES - this.#to < LEAST_ROOM_BYTES) {
      this.#close();
      this.#ends.set(this.#slab.buffer, this.#to);
      this.#slab = this.#free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#ends.delete(this.#slab.buffer);
      [this.#from, this.#to] = [0, 0];
    }
    return this.#slab.subarray(this.#to);
  }

  /** A read has written there. */
  filled(sizeBytes: number): void {
    this.#to += sizeBytes;
    this.sizeBytes += sizeBytes;
    this.onData(sizeBytes);
  }

  put(chunk: Buffer): void {
    for (let from = 0; from < chunk.byteLength; ) {
      const copied = chunk.copy(this.room(), 0, from);
      from += copied;
      this.filled(copied);
    }
  }

  /** What was taken is not written to any more. */
  take(): readonly Buffer[] {
    this.#close();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.sizeBytes = 0;
    return chunks;
  }

  /** Those before one of a slab were given back as well when it is. */
  giveBack({ buffer, byteOffset, byteLength }: Buffer): void {
    const isLast = this.#ends.get(buffer) === byteOffset + byteLength;
    if (!isLast || this.#free.length >= MOST_FREE) return;
    this.#ends.delete(buffer);
    this.#free.push(Buffer.from(buffer, 0, SLAB_BYTES));
  }

  putBack(rest: Buffer): void {
    this.#chunks.unshift(rest);
    this.sizeBytes += rest.byteLength;
  }

  #close(): void {
    if (this.#to > this.#from) this.#chunks.push(this.#slab.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }
}
