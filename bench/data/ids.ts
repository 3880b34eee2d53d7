const scratch = new Uint8Array(32);
const words = new Uint32Array(scratch.buffer);

/** The id of a number: uniform, the same in each process, overwritten by the next. Each `kind` has ids of its own. */
export function idOf(number: number, kind: number): Uint8Array {
  let state = Math.imul(number, 0x9e3779b1) ^ Math.imul(kind + 1, 0x85ebca6b);
  words[0] = number;
  for (let at = 0; at < 8; at += 1) {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    words[at] = mixed ^ (mixed >>> 15);
  }
  // Two numbers never share an id.
  words[7] = number;
  return scratch;
}
