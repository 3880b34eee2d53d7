import { CHUNK_ID_BYTES } from '../format/index-object.ts';

/** An id laid out for comparing, so that a look-up allocates nothing. Reused from one look-up to the next. */
export class ChunkKey {
  readonly bytes: Uint8Array = new Uint8Array(CHUNK_ID_BYTES);
  readonly #view = new DataView(this.bytes.buffer);
  /** The first four bytes as a number: orders as the ids do. */
  head = 0;

  /** @throws RangeError when `id` is longer than an id. */
  set(id: Uint8Array): void {
    this.bytes.set(id);
    this.head = this.#view.getUint32(0);
  }

  /** The words that a filter takes its bits from: far from the head, which orders the records. */
  word(index: number): number {
    return this.#view.getUint32(index * 4);
  }

  /** Whether the id at `offset` is this one. */
  equals(view: DataView, offset: number): boolean {
    const own = this.#view;
    for (let at = 0; at < CHUNK_ID_BYTES; at += 4) {
      if (view.getInt32(offset + at) !== own.getInt32(at)) return false;
    }
    return true;
  }
}

/** Order of the ids at two places: negative, 0 or positive. */
export function compareIds(left: DataView, leftOffset: number, right: DataView, rightOffset: number): number {
  for (let at = 0; at < CHUNK_ID_BYTES; at += 4) {
    const difference = left.getUint32(leftOffset + at) - right.getUint32(rightOffset + at);
    if (difference !== 0) return difference;
  }
  return 0;
}
