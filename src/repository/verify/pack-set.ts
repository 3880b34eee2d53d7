/** A set of small numbers: of packs, as an index counts them. */
export class PackSet {
  readonly #bits: Uint8Array;

  /** For numbers below `limit`. */
  constructor(limit: number) {
    this.#bits = new Uint8Array((limit + 7) >> 3);
  }

  add(number: number): void {
    this.#bits[number >> 3] = (this.#bits[number >> 3] ?? 0) | (1 << (number & 7));
  }

  has(number: number): boolean {
    return ((this.#bits[number >> 3] ?? 0) & (1 << (number & 7))) !== 0;
  }

  isWithin(other: PackSet): boolean {
    return this.#bits.every((bits, at) => (bits & ~(other.#bits[at] ?? 0)) === 0);
  }

  hasAll(numbers: Iterable<number>): boolean {
    for (const number of numbers) if (!this.has(number)) return false;
    return true;
  }
}
