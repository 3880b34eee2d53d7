import { toHex } from '../../core/bytes.ts';

/** What is known of a node, or of a list, whose whole subtree was found good. */
export type CheckedNode = {
  /** What it was read as: a node of a level, or a list of a depth and size. */
  readonly shape: string;
  readonly entries: number;
  readonly bytes: number;
  readonly chunks: number;
  /** Its first and last name; undefined for lists and where it has none. */
  readonly first: Uint8Array | undefined;
  readonly last: Uint8Array | undefined;
  /** Packs from which its chunks can be had, ascending: a base that names them all has all of it. */
  readonly packs: Uint32Array;
};

/** With its key, its place in the map and the array of its packs. */
const NODE_BYTES = 700;

/** Remembers the nodes that were checked last, up to a number of bytes, so that bases share the work on what they share. */
export class CheckedNodes {
  readonly #limitBytes: number;
  /** The last used one is the last. */
  readonly #nodes = new Map<string, CheckedNode>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get(id: Uint8Array): CheckedNode | undefined {
    const key = toHex(id);
    const node = this.#nodes.get(key);
    if (node === undefined) return undefined;
    this.#nodes.delete(key);
    this.#nodes.set(key, node);
    return node;
  }

  set(id: Uint8Array, node: CheckedNode): void {
    const key = toHex(id);
    const known = this.#nodes.get(key);
    if (known !== undefined) this.#drop(key, known);
    this.#nodes.set(key, node);
    this.#bytes += sizeOf(node);
    for (const [oldKey, old] of this.#nodes) {
      if (this.#bytes <= this.#limitBytes) return;
      this.#drop(oldKey, old);
    }
  }

  #drop(key: string, node: CheckedNode): void {
    this.#nodes.delete(key);
    this.#bytes -= sizeOf(node);
  }
}

function sizeOf({ first, last, packs }: CheckedNode): number {
  return NODE_BYTES + (first?.byteLength ?? 0) + (last?.byteLength ?? 0) + packs.byteLength;
}
