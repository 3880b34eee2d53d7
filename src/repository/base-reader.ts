import { compareBytes, equalBytes, startsWithBytes, toHex } from '../core/bytes.ts';
import { TidemarkError } from '../core/errors.ts';
import { firstIndex } from '../core/first-index.ts';
import { BugError, must } from '../core/must.ts';
import type { BaseReader, FileResult, FileTarget, StoredContent, StoredEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import type { BlockSource } from './block-source.ts';
import { ByteCache } from './byte-cache.ts';
import { entryText } from './entry-text.ts';
import { ByteBuilder } from './format/byte-builder.ts';
import { ByteCursor, damaged, isDamage } from './format/byte-cursor.ts';
import { readContent, readList, readNode, writeContent } from './format/node.ts';
import type { ChunkPart, InnerItem, LeafItem, NodeContent, TreeNode } from './format/node.ts';

const EMPTY = new Uint8Array(0);

const PASSED_CACHE_BYTES = 32 * 1024 * 1024;
/** What keeping an item, and a chunk in it, takes besides its bytes. */
const ITEM_BYTES = 400;
const CHUNK_BYTES = 200;

/** Content as this reader hands it out. */
class BaseContent implements StoredContent {
  readonly node: NodeContent;

  constructor(node: NodeContent) {
    this.node = node;
  }

  get sizeBytes(): number {
    return this.node.sizeBytes;
  }
}

/** What an extraction works with: where the chunks of a content are named, and who hears how far it is. */
export type ExtractContext = {
  readonly source: BlockSource;
  readonly chunksOf: (content: StoredContent, run: Run) => AsyncIterable<readonly ChunkPart[]>;
  /** The same at once, for a content whose chunks need not be fetched: nearly all. */
  readonly chunksAtHand: (content: StoredContent) => readonly ChunkPart[] | undefined;
  readonly onBytes: (bytes: number) => void;
};

/** Fills files from chunks; see `BaseReader.extract`. */
export type Extractor = <Tag>(
  context: ExtractContext,
  targets: AsyncIterable<readonly FileTarget<Tag>[]>,
  run: Run,
) => AsyncIterable<readonly FileResult<Tag>[]>;

export type BaseRoot = {
  readonly root: Uint8Array;
  readonly level: number;
  readonly entries: number;
  readonly bytes: number;
};

type Range = { readonly prefix?: Uint8Array | undefined; readonly from?: Uint8Array | undefined };

/** A node that is still to be read: all its names are from `first` on and before `end`. Equal ids of one writer are the same subtree. */
export type NodePlace = {
  readonly id: Uint8Array;
  readonly level: number;
  readonly first?: Uint8Array | undefined;
  readonly end?: Uint8Array | undefined;
  readonly entryCount: number;
};

/** What a node holds: entries in the leaves, further nodes above them. */
export type NodeItems = { readonly entries: readonly StoredEntry[]; readonly children: readonly NodePlace[] };

/**
 * Reads the tree of one base. What is damaged fails when it is needed, with REPOSITORY_DAMAGED and the names that it takes along; all else can be
 * read.
 */
export class RepositoryBaseReader implements BaseReader {
  readonly entryCount: number;
  readonly contentBytes: number;
  readonly #source: BlockSource;
  readonly #root: NodePlace;
  readonly #extract: Extractor;
  /** Nodes on the way to entries that were looked for: who looks for many does so among neighbours. */
  readonly #passed = new ByteCache<TreeNode>({ limitBytes: PASSED_CACHE_BYTES, sizeOf: nodeBytes });

  constructor(options: { readonly source: BlockSource; readonly root: BaseRoot; readonly extract: Extractor }) {
    const { root, level, entries, bytes } = options.root;
    this.#source = options.source;
    this.#root = { id: root, level, entryCount: entries };
    this.#extract = options.extract;
    this.entryCount = entries;
    this.contentBytes = bytes;
  }

  /** Where a walk by oneself begins: whoever compares bases skips what they share. */
  get root(): NodePlace {
    return this.#root;
  }

  async open(place: NodePlace, run: Run): Promise<NodeItems> {
    const { leaves, children } = await this.#node(place, run);
    return {
      entries: leaves.map(storedEntry),
      children: children.flatMap((_, index) => childPlace(place, children, index) ?? []),
    };
  }

  async *entries(run: Run, range: Range = {}): AsyncGenerator<readonly StoredEntry[]> {
    const prefix = range.prefix ?? EMPTY;
    const from = range.from !== undefined && compareBytes(range.from, prefix) > 0 ? range.from : prefix;
    yield* this.#walk(this.#root, { prefix, from }, run);
  }

  async find(name: Uint8Array, run: Run): Promise<StoredEntry | undefined> {
    let place: NodePlace | undefined = this.#root;
    while (place !== undefined) {
      const wanted: NodePlace = place;
      const node = await this.#passed.get(toHex(wanted.id), (inner) => this.#node(wanted, inner), run);
      const items = node.level === 0 ? node.leaves : node.children;
      const after = firstIndex(items.length, (index) => compareBytes(must(items[index], 'an item').name, name) > 0);
      if (node.level === 0) {
        const leaf = node.leaves[after - 1];
        return leaf !== undefined && equalBytes(leaf.name, name) ? storedEntry(leaf) : undefined;
      }
      const at = after - 1;
      place = childPlace(place, node.children, at);
    }
    return undefined;
  }

  async *read(content: StoredContent, run: Run): AsyncGenerator<Uint8Array> {
    for await (const parts of this.chunksOf(content, run)) {
      for (const part of parts) yield Uint8Array.from(await this.#source.content(part, run));
    }
  }

  extract<Tag>(
    targets: AsyncIterable<readonly FileTarget<Tag>[]>,
    run: Run,
    onBytes: (bytes: number) => void = () => undefined,
  ): AsyncIterable<readonly FileResult<Tag>[]> {
    const chunksOf: ExtractContext['chunksOf'] = (content, inner) => this.chunksOf(content, inner);
    return this.#extract({ source: this.#source, chunksOf, chunksAtHand, onBytes }, targets, run);
  }

  /** The content's chunks, in order, with memory for one list a level. */
  async *chunksOf(content: StoredContent, run: Run): AsyncGenerator<readonly ChunkPart[]> {
    const node = nodeContentOf(content);
    if (node.kind === 'chunks') yield node.chunks;
    else yield* this.#list(node, node.depth, run);
  }

  async *#list({ id, sizeBytes }: ChunkPart, depth: number, run: Run): AsyncGenerator<readonly ChunkPart[]> {
    const what = `list ${toHex(id)}`;
    const parts = readList(Uint8Array.from(await this.#source.chunk(id, 'node', run)), depth, what);
    const sum = parts.reduce((total, part) => total + part.sizeBytes, 0);
    if (sum !== sizeBytes) throw damaged(what, 'its parts do not add up to its size');
    if (depth === 0) yield parts;
    else for (const part of parts) yield* this.#list(part, depth - 1, run);
  }

  async *#walk(
    place: NodePlace,
    range: { readonly prefix: Uint8Array; readonly from: Uint8Array },
    run: Run,
  ): AsyncGenerator<readonly StoredEntry[]> {
    run.signal.throwIfAborted();
    const { level, leaves, children } = await this.#node(place, run);
    if (level === 0) {
      const wanted = leaves.filter(
        ({ name }) => compareBytes(name, range.from) >= 0 && startsWithBytes(name, range.prefix),
      );
      if (wanted.length > 0) yield wanted.map(storedEntry);
      return;
    }
    for (const [index, { name }] of children.entries()) {
      const next = children[index + 1];
      if (next !== undefined && compareBytes(next.name, range.from) <= 0) continue;
      if (compareBytes(name, range.prefix) > 0 && !startsWithBytes(name, range.prefix)) return;
      const child = childPlace(place, children, index);
      if (child !== undefined) yield* this.#walk(child, range, run);
    }
  }

  async #node(place: NodePlace, run: Run): Promise<TreeNode> {
    try {
      const what = `node ${toHex(place.id)}`;
      const node = readNode(Uint8Array.from(await this.#source.chunk(place.id, 'node', run)), what);
      checkPlace(node, place, what);
      return node;
    } catch (error) {
      if (!isDamage(error) || !(error instanceof Error)) throw error;
      throw new TidemarkError('REPOSITORY_DAMAGED', `${lostNames(place)} can’t be read: ${error.message}`, {
        cause: error,
      });
    }
  }
}

/** What a content needs, as it is written. */
export function nodeContentOf(content: StoredContent): NodeContent {
  if (!(content instanceof BaseContent)) throw new BugError('content of another reader');
  return content.node;
}

/** A content as bytes, to be laid aside for a while. */
export function packContent(content: StoredContent): Uint8Array {
  const builder = new ByteBuilder(256);
  writeContent(builder, nodeContentOf(content));
  return builder.take();
}

/** The inverse of `packContent`. */
export function unpackContent(bytes: Uint8Array): StoredContent {
  return new BaseContent(must(readContent(new ByteCursor(bytes, 'a content laid aside')), 'a content'));
}

function chunksAtHand(content: StoredContent): readonly ChunkPart[] | undefined {
  const node = nodeContentOf(content);
  return node.kind === 'chunks' ? node.chunks : undefined;
}

/** Whether two contents of one writer are the same bytes. It reads nothing. */
export function isSameContent(left: StoredContent | undefined, right: StoredContent | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  if (!(left instanceof BaseContent) || !(right instanceof BaseContent)) {
    throw new BugError('content of another reader');
  }
  const [one, other] = [left.node, right.node];
  if (one.kind === 'list' || other.kind === 'list') {
    return one.kind === 'list' && other.kind === 'list' && one.depth === other.depth && equalBytes(one.id, other.id);
  }
  return (
    one.chunks.length === other.chunks.length &&
    one.chunks.every(({ id }, index) => equalBytes(id, must(other.chunks[index], 'as many chunks').id))
  );
}

/** An entry as readers hand it out. */
export function storedEntry({ name, attributes, content }: LeafItem): StoredEntry {
  return { name, attributes, content: content && new BaseContent(content) };
}

function nodeBytes({ leaves, children }: TreeNode): number {
  let bytes = (leaves.length + children.length) * ITEM_BYTES;
  for (const { name, attributes, content } of leaves) {
    bytes += name.byteLength + attributes.byteLength;
    if (content?.kind === 'chunks') bytes += content.chunks.length * CHUNK_BYTES;
  }
  return bytes;
}

function childPlace(parent: NodePlace, children: readonly InnerItem[], index: number): NodePlace | undefined {
  const child = children[index];
  if (child === undefined) return undefined;
  const { id, name, entryCount } = child;
  return { id, level: parent.level - 1, first: name, end: children[index + 1]?.name ?? parent.end, entryCount };
}

/** @throws REPOSITORY_DAMAGED when the node is not one for this place of a tree */
function checkPlace({ level, leaves, children }: TreeNode, place: NodePlace, what: string): void {
  if (level !== place.level) throw damaged(what, 'its level is not the one expected');
  const items = level === 0 ? leaves : children;
  const [first, last] = [items[0]?.name, items.at(-1)?.name];
  const begins = place.first === undefined || (first !== undefined && equalBytes(first, place.first));
  const ends = place.end === undefined || (last !== undefined && compareBytes(last, place.end) < 0);
  if (!begins || !ends) throw damaged(what, 'its names are not the ones expected');
}

function lostNames({ first, end, entryCount }: NodePlace): string {
  if (first === undefined) return `the base of ${entryCount} entries`;
  const upTo = end === undefined ? 'to the end' : `to before ${entryText(end)}`;
  return `${entryCount} entries, from ${entryText(first)} ${upTo},`;
}
