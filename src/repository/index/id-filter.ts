import type { ChunkKey } from './chunk-key.ts';

const BITS_PER_RECORD = 8;
const BLOCK_WORDS = 16;
const BLOCK_BITS = BLOCK_WORDS * 32;
const TWO_TO_32 = 2 ** 32;

/**
 * Says of most ids that are not in a run that they are not (about 97 of 100), and never so of one that is. All bits
 * of an id lie in one cache line. Ids are uniform, so their own bytes are the hash.
 */
export class IdFilter {
  readonly #words: Uint32Array;
  readonly #blocks: number;

  /** Over words that a filter filled before. */
  constructor(words: Uint32Array) {
    this.#words = words;
    this.#blocks = words.length / BLOCK_WORDS;
  }

  static forRecords(count: number): IdFilter {
    return new IdFilter(new Uint32Array(Math.max(1, Math.ceil((count * BITS_PER_RECORD) / BLOCK_BITS)) * BLOCK_WORDS));
  }

  get words(): Uint32Array {
    return this.#words;
  }

  /** Adds the id at `offset`. */
  add(view: DataView, offset: number): void {
    const start = this.#block(view.getUint32(offset + 8));
    const first = view.getUint32(offset + 12);
    const second = view.getUint32(offset + 16);
    for (let shift = 0; shift < 27; shift += 9) {
      this.#setBit(start, (first >>> shift) & 511);
      this.#setBit(start, (second >>> shift) & 511);
    }
  }

  /** False only when the id was not added. */
  mayHold(key: ChunkKey): boolean {
    const start = this.#block(key.word(2));
    const first = key.word(3);
    const second = key.word(4);
    for (let shift = 0; shift < 27; shift += 9) {
      if (!this.#hasBit(start, (first >>> shift) & 511) || !this.#hasBit(start, (second >>> shift) & 511)) return false;
    }
    return true;
  }

  #block(hash: number): number {
    return Math.floor((hash / TWO_TO_32) * this.#blocks) * BLOCK_WORDS;
  }

  #setBit(start: number, bit: number): void {
    const word = start + (bit >>> 5);
    this.#words[word] = (this.#words[word] ?? 0) | (1 << (bit & 31));
  }

  #hasBit(start: number, bit: number): boolean {
    return (((this.#words[start + (bit >>> 5)] ?? 0) >>> (bit & 31)) & 1) === 1;
  }
}
