import { createHmac } from 'node:crypto';
import { equalBytes, toHex } from '../../core/bytes.ts';
import type { Run } from '../../core/run.ts';
import type { RepositoryAccess } from '../access.ts';
import { damaged, isDamage } from '../format/byte-cursor.ts';
import { readList, readNode } from '../format/node.ts';
import type { ChunkPart, InnerItem, LeafItem, NodeContent } from '../format/node.ts';
import { unsealBlock } from '../format/pack.ts';
import type { WriterKeys } from '../keys/keyring.ts';
import { openBlock } from '../pipeline/block.ts';
import type { DirectoryMap, DirectoryPlace } from './directories.ts';

const NAMES_KEPT = 20;
const BLOCKS_KEPT = 16;

export type TreeProblem = { readonly object: string; readonly kind: 'node' | 'chunk'; readonly message: string; readonly names: readonly Uint8Array[] };

export type TreeReport = { readonly entries: number; readonly bytes: number; readonly chunks: number; readonly problems: readonly TreeProblem[] };

type Totals = { entries: number; bytes: number };

/** Walks one base's tree: every node is read and its id recomputed, every chunk must be in a pack that the manifest names. */
export class TreeCheck {
  readonly #options: { readonly access: RepositoryAccess; readonly keys: WriterKeys; readonly directories: DirectoryMap; readonly packs: ReadonlySet<string> };
  readonly #problems = new Map<string, { object: string; kind: 'node' | 'chunk'; message: string; names: Uint8Array[] }>();
  readonly #blocks = new Map<string, Uint8Array>();
  #chunks = 0;

  constructor(options: { access: RepositoryAccess; keys: WriterKeys; directories: DirectoryMap; packs: ReadonlySet<string> }) {
    this.#options = options;
  }

  async tree(root: { readonly id: Uint8Array; readonly level: number }, run: Run): Promise<TreeReport> {
    const totals = await this.#node({ ...root, name: new Uint8Array(0) }, run);
    return { ...totals, chunks: this.#chunks, problems: [...this.#problems.values()] };
  }

  async #node(at: { readonly id: Uint8Array; readonly level: number; readonly name: Uint8Array }, run: Run): Promise<Totals> {
    run.signal.throwIfAborted();
    const what = `node ${toHex(at.id)}`;
    const totals: Totals = { entries: 0, bytes: 0 };
    try {
      const node = readNode(await this.#chunk(at.id, 'node', run), what);
      if (node.level !== at.level) throw damaged(what, 'its level is not the one expected');
      if (node.level === 0) await this.#leaves(node.leaves, totals, run);
      else await this.#inner(node.children, { level: at.level, what, totals }, run);
    } catch (error) {
      this.#note(error, { object: what, kind: 'node', name: at.name });
    }
    return totals;
  }

  async #leaves(items: readonly LeafItem[], totals: Totals, run: Run): Promise<void> {
    for (const { name, content } of items) {
      totals.entries++;
      totals.bytes += content?.sizeBytes ?? 0;
      if (content !== undefined) await this.#content(content, name, run);
    }
  }

  async #inner(items: readonly InnerItem[], at: { readonly level: number; readonly what: string; readonly totals: Totals }, run: Run): Promise<void> {
    for (const { id, name, entryCount, contentBytes } of items) {
      const before = this.#problems.size;
      const child = await this.#node({ id, level: at.level - 1, name }, run);
      const isWhole = this.#problems.size === before;
      if (isWhole && (child.entries !== entryCount || child.bytes !== contentBytes)) {
        this.#note(damaged(at.what, 'its sums don’t fit what is below it'), { object: at.what, kind: 'node', name });
      }
      at.totals.entries += child.entries;
      at.totals.bytes += child.bytes;
    }
  }

  async #content(content: NodeContent, name: Uint8Array, run: Run): Promise<void> {
    if (content.kind === 'chunks') {
      this.#parts(content.chunks, name);
      return;
    }
    const sizeBytes = await this.#list(content.id, content.depth, name, run);
    if (sizeBytes !== undefined && sizeBytes !== content.sizeBytes) {
      this.#note(damaged('a list', 'its chunks don’t add up to its size'), { object: `list ${toHex(content.id)}`, kind: 'node', name });
    }
  }

  /** Returns the bytes below, or undefined when it is damaged. */
  async #list(id: Uint8Array, depth: number, name: Uint8Array, run: Run): Promise<number | undefined> {
    const what = `list ${toHex(id)}`;
    try {
      const parts = readList(await this.#chunk(id, 'node', run), depth, what);
      if (depth === 0) return this.#parts(parts, name);
      let sum: number | undefined = 0;
      for (const part of parts) {
        const below: number | undefined = await this.#list(part.id, depth - 1, name, run);
        sum = sum === undefined || below === undefined ? undefined : sum + below;
      }
      return sum;
    } catch (error) {
      this.#note(error, { object: what, kind: 'node', name });
      return undefined;
    }
  }

  #parts(parts: readonly ChunkPart[], name: Uint8Array): number {
    let sizeBytes = 0;
    for (const part of parts) {
      this.#chunks++;
      sizeBytes += part.sizeBytes;
      const place = this.#places(part.id).find(({ kind }) => kind === 'content');
      const object = `chunk ${toHex(part.id)}`;
      if (place === undefined) this.#note(damaged(object, 'no good copy of it is left'), { object, kind: 'chunk', name });
      else if (place.sizeBytes !== part.sizeBytes) this.#note(damaged(object, 'it has another size than it should'), { object, kind: 'chunk', name });
    }
    return sizeBytes;
  }

  #places(id: Uint8Array): readonly DirectoryPlace[] {
    return this.#options.directories.find(id).filter(({ pack }) => this.#options.packs.has(pack.key));
  }

  async #chunk(id: Uint8Array, kind: 'node', run: Run): Promise<Uint8Array> {
    let failure: unknown;
    for (const place of this.#places(id)) {
      if (place.kind !== kind) continue;
      try {
        const block = await this.#block(place, run);
        const bytes = block.subarray(place.offset, place.offset + place.sizeBytes);
        if (equalBytes(createHmac('sha256', this.#options.keys.nodeKey).update(bytes).digest(), id)) return bytes;
        failure ??= damaged(place.pack.key, `node ${toHex(id)} in it is another one`);
      } catch (error) {
        if (!isDamage(error)) throw error;
        failure ??= error;
      }
    }
    throw failure ?? damaged(`node ${toHex(id)}`, 'no good copy of it is left');
  }

  async #block(place: DirectoryPlace, run: Run): Promise<Uint8Array> {
    const cacheKey = `${place.pack.key} ${place.block}`;
    const known = this.#blocks.get(cacheKey);
    if (known !== undefined) return known;
    const sealed = new Uint8Array(place.pack.blocks[place.block]?.sealedBytes ?? 0);
    const read = await this.#options.access.objects.read(place.pack.key, place.blockOffset, sealed, run);
    if (read !== sealed.byteLength) throw damaged(place.pack.key, 'it ends too early');
    const block = openBlock(unsealBlock({ secret: place.pack.secret, number: place.block, sealed, what: place.pack.key }));
    if (this.#blocks.size >= BLOCKS_KEPT) this.#blocks.delete(this.#blocks.keys().next().value ?? '');
    this.#blocks.set(cacheKey, block);
    return block;
  }

  #note(error: unknown, at: { readonly object: string; readonly kind: 'node' | 'chunk'; readonly name: Uint8Array }): void {
    if (!isDamage(error) || !(error instanceof Error)) throw error;
    const known = this.#problems.get(at.object) ?? { object: at.object, kind: at.kind, message: error.message, names: [] };
    this.#problems.set(at.object, known);
    if (known.names.length < NAMES_KEPT) known.names.push(Uint8Array.from(at.name));
  }
}
