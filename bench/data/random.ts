/** A repeatable source of numbers: the same seed gives the same sequence on every machine. */
export interface Random {
  /** An unsigned integer of 32 bits. */
  next(): number;
  /** An integer in [0, `limit`). */
  below(limit: number): number;
  /** A number in [0, 1). */
  unit(): number;
  /** A number between `low` and `high`, even on a logarithmic scale. */
  spread(low: number, high: number): number;
  /** A number around 0 with deviation 1. */
  normal(): number;
}

const TWO_TO_32 = 0x1_0000_0000;

/** A 32-bit digest of `parts`, to derive the seed of a part from that of the whole. */
export function deriveSeed(...parts: readonly (string | number)[]): number {
  let hash = 0x811c9dc5;
  for (const char of parts.join('\0')) {
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** The generator sfc32, started from `seed`. */
export function seededRandom(seed: number): Random {
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  let c = seed | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let warmUp = 0; warmUp < 12; warmUp += 1) next();
  const unit = (): number => next() / TWO_TO_32;
  return {
    next,
    unit,
    below: (limit) => Math.floor((next() / TWO_TO_32) * limit),
    spread: (low, high) => low * (high / low) ** unit(),
    normal: () => Math.sqrt(-2 * Math.log(1 - unit())) * Math.cos(2 * Math.PI * unit()),
  };
}
