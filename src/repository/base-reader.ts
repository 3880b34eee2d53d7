import { compareBytes, equalBytes, startsWithBytes } from '../core/bytes.ts';
import type { BaseReader, FileResult, FileTarget, StoredContent, StoredEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import { BugError } from '../core/must.ts';
import type { BlockSource } from './block-source.ts';
import { damaged } from './format/byte-cursor.ts';
import { readList, readNode } from './format/node.ts';
import type { ChunkPart, InnerItem, LeafItem, NodeContent, TreeNode } from './format/node.ts';
import { toHex } from '../core/bytes.ts';

const EMPTY = new Uint8Array(0);

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

/** Fills files from chunks; see `BaseReader.extract`. */
export type Extractor = <Tag>(
  source: BlockSource,
  targets: AsyncIterable<readonly FileTarget<Tag>[]>,
  chunksOf: (content: StoredContent, run: Run) => AsyncIterable<readonly ChunkPart[]>,
  run: Run,
) => AsyncIterable<readonly FileResult<Tag>[]>;

export type BaseRoot = { readonly root: Uint8Array; readonly level: number; readonly entries: number; readonly bytes: number };

type Range = { readonly prefix?: Uint8Array | undefined; readonly from?: Uint8Array | undefined };

/** Reads the tree of one base. */
export class RepositoryBaseReader implements BaseReader {
  readonly entryCount: number;
  readonly contentBytes: number;
  readonly #source: BlockSource;
  readonly #root: BaseRoot;
  readonly #extract: Extractor;

  constructor(options: { readonly source: BlockSource; readonly root: BaseRoot; readonly extract: Extractor }) {
    this.#source = options.source;
    this.#root = options.root;
    this.#extract = options.extract;
    this.entryCount = options.root.entries;
    this.contentBytes = options.root.bytes;
  }

  async *entries(run: Run, range: Range = {}): AsyncGenerator<readonly StoredEntry[]> {
    const prefix = range.prefix ?? EMPTY;
    const from = range.from !== undefined && compareBytes(range.from, prefix) > 0 ? range.from : prefix;
    yield* this.#walk(this.#root.root, this.#root.level, { prefix, from }, run);
  }

  async find(name: Uint8Array, run: Run): Promise<StoredEntry | undefined> {
    for await (const [entry] of this.entries(run, { from: name })) {
      if (entry === undefined) continue;
      return equalBytes(entry.name, name) ? entry : undefined;
    }
    return undefined;
  }

  async *read(content: StoredContent, run: Run): AsyncGenerator<Uint8Array> {
    for await (const parts of this.#parts(content, run)) {
      for (const part of parts) {
        const bytes = await this.#source.chunk(part.id, 'content', run);
        if (bytes.byteLength !== part.sizeBytes) throw damaged('a base', `chunk ${toHex(part.id)} has another size than it should`);
        yield Uint8Array.from(bytes);
      }
    }
  }

  extract<Tag>(targets: AsyncIterable<readonly FileTarget<Tag>[]>, run: Run): AsyncIterable<readonly FileResult<Tag>[]> {
    return this.#extract(this.#source, targets, (content, inner) => this.#parts(content, inner), run);
  }

  /** The content's chunks, in order, with memory for one list a level. */
  async *#parts(content: StoredContent, run: Run): AsyncGenerator<readonly ChunkPart[]> {
    if (!(content instanceof BaseContent)) throw new BugError('content of another reader');
    if (content.node.kind === 'chunks') yield content.node.chunks;
    else yield* this.#list(content.node.id, content.node.depth, run);
  }

  async *#list(id: Uint8Array, depth: number, run: Run): AsyncGenerator<readonly ChunkPart[]> {
    const bytes = Uint8Array.from(await this.#source.chunk(id, 'node', run));
    const parts = readList(bytes, depth, `list ${toHex(id)}`);
    if (depth === 0) yield parts;
    else for (const part of parts) yield* this.#list(part.id, depth - 1, run);
  }

  async *#walk(id: Uint8Array, level: number, range: { readonly prefix: Uint8Array; readonly from: Uint8Array }, run: Run): AsyncGenerator<readonly StoredEntry[]> {
    run.signal.throwIfAborted();
    const node = await this.#node(id, level, run);
    if (node.level === 0) {
      const entries = leafEntries(node).filter(({ name }) => compareBytes(name, range.from) >= 0 && startsWithBytes(name, range.prefix));
      if (entries.length > 0) yield entries;
      return;
    }
    const children = innerItems(node);
    for (const [index, child] of children.entries()) {
      const next = children[index + 1];
      if (next !== undefined && compareBytes(next.name, range.from) <= 0) continue;
      if (compareBytes(child.name, range.prefix) > 0 && !startsWithBytes(child.name, range.prefix)) return;
      yield* this.#walk(child.id, level - 1, range, run);
    }
  }

  async #node(id: Uint8Array, level: number, run: Run): Promise<TreeNode> {
    const what = `node ${toHex(id)}`;
    const node = readNode(Uint8Array.from(await this.#source.chunk(id, 'node', run)), what);
    if (node.level !== level) throw damaged(what, 'its level is not the one expected');
    return node;
  }
}

function leafEntries(node: TreeNode): readonly StoredEntry[] {
  // The items of level 0 are leaves; TypeScript can't narrow `level: number` to exclude 0.
  return (node.items as readonly LeafItem[]).map(({ name, attributes, content }) => ({ name, attributes, content: content && new BaseContent(content) }));
}

function innerItems(node: TreeNode): readonly InnerItem[] {
  return node.items as readonly InnerItem[]; // see leafEntries
}
