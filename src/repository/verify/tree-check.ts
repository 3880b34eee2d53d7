import { compareBytes, equalBytes, toHex } from '../../core/bytes.ts';
import { undecodable } from '../../core/entry-check.ts';
import type { EntryCheck } from '../../core/entry-check.ts';
import type { Run } from '../../core/run.ts';
import { storedEntry } from '../base-reader.ts';
import type { BlockSource } from '../block-source.ts';
import { damaged, isDamage } from '../format/byte-cursor.ts';
import { readList, readNode } from '../format/node.ts';
import type { ChunkPart, InnerItem, LeafItem, NodeContent, TreeNode } from '../format/node.ts';
import type { ChunkKind } from '../format/pack.ts';
import type { ChunkPlace } from '../index/chunk-index.ts';
import type { LostNames } from './affected.ts';
import { CheckedNodes } from './checked-nodes.ts';
import type { ChunkPlaces } from './chunk-places.ts';
import type { PackSet } from './pack-set.ts';

const CHECKED_BYTES = 16 * 1024 * 1024;

/** A chunk that a base lacks (`isMissing`), or a node that is not what it should be. `pack`: the object that has it, but not whole. */
export type TreeProblem = {
  readonly id: Uint8Array;
  readonly kind: ChunkKind;
  readonly isMissing: boolean;
  readonly pack?: string | undefined;
  readonly message: string;
  readonly lost: LostNames;
};

/** How entries are decoded. `kind`: of their store; what was found good for another one is looked at again. `onFault`: with each that can't be, and why. */
export type EntryDecoding = {
  readonly kind: string;
  readonly check: EntryCheck;
  readonly onFault: (name: Uint8Array, reason: string) => void;
};

export type TreeReport = {
  readonly entries: number;
  readonly bytes: number;
  readonly chunks: number;
  readonly isWhole: boolean;
};

export type TreeCheckOptions = {
  readonly source: BlockSource;
  readonly places: ChunkPlaces;
  /** For nodes that were found good, which are not read again in the next base, nor what is below them. */
  readonly checkedBytes?: number | undefined;
};

export type TreeToCheck = {
  readonly root: Uint8Array;
  readonly level: number;
  readonly entries: number;
  /** Those that the base's manifest names. */
  readonly packs: PackSet;
  /** Called with each problem, in the order of names. */
  readonly onProblem: (problem: TreeProblem) => void;
  /** Without it nothing is known of what entries say. */
  readonly decoding?: EntryDecoding | undefined;
};

/** Walks the trees of one writer's bases: every node is read and its id recomputed, and every chunk must be in a pack of the base. */
export class TreeCheck {
  readonly #shared: Shared;

  constructor({ source, places, checkedBytes }: TreeCheckOptions) {
    this.#shared = { source, places, checked: new CheckedNodes(checkedBytes ?? CHECKED_BYTES) };
  }

  async tree(tree: TreeToCheck, run: Run): Promise<TreeReport> {
    const { root, level, entries } = tree;
    const sums = newSums();
    const lost = { first: new Uint8Array(0), count: entries };
    await new Walk(this.#shared, tree).node({ id: root, level, lost }, sums, run);
    return { entries: sums.entries, bytes: sums.bytes, chunks: sums.chunks, isWhole: sums.isWhole };
  }

  /** A content that is in no tree, of an entry of that name. */
  async content(content: NodeContent, name: Uint8Array, checked: Checked, run: Run): Promise<void> {
    await new Walk(this.#shared, checked).content(content, { first: name }, newSums(), run);
  }
}

/** What a walk needs to know of the tree that it is in. */
type Checked = Pick<TreeToCheck, 'packs' | 'onProblem' | 'decoding'>;

type Shared = { readonly source: BlockSource; readonly places: ChunkPlaces; readonly checked: CheckedNodes };

/** What is below a place, as far as it was found. */
type Sums = { entries: number; bytes: number; chunks: number; isWhole: boolean; readonly packs: Set<number> };

/** First and last name of a subtree. */
type Ends = { readonly first: Uint8Array | undefined; readonly last: Uint8Array | undefined };

type NodePlace = { readonly id: Uint8Array; readonly level: number; readonly lost: LostNames };
type ListPlace = ChunkPart & { readonly depth: number; readonly lost: LostNames };

/** One base's walk. Each step adds what it found to the sums that it is given. */
class Walk {
  readonly #shared: Shared;
  readonly #tree: Checked;

  constructor(shared: Shared, tree: Checked) {
    this.#shared = shared;
    this.#tree = tree;
  }

  async node(place: NodePlace, above: Sums, run: Run): Promise<Sums & Ends> {
    run.signal.throwIfAborted();
    const { id, level, lost } = place;
    const shape = `node ${level} ${this.#tree.decoding?.kind ?? ''}`;
    const known = this.#known(id, shape, above);
    if (known !== undefined) return known;
    const sums = newSums();
    const what = `node ${toHex(id)}`;
    const bytes = await this.#read(id, lost, sums, run);
    const node = this.#parse({ id, lost }, sums, () => {
      const read = bytes && readNode(bytes, what);
      if (read !== undefined && read.level !== level) throw damaged(what, 'its level is not the one expected');
      return read;
    });
    const ends = node === undefined ? NO_ENDS : await this.#items(node, place, sums, run);
    this.#settle(id, { shape, ...ends }, { sums, above });
    return { ...sums, ...ends };
  }

  async #items({ leaves, children, level }: TreeNode, { id }: NodePlace, sums: Sums, run: Run): Promise<Ends> {
    for (const leaf of leaves) await this.#leaf(leaf, sums, run);
    let last = leaves.at(-1)?.name;
    for (const [index, child] of children.entries()) {
      const lost = { first: child.name, count: child.entryCount };
      const found = await this.node({ id: child.id, level: level - 1, lost }, sums, run);
      const fault = found.isWhole ? faultOf(child, found, children[index + 1]) : undefined;
      if (fault !== undefined) {
        const message = `node ${toHex(id)} is damaged: ${fault}`;
        this.#note({ id, kind: 'node', isMissing: false, message, lost }, sums);
      }
      last = found.last;
    }
    return { first: leaves[0]?.name ?? children[0]?.name, last };
  }

  async #leaf(leaf: LeafItem, sums: Sums, run: Run): Promise<void> {
    const { name, content } = leaf;
    const { decoding } = this.#tree;
    sums.entries++;
    sums.bytes += content?.sizeBytes ?? 0;
    const fault = decoding && undecodable(decoding.check, storedEntry(leaf));
    if (fault !== undefined) {
      sums.isWhole = false;
      decoding?.onFault(name, fault.message);
    }
    if (content !== undefined) await this.content(content, { first: name }, sums, run);
  }

  async content(content: NodeContent, lost: LostNames, sums: Sums, run: Run): Promise<void> {
    if (content.kind === 'chunks') this.#parts(content.chunks, lost, sums);
    else await this.#list({ ...content, lost }, sums, run);
  }

  async #list({ id, depth, sizeBytes, lost }: ListPlace, above: Sums, run: Run): Promise<void> {
    const shape = `list ${depth} of ${sizeBytes}`;
    if (this.#known(id, shape, above) !== undefined) return;
    const sums = newSums();
    const what = `list ${toHex(id)}`;
    const bytes = await this.#read(id, lost, sums, run);
    const parts = this.#parse({ id, lost }, sums, () => {
      const read = bytes === undefined ? [] : readList(bytes, depth, what);
      const sum = read.reduce((total, part) => total + part.sizeBytes, 0);
      if (bytes !== undefined && sum !== sizeBytes) throw damaged(what, 'its parts do not add up to its size');
      return read;
    });
    if (depth === 0) this.#parts(parts ?? [], lost, sums);
    else for (const part of parts ?? []) await this.#list({ ...part, depth: depth - 1, lost }, sums, run);
    this.#settle(id, { shape, ...NO_ENDS }, { sums, above });
  }

  #parts(parts: readonly ChunkPart[], lost: LostNames, sums: Sums): void {
    for (const { id, sizeBytes } of parts) {
      sums.chunks++;
      const places = this.#shared.places.find(id, 'content', this.#tree.packs);
      const fits = (place: ChunkPlace): boolean => place.sizeBytes === sizeBytes;
      const all = (): readonly ChunkPlace[] => this.#shared.places.findAll(id, 'content', this.#tree.packs);
      const good = places.find(fits) ?? (places.length > 0 ? all().find(fits) : undefined);
      if (good !== undefined) {
        sums.packs.add(good.pack);
        continue;
      }
      const why = places.length === 0 ? 'no pack of the base has it' : 'it has another size than it should';
      const message = `chunk ${toHex(id)} is damaged: ${why}`;
      this.#note({ id, kind: 'content', isMissing: places.length === 0, message, lost }, sums);
    }
  }

  /** The bytes of a node, in a block of many, from the first place that has it whole; undefined when none has, which is noted. */
  async #read(id: Uint8Array, lost: LostNames, sums: Sums, run: Run): Promise<Uint8Array | undefined> {
    const { places, source } = this.#shared;
    let failure: { readonly pack: string; readonly message: string } | undefined;
    for (const place of places.findAll(id, 'node', this.#tree.packs)) {
      try {
        const bytes = await source.chunkAt(place, id, 'node', run);
        sums.packs.add(place.pack);
        return bytes;
      } catch (error) {
        if (!isDamage(error) || !(error instanceof Error)) throw error;
        failure ??= { pack: places.packKey(place.pack), message: error.message };
      }
    }
    const missing = { message: `node ${toHex(id)} is damaged: no pack of the base has it` };
    this.#note({ id, kind: 'node', isMissing: true, lost, ...(failure ?? missing) }, sums);
    return undefined;
  }

  #parse<T>(at: Pick<TreeProblem, 'id' | 'lost'>, sums: Sums, parse: () => T): T | undefined {
    try {
      return parse();
    } catch (error) {
      if (!isDamage(error) || !(error instanceof Error)) throw error;
      this.#note({ ...at, kind: 'node', isMissing: false, message: error.message }, sums);
      return undefined;
    }
  }

  /** A subtree that was checked in another base counts here when this base has all the packs that it needs. */
  #known(id: Uint8Array, shape: string, above: Sums): (Sums & Ends) | undefined {
    const known = this.#shared.checked.get(id);
    if (known?.shape !== shape || !this.#tree.packs.hasAll(known.packs)) return undefined;
    const { entries, bytes, chunks, first, last } = known;
    const sums = { entries, bytes, chunks, isWhole: true, packs: new Set(known.packs) };
    addSums(above, sums);
    return { ...sums, first, last };
  }

  #settle(
    id: Uint8Array,
    node: Ends & { readonly shape: string },
    { sums, above }: { readonly sums: Sums; readonly above: Sums },
  ): void {
    addSums(above, sums);
    if (!sums.isWhole) return;
    const { entries, bytes, chunks } = sums;
    const [first, last] = [node.first, node.last].map((name) => name && Uint8Array.from(name));
    this.#shared.checked.set(id, {
      shape: node.shape,
      first,
      last,
      entries,
      bytes,
      chunks,
      packs: Uint32Array.from(sums.packs),
    });
  }

  #note(problem: TreeProblem, sums: Sums): void {
    sums.isWhole = false;
    this.#tree.onProblem(problem);
  }
}

const NO_ENDS: Ends = { first: undefined, last: undefined };

function newSums(): Sums {
  return { entries: 0, bytes: 0, chunks: 0, isWhole: true, packs: new Set() };
}

function addSums(above: Sums, { entries, bytes, chunks, isWhole, packs }: Sums): void {
  above.entries += entries;
  above.bytes += bytes;
  above.chunks += chunks;
  above.isWhole &&= isWhole;
  for (const pack of packs) above.packs.add(pack);
}

/** What a node says of a child that is not so. */
function faultOf(child: InnerItem, found: Sums & Ends, next: InnerItem | undefined): string | undefined {
  if (found.entries !== child.entryCount || found.bytes !== child.contentBytes) {
    return 'its sums do not fit what is below it';
  }
  const begins = found.first !== undefined && equalBytes(found.first, child.name);
  const ends = next === undefined || (found.last !== undefined && compareBytes(found.last, next.name) < 0);
  return begins && ends ? undefined : 'the names below it are not the ones expected';
}
