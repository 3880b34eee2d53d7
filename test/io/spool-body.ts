import { createSeededRandom } from '../../src/flow/random.ts';

/** The body that belongs to a label: now and then one that is larger than a file of the spool. */
export function bodyOf(label: string): Uint8Array {
  const random = createSeededRandom(label);
  return random.bytes(random.chance(0.02) ? 100_000 : random.integer(3000));
}
