import { equalBytes, fromHex, toHex } from '../core/bytes.ts';
import { must } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from './access.ts';
import { ByteCache } from './byte-cache.ts';
import { damaged, isDamage } from './format/byte-cursor.ts';
import { packKey } from './format/names.ts';
import type { ChunkPart } from './format/node.ts';
import { MAX_PACK_BYTES, openPackHeader, PACK_HEADER_BYTES, unsealBlock } from './format/pack.ts';
import type { ChunkKind, PackSecret } from './format/pack.ts';
import { openChunkIndex } from './index/chunk-index.ts';
import type { ChunkIndex, ChunkPlace } from './index/chunk-index.ts';
import { syncIndex } from './index/sync.ts';
import type { WriterKeys } from './keys/keyring.ts';
import { openPackDirectory, readerKey } from './pack-directory.ts';
import { openBlock } from './pipeline/block.ts';
import { createIdentify } from './pipeline/identify.ts';
import type { Identify } from './pipeline/identify.ts';

const BLOCK_CACHE_BYTES = 64 * 1024 * 1024;
const PACK_CACHE_BYTES = 4 * 1024 * 1024;
/** What keeping one takes besides its bytes. */
const PACK_BYTES = 512;
const BLOCK_BYTES = 512;
/** A first block up to this size is fetched together with the header of its pack. */
const WITH_HEADER_BYTES = 64 * 1024;
const BAD_BLOCKS_KEPT = 1024;

/** What is known of a pack once it has been opened: its key, and where each of its blocks lies, ascending. A block's number is its place in these. */
type OpenedPack = {
  readonly key: string;
  readonly secret: PackSecret;
  readonly blockOffsets: Uint32Array;
  readonly blockBytes: Uint32Array;
};

type BlockPlace = Pick<ChunkPlace, 'blockOffset' | 'blockBytes'>;

/** Blocks as they lie in their pack: what opens them, and the number of each in it. */
export type FetchedBlocks = { readonly key: string; readonly secret: PackSecret; readonly numbers: readonly number[] };

export type BlockSourceOptions = {
  readonly access: RepositoryAccess;
  readonly credential: string;
  readonly keys: WriterKeys;
  readonly index: ChunkIndex;
  /** Where an index of the packs' own directories is kept: on disk unless given. */
  readonly openIndex?: typeof openChunkIndex | undefined;
};

type Wanted = { readonly id: Uint8Array; readonly kind: ChunkKind };

/** As a `ChunkPlace`, for any index. */
type PackPlace = Omit<ChunkPlace, 'pack'> & { readonly key: string };

/**
 * Finds, fetches and opens the chunks of one writer. Every chunk that it hands out has had its id recomputed. The index is a hint: a chunk that is
 * not whole where the index has it is looked for wherever a pack's own directory has it. Dispose ends what that took.
 */
export class BlockSource implements AsyncDisposable {
  readonly keys: WriterKeys;
  readonly index: ChunkIndex;
  readonly #access: RepositoryAccess;
  readonly #credential: string;
  readonly #openIndex: typeof openChunkIndex;
  readonly #identify: Readonly<Record<ChunkKind, Identify>>;
  readonly #packs = new ByteCache<OpenedPack>({
    limitBytes: PACK_CACHE_BYTES,
    sizeOf: ({ blockOffsets }) => PACK_BYTES + blockOffsets.byteLength * 2,
  });
  readonly #blocks: ByteCache<Uint8Array>;
  /** Blocks that were found damaged are not fetched again for each of their chunks. */
  readonly #badBlocks = new Map<string, unknown>();
  #directories: Promise<ChunkIndex> | undefined;

  constructor(options: BlockSourceOptions & { readonly cacheBytes?: number | undefined }) {
    this.keys = options.keys;
    this.index = options.index;
    this.#access = options.access;
    this.#credential = options.credential;
    this.#openIndex = options.openIndex ?? openChunkIndex;
    const { chunkKey, nodeKey } = options.keys;
    this.#identify = { content: createIdentify(chunkKey), node: createIdentify(nodeKey) };
    const limitBytes = options.cacheBytes ?? BLOCK_CACHE_BYTES;
    this.#blocks = new ByteCache({ limitBytes, sizeOf: (block) => BLOCK_BYTES + block.byteLength });
  }

  /** The chunk's bytes: a view into a block that others have as well. @throws REPOSITORY_DAMAGED when no place yields it */
  async chunk(id: Uint8Array, kind: ChunkKind, run: Run): Promise<Uint8Array> {
    const tried = new Set<string>();
    const failures: unknown[] = [];
    const known = await this.#firstWhole({ id, kind }, { index: this.index, tried, failures }, run);
    if (known !== undefined) return known;
    const index = await this.#openDirectories(run);
    const found = await this.#firstWhole({ id, kind }, { index, tried, failures }, run);
    if (found !== undefined) return found;
    if (failures.length === 0) throw damaged(`chunk ${toHex(id)}`, 'no pack has it');
    const [first] = failures;
    throw first;
  }

  /** A part of a content; as `chunk`. */
  async content({ id, sizeBytes }: ChunkPart, run: Run): Promise<Uint8Array> {
    const bytes = await this.chunk(id, 'content', run);
    if (bytes.byteLength === sizeBytes) return bytes;
    throw damaged(`chunk ${toHex(id)}`, `it has ${bytes.byteLength} bytes instead of ${sizeBytes}`);
  }

  /** The chunk from one of the index's places. @throws REPOSITORY_DAMAGED when it is not whole there */
  async chunkAt(place: ChunkPlace, id: Uint8Array, kind: ChunkKind, run: Run): Promise<Uint8Array> {
    return this.#chunkAt({ ...place, key: this.#packKey(this.index, place.pack) }, { id, kind }, run);
  }

  /** Whether `bytes` are the chunk of that id: the only proof that its writer wrote it. */
  isChunk(id: Uint8Array, kind: ChunkKind, bytes: Uint8Array): boolean {
    return equalBytes(this.#identify[kind](bytes), id);
  }

  /**
   * Fetches blocks that lie one after another in one of the index's packs, gaps between them included, and what opens them.
   * @throws REPOSITORY_DAMAGED when it ends before they do, or has others
   */
  fetch(blocks: readonly ChunkPlace[], into: Uint8Array, run: Run): Promise<FetchedBlocks> {
    const [first] = blocks;
    return this.#fetch(this.#packKey(this.index, must(first, 'a block').pack), blocks, into, run);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const directories = this.#directories;
    this.#directories = undefined;
    await directories?.then(
      (index) => index[Symbol.asyncDispose](),
      // Whoever asked for it has its error; nothing is open.
      () => undefined,
    );
  }

  /** The chunk from the first place that has it whole; what the others failed with is added to `failures`. */
  async #firstWhole(
    wanted: Wanted,
    { index, tried, failures }: { index: ChunkIndex; tried: Set<string>; failures: unknown[] },
    run: Run,
  ): Promise<Uint8Array | undefined> {
    for (const { pack, ...place } of index.places(wanted.id)) {
      const at = { ...place, key: this.#packKey(index, pack) };
      const name = `${blockKey(at)}/${at.offset}/${at.sizeBytes}`;
      if (tried.has(name)) continue;
      tried.add(name);
      try {
        return await this.#chunkAt(at, wanted, run);
      } catch (error) {
        if (!isDamage(error)) throw error;
        failures.push(error);
      }
    }
    return undefined;
  }

  async #chunkAt(place: PackPlace, { id, kind }: Wanted, run: Run): Promise<Uint8Array> {
    const block = await this.#block(place, run);
    const bytes = block.subarray(place.offset, place.offset + place.sizeBytes);
    if (bytes.byteLength === place.sizeBytes && this.isChunk(id, kind, bytes)) return bytes;
    throw damaged(place.key, `chunk ${toHex(id)} in it is another one`);
  }

  #packKey(index: ChunkIndex, number: number): string {
    return packKey(this.#credential, index.packId(number));
  }

  async #fetch(key: string, blocks: readonly BlockPlace[], into: Uint8Array, run: Run): Promise<FetchedBlocks> {
    const { blockOffset } = must(blocks[0], 'a block');
    const isFirst = blocks.length === 1 && blockOffset === PACK_HEADER_BYTES;
    if (isFirst && into.byteLength <= WITH_HEADER_BYTES) return await this.#fetchWithHeader(key, into, run);
    const pack = await this.#packs.get(key, (inner) => this.#openPack(key, inner), run);
    await this.#read(key, blockOffset, into, run);
    return { key, secret: pack.secret, numbers: blocks.map((block) => blockNumber(pack, block)) };
  }

  /** The first block follows on the header, so that it takes one call and no directory: the last base may lie in thousands of packs with one block. */
  async #fetchWithHeader(key: string, into: Uint8Array, run: Run): Promise<FetchedBlocks> {
    const bytes = new Uint8Array(PACK_HEADER_BYTES + into.byteLength);
    await this.#read(key, 0, bytes, run);
    into.set(bytes.subarray(PACK_HEADER_BYTES));
    const owner = { repository: fromHex(this.#access.header.id), writer: fromHex(this.#credential) };
    const header = bytes.subarray(0, PACK_HEADER_BYTES);
    const secret = openPackHeader({ header, owner, content: readerKey(this.#access), what: key });
    return { key, secret, numbers: [0] };
  }

  async #openPack(key: string, run: Run): Promise<OpenedPack> {
    const { idKey } = this.keys;
    const { secret, chunks } = await openPackDirectory(this.#access, { key, credential: this.#credential, idKey }, run);
    const blockBytes = chunks.sealedBytes;
    let end = PACK_HEADER_BYTES;
    const blockOffsets = blockBytes.map((sizeBytes) => (end += sizeBytes) - sizeBytes);
    return { key, secret, blockOffsets, blockBytes };
  }

  async #block(place: PackPlace, run: Run): Promise<Uint8Array> {
    const key = blockKey(place);
    if (this.#badBlocks.has(key)) throw this.#badBlocks.get(key);
    try {
      return await this.#blocks.get(key, (inner) => this.#openBlock(place, inner), run);
    } catch (error) {
      if (isDamage(error) && this.#badBlocks.size < BAD_BLOCKS_KEPT) this.#badBlocks.set(key, error);
      throw error;
    }
  }

  async #openBlock(place: PackPlace, run: Run): Promise<Uint8Array> {
    if (place.blockBytes > MAX_PACK_BYTES) throw damaged(place.key, 'the index knows a block that can’t be');
    const sealed = new Uint8Array(place.blockBytes);
    const { secret, numbers } = await this.#fetch(place.key, [place], sealed, run);
    return openBlock(unsealBlock({ secret, number: must(numbers[0], 'a number'), sealed, what: place.key }));
  }

  async #read(key: string, offset: number, into: Uint8Array, run: Run): Promise<void> {
    const read = await this.#access.objects.read(key, offset, into, run);
    if (read !== into.byteLength) throw damaged(key, 'it ends too early');
  }

  /** An index made of nothing but the directories of this writer's packs, for when the other one leads nowhere. */
  #openDirectories(run: Run): Promise<ChunkIndex> {
    if (this.#directories !== undefined) return this.#directories;
    const opening = this.#readDirectories(run);
    this.#directories = opening;
    // The next one who needs it tries again.
    opening.catch(() => (this.#directories = undefined));
    return opening;
  }

  async #readDirectories(run: Run): Promise<ChunkIndex> {
    const { header, objects, runtime } = this.#access;
    const credential = this.#credential;
    runtime.logger.log('info', 'a chunk is not where the index has it: the directories of all packs are read', {
      writer: credential,
    });
    await using resources = new AsyncDisposableStack();
    const index = resources.use(await this.#openIndex({ identity: `${header.id} ${credential}`, runtime }, run));
    const repository = fromHex(header.id);
    const { idKey } = this.keys;
    await syncIndex({ index, objects, repository, credential, idKey, readsObjects: false }, run);
    resources.move();
    return index;
  }
}

/** The number of a block within its pack. @throws REPOSITORY_DAMAGED when none of that size begins there */
function blockNumber(pack: OpenedPack, place: BlockPlace): number {
  const number = pack.blockOffsets.indexOf(place.blockOffset);
  if (number >= 0 && pack.blockBytes[number] === place.blockBytes) return number;
  throw damaged(pack.key, 'the index knows a block that it does not have');
}

function blockKey({ key, blockOffset, blockBytes }: PackPlace): string {
  return `${key}/${blockOffset}/${blockBytes}`;
}
