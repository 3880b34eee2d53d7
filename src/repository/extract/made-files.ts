import { toHex } from '../../core/bytes.ts';
import type { ChunkPart } from '../format/node.ts';

/** So many are remembered at least, twice as many at most. */
const MOST = 8_192;
/** Enough to tell contents apart; what is found is proven anyway. */
const KEY_BYTES = 12;

/**
 * Where contents of one chunk were written to lately: a later file with the same one is copied from there, since opening a block for one small
 * chunk costs far more.
 */
export class MadeFiles {
  #recent = new Map<string, Uint8Array>();
  #earlier: ReadonlyMap<string, Uint8Array> = new Map();

  remember(parts: readonly ChunkPart[], path: Uint8Array): void {
    const key = keyOf(parts);
    if (key === undefined) return;
    this.#recent.set(key, path);
    if (this.#recent.size < MOST) return;
    this.#earlier = this.#recent;
    this.#recent = new Map();
  }

  find(parts: readonly ChunkPart[]): Uint8Array | undefined {
    const key = keyOf(parts);
    return key === undefined ? undefined : (this.#recent.get(key) ?? this.#earlier.get(key));
  }
}

function keyOf(parts: readonly ChunkPart[]): string | undefined {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? toHex(only.id.subarray(0, KEY_BYTES)) : undefined;
}
