import type { ChunkKind } from './format/pack.ts';
import type { PlainBlock } from './pipeline/engine.ts';

/** A pack that holds more is large enough. */
const SMALL_BYTES = 1024 * 1024;
/** What is kept before it has to be joined. */
const MOST_BYTES = 8 * 1024 * 1024;

/** What lies in a pack that was just stored. */
export type SmallPack = {
  readonly id: string;
  readonly kind: ChunkKind;
  readonly blocks: readonly PlainBlock[];
  readonly sizeBytes: number;
};

/**
 * What lies in the small packs of a session, as it was before it was sealed: so that few packs can take the place of many without a key to open them.
 * What stands for a pack holds all that it holds.
 */
export class SmallPacks {
  readonly #kept = new Map<ChunkKind, SmallPack[]>();
  /** By the id of one that was joined: of those that stand for it. */
  readonly #joined = new Map<string, readonly string[]>();
  #bytes = 0;

  /** Whether a pack of so many bytes is one. */
  isSmall(sizeBytes: number): boolean {
    return sizeBytes < SMALL_BYTES;
  }

  add(pack: SmallPack): void {
    this.#kept.set(pack.kind, [...(this.#kept.get(pack.kind) ?? []), pack]);
    this.#bytes += pack.sizeBytes;
  }

  /** They can't wait any longer. */
  get isFull(): boolean {
    return this.#bytes >= MOST_BYTES;
  }

  /** Those of a kind, which are kept no longer; none where there are not several. */
  take(kind: ChunkKind): readonly SmallPack[] {
    const packs = this.#kept.get(kind) ?? [];
    if (packs.length < 2) return [];
    this.#kept.delete(kind);
    this.#bytes -= packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return packs;
  }

  /** `into` stands for each of them from now on. */
  noteJoined(packs: readonly SmallPack[], into: readonly string[]): void {
    for (const { id } of packs) this.#joined.set(id, into);
  }

  /** What stands for these packs now, ascending, each once. */
  standFor(ids: readonly string[]): readonly string[] {
    const standing = new Set(ids);
    // What is added while it is gone through comes as well.
    for (const id of standing) {
      const into = this.#joined.get(id);
      if (into === undefined) continue;
      standing.delete(id);
      for (const one of into) standing.add(one);
    }
    return [...standing].toSorted();
  }
}

/** Of its own memory. */
export function keepBlock({ plain, plainBytes, chunks }: PlainBlock): PlainBlock {
  return { plain: plain.slice(), plainBytes, chunks: chunks.map((chunk) => ({ ...chunk, id: chunk.id.slice() })) };
}
