import type { RandomBytes } from '../core/run.ts';
import { assume, must } from '../core/must.ts';

/** Numbers that look random and are the same for the same seed on every machine. Never for keys or nonces outside of tests. */
export interface SeededRandom {
  /** At least 0, below 1; 32 bits of it vary. */
  next(): number;
  /** A whole number at least 0 and below `below`, each equally likely. `below` is from 1 to 2^32. */
  integer(below: number): number;
  /** Fresh bytes; can be handed on as it is, as a `RandomBytes`. */
  readonly bytes: RandomBytes;
  /** One of `list`, which is not empty. */
  pick<T>(list: readonly T[]): T;
  /** True with this probability. */
  chance(probability: number): boolean;
  /** The items in a new order. */
  shuffle<T>(items: readonly T[]): T[];
  /** A stream of its own that depends only on this one's seed and the label, not on what was drawn before. */
  fork(label: string): SeededRandom;
}

const TWO_TO_32 = 2 ** 32;

/** At least 0, below 1, each of 2^32 values equally likely. */
export function randomFraction(random: RandomBytes): number {
  const [a, b, c, d] = random(4);
  const why = 'four random bytes';
  return (((must(a, why) * 256 + must(b, why)) * 256 + must(c, why)) * 256 + must(d, why)) / TWO_TO_32;
}

/** FNV-1a over the UTF-16 units: it only has to tell labels apart. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

/** splitmix32: spreads a seed over the generator's state. */
function createSpreader(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** xoshiro128**: 32 random bits a call. */
function createGenerator(seed: string): () => number {
  const spread = createSpreader(hashText(seed));
  let [a, b, c, d] = [spread(), spread(), spread(), spread() | 1];
  return () => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotateLeft(d, 11);
    return result;
  };
}

export function createSeededRandom(seed: number | string): SeededRandom {
  const name = String(seed);
  const bits = createGenerator(name);

  const integer = (below: number): number => {
    assume(Number.isInteger(below) && below >= 1 && below <= TWO_TO_32, 'a bound from 1 to 2^32');
    // What is left over at the top would make small numbers likelier: drawn again.
    const limit = TWO_TO_32 - (TWO_TO_32 % below);
    for (;;) {
      const drawn = bits();
      if (drawn < limit) return drawn % below;
    }
  };

  const shuffle = <T>(items: readonly T[]): T[] => {
    const left = [...items];
    const shuffled: T[] = [];
    while (left.length > 0) {
      const index = integer(left.length);
      shuffled.push(must(left[index], 'an index inside the list'));
      left[index] = must(left.at(-1), 'a last item');
      left.pop();
    }
    return shuffled;
  };

  const bytes = (sizeBytes: number): Uint8Array => {
    const words = new Uint32Array(Math.ceil(sizeBytes / 4));
    for (let index = 0; index < words.length; index += 1) words[index] = bits();
    return new Uint8Array(words.buffer, 0, sizeBytes);
  };

  return {
    next: () => bits() / TWO_TO_32,
    integer,
    bytes,
    pick: (list) => must(list[integer(list.length)], 'an index inside the list'),
    chance: (probability) => bits() / TWO_TO_32 < probability,
    shuffle,
    fork: (label) => createSeededRandom(`${name}/${label}`),
  };
}
