import { toHex } from '../../core/bytes.ts';
import type { Run } from '../../core/run.ts';
import type { BaseReader } from '../../core/restorer.ts';
import type { RepositoryAccess } from '../access.ts';
import { RepositoryBaseReader } from '../base-reader.ts';
import type { BaseRoot } from '../base-reader.ts';
import { BlockSource } from '../block-source.ts';
import { chunkId } from '../format/chunk-table.ts';
import { extractInPlace } from '../extract/in-place.ts';
import type { NodeContent } from '../format/node.ts';
import type { WriterKeys } from '../keys/keyring.ts';
import { openPackDirectory } from '../pack-directory.ts';
import type { PackDirectory } from '../pack-directory.ts';
import { ChunkPlaces } from './chunk-places.ts';
import type { PackCheck } from './pack-check.ts';
import { PackSet } from './pack-set.ts';
import { TreeCheck } from './tree-check.ts';
import type { TreeProblem, TreeReport, TreeToCheck } from './tree-check.ts';

const BAD_CHUNKS_KEPT = 100_000;
/** For blocks of nodes: a tree is walked along its names, so that few are used at a time. */
const NODE_CACHE_BYTES = 16 * 1024 * 1024;

/** A pack that is not as it should be. `isOpen`: it is known which of its chunks are damaged; else nobody can tell what was in it. */
export type DamagedPack = { readonly key: string; readonly isOpen: boolean };

/** What one writer's bases stand on, as far as this run has found out: first its packs, one by one, then its trees. */
export class WriterCheck implements AsyncDisposable {
  readonly credential: string;
  readonly keys: WriterKeys;
  readonly #access: RepositoryAccess;
  readonly #places: ChunkPlaces;
  readonly #source: BlockSource;
  readonly #trees: TreeCheck;
  readonly #damaged = new Map<number, DamagedPack>();
  /** Where damaged chunks are; bounded, beyond that it is only known that they are missing. */
  readonly #badChunks = new Map<string, string>();
  #proven: PackSet | undefined;

  private constructor(options: {
    access: RepositoryAccess;
    credential: string;
    keys: WriterKeys;
    places: ChunkPlaces;
  }) {
    const { access, credential, keys, places } = options;
    this.credential = credential;
    this.keys = keys;
    this.#access = access;
    this.#places = places;
    this.#source = new BlockSource({ access, credential, keys, index: places.index, cacheBytes: NODE_CACHE_BYTES });
    this.#trees = new TreeCheck({ source: this.#source, places });
  }

  static async open(
    access: RepositoryAccess,
    writer: { readonly credential: string; readonly keys: WriterKeys },
    run: Run,
  ): Promise<WriterCheck> {
    return new WriterCheck({ access, ...writer, places: await ChunkPlaces.open(access, writer.credential, run) });
  }

  /** Notes which packs a base or a segment needs. Before the first pack is checked. */
  need(packs: readonly string[]): void {
    for (const pack of packs) this.#places.numberOf(pack);
  }

  get packCount(): number {
    return this.#places.packCount;
  }

  packKey(number: number): string {
    return this.#places.packKey(number);
  }

  /** @throws REPOSITORY_DAMAGED; then `fail` it */
  openPack(number: number, run: Run): Promise<PackDirectory> {
    const { credential, keys } = this;
    return openPackDirectory(this.#access, { key: this.packKey(number), credential, idKey: keys.idKey }, run);
  }

  /** The pack can't be opened. */
  fail(number: number): void {
    this.#damaged.set(number, { key: this.packKey(number), isOpen: false });
  }

  /** Takes a pack's chunks as its directory has them; `data`: what the check of its data said, where that was made. */
  async take(
    number: number,
    { directory, data }: { readonly directory: PackDirectory; readonly data?: PackCheck | undefined },
    run: Run,
  ): Promise<void> {
    const badChunks = data?.badChunks ?? [];
    const isGood = directory.isNamed && badChunks.length === 0 && data?.message === undefined;
    // What was in a pack in whose place another one is nobody can tell.
    if (!isGood) this.#damaged.set(number, { key: directory.key, isOpen: directory.isNamed });
    else if (data !== undefined) (this.#proven ??= new PackSet(this.packCount)).add(number);
    for (const chunk of badChunks) {
      if (this.#badChunks.size >= BAD_CHUNKS_KEPT) break;
      this.#badChunks.set(toHex(chunkId(directory.chunks, chunk)), directory.key);
    }
    await this.#places.add(directory, badChunks, run);
  }

  packSet(ids: readonly string[]): PackSet {
    const packs = new PackSet(this.packCount);
    for (const pack of ids) packs.add(this.#places.numberOf(pack));
    return packs;
  }

  tree(tree: TreeToCheck, run: Run): Promise<TreeReport> {
    return this.#trees.tree(tree, run);
  }

  /** A content of an entry of that name, which is in no tree. */
  content(
    content: NodeContent,
    name: Uint8Array,
    checked: Pick<TreeToCheck, 'packs' | 'onProblem'>,
    run: Run,
  ): Promise<void> {
    return this.#trees.content(content, name, checked, run);
  }

  /** Of a base whose tree is whole. */
  reader(root: BaseRoot): BaseReader {
    return new RepositoryBaseReader({ source: this.#source, root, extract: extractInPlace });
  }

  /** Whether every byte of these packs was read and found good. */
  isProven(packs: PackSet): boolean {
    return this.#proven !== undefined && packs.isWithin(this.#proven);
  }

  /** Those of the packs that are damaged. */
  *damagedOf(packs: PackSet): Generator<DamagedPack> {
    for (const [number, pack] of this.#damaged) if (packs.has(number)) yield pack;
  }

  /** The damaged pack that has the chunk of a problem, if that is known. */
  packOf({ id, pack }: TreeProblem): string | undefined {
    return pack ?? this.#badChunks.get(toHex(id));
  }

  get chunkCount(): number {
    return this.#places.index.statistics.records;
  }

  assertWhole(): void {
    this.#places.assertWhole();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
    await this.#places[Symbol.asyncDispose]();
  }
}
