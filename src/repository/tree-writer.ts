import type { Run } from '../core/run.ts';
import { nameHash, NodeBuilder, writeList } from './format/node.ts';
import type { ChunkPart, InnerItem, LeafItem, NodeContent } from './format/node.ts';
import type { ChunkRef } from './pipeline/engine.ts';
import { createIdentify } from './pipeline/identify.ts';
import type { Identify } from './pipeline/identify.ts';

const LEAF_LEAST_BYTES = 8 * 1024;
const LEAF_MOST_BYTES = 128 * 1024;
const LEAF_MOST_NAME_BYTES = 8 * 1024 * 1024;
const LEAF_HASH_MASK = 255;
const ITEM_LEAST = 4;
const ITEM_MOST = 512;
const ITEM_ID_MASK = 63;
/** Contents of up to this many chunks are written into the leaf. */
const DIRECT_CHUNKS = 32;

/** Takes nodes; returns once it may be forgotten by the caller. */
export type NodeSink = (id: Uint8Array, node: Uint8Array, run: Run) => Promise<void>;

export type TreeRoot = {
  readonly id: Uint8Array;
  readonly level: number;
  readonly entries: number;
  readonly bytes: number;
};

type Level = { readonly builder: NodeBuilder; firstName: Uint8Array; entryCount: number; contentBytes: number };

/**
 * Builds the tree of a base from its entries in ascending order, with memory for one node a level. Where nodes end depends only on
 * what is in them, so that an unchanged run of entries makes the same nodes as last time.
 */
export class TreeWriter {
  readonly #identify: Identify;
  readonly #sink: NodeSink;
  readonly #levels: Level[] = [];
  #entries = 0;
  #bytes = 0;

  constructor(nodeKey: Uint8Array, sink: NodeSink) {
    this.#identify = createIdentify(nodeKey);
    this.#sink = sink;
  }

  /** A promise only where a node was filled: entries are many. */
  add(item: LeafItem, run: Run): Promise<void> | undefined {
    const level = this.#level(0);
    if (level.builder.count === 0) level.firstName = item.name;
    level.builder.leaf(item);
    const sizeBytes = item.content?.sizeBytes ?? 0;
    level.entryCount++;
    level.contentBytes += sizeBytes;
    this.#entries++;
    this.#bytes += sizeBytes;
    const size = level.builder.sizeBytes;
    const isFull =
      size >= LEAF_MOST_BYTES ||
      level.builder.nameBytes >= LEAF_MOST_NAME_BYTES ||
      (size >= LEAF_LEAST_BYTES && (nameHash(item.name) & LEAF_HASH_MASK) === 0);
    return isFull ? this.#close(0, run) : undefined;
  }

  /** The content of an entry. A promise only where it has many chunks, of which a list is put. */
  content(chunks: readonly ChunkRef[], run: Run): NodeContent | Promise<NodeContent> {
    let sizeBytes = 0;
    for (const chunk of chunks) sizeBytes += chunk.sizeBytes;
    return chunks.length <= DIRECT_CHUNKS
      ? { kind: 'chunks', sizeBytes, chunks }
      : this.#putList(chunks, sizeBytes, run);
  }

  async #putList(chunks: readonly ChunkRef[], sizeBytes: number, run: Run): Promise<NodeContent> {
    let parts: readonly ChunkPart[] = chunks;
    for (let depth = 0; ; depth++) {
      const above: ChunkPart[] = [];
      for (const group of groupsOf(parts)) {
        const id = await this.#put(writeList(depth, group), run);
        above.push({ id, sizeBytes: group.reduce((sum, part) => sum + part.sizeBytes, 0) });
      }
      const [only] = above;
      if (above.length === 1 && only !== undefined) return { kind: 'list', depth, sizeBytes, id: only.id };
      parts = above;
    }
  }

  /** Ends the tree. Nothing can be added afterwards. */
  async finish(run: Run): Promise<TreeRoot> {
    const totals = { entries: this.#entries, bytes: this.#bytes };
    for (let depth = 0; ; depth++) {
      const level = this.#level(depth);
      const isTop = depth === this.#levels.length - 1;
      if (isTop) return { id: await this.#put(level.builder.take(), run), level: depth, ...totals };
      if (level.builder.count > 0) await this.#close(depth, run, true);
    }
  }

  #level(depth: number): Level {
    return (this.#levels[depth] ??= {
      builder: new NodeBuilder(depth),
      firstName: new Uint8Array(0),
      entryCount: 0,
      contentBytes: 0,
    });
  }

  async #close(depth: number, run: Run, ending = false): Promise<void> {
    const level = this.#level(depth);
    const id = await this.#put(level.builder.take(), run);
    const item: InnerItem = {
      name: level.firstName,
      id,
      entryCount: level.entryCount,
      contentBytes: level.contentBytes,
    };
    level.entryCount = 0;
    level.contentBytes = 0;
    const above = this.#level(depth + 1);
    if (above.builder.count === 0) above.firstName = item.name;
    above.builder.inner(item);
    above.entryCount += item.entryCount;
    above.contentBytes += item.contentBytes;
    if (!ending && endsGroup(above.builder.count, id)) await this.#close(depth + 1, run);
  }

  async #put(node: Uint8Array, run: Run): Promise<Uint8Array> {
    const id = this.#identify(node);
    await this.#sink(id, node, run);
    return id;
  }
}

function endsGroup(count: number, lastId: Uint8Array): boolean {
  return count >= ITEM_MOST || (count >= ITEM_LEAST && ((lastId[0] ?? 0) & ITEM_ID_MASK) === 0);
}

function* groupsOf(parts: readonly ChunkPart[]): Generator<readonly ChunkPart[]> {
  let group: ChunkPart[] = [];
  for (const part of parts) {
    group.push(part);
    if (!endsGroup(group.length, part.id)) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
