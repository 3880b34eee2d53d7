import type { Position } from '../core/position.ts';

/** Where a segment lies in its history. */
export type SegmentPlace = { readonly history: string; readonly after: Position; readonly upTo: Position };

/** Plain pieces of what was put lately, so that they can be sealed as one. Bounded: then the oldest are forgotten. */
export class PlainMemory {
  readonly #mostBytes: number;
  readonly #pieces = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  put(place: SegmentPlace, pieces: Uint8Array): void {
    const own = keyOf(place);
    this.#bytes += pieces.byteLength - (this.#pieces.get(own)?.byteLength ?? 0);
    this.#pieces.delete(own);
    this.#pieces.set(own, pieces);
    for (const [key, oldest] of this.#pieces) {
      if (this.#bytes <= this.#mostBytes) return;
      this.#pieces.delete(key);
      this.#bytes -= oldest.byteLength;
    }
  }

  find(place: SegmentPlace): Uint8Array | undefined {
    return this.#pieces.get(keyOf(place));
  }

  clear(): void {
    this.#pieces.clear();
    this.#bytes = 0;
  }
}

function keyOf({ history, after, upTo }: SegmentPlace): string {
  return [history, after.lineage, after.order, upTo.order].join(' ');
}
