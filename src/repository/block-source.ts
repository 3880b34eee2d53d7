import { createHmac } from 'node:crypto';
import { TidemarkError } from '../core/errors.ts';
import { equalBytes, fromHex, toHex } from '../core/bytes.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from './access.ts';
import { must } from '../core/must.ts';
import { damaged, isDamage } from './format/byte-cursor.ts';
import { packKey } from './format/names.ts';
import { openDirectory, directorySize, openPackHeader, PACK_HEADER_BYTES, PACK_TRAILER_BYTES, unsealBlock } from './format/pack.ts';
import type { ChunkKind, DirectoryBlock, PackOwner, PackSecret } from './format/pack.ts';
import type { ChunkIndex, ChunkPlace } from './index/chunk-index.ts';
import type { WriterKeys } from './keys/keyring.ts';
import { openBlock } from './pipeline/block.ts';

const SECRETS_KEPT = 4096;
const DIRECTORIES_KEPT = 64;

/** What is known of a pack once its header has been opened: its key, and where each of its blocks lies. */
export type OpenedPack = {
  readonly key: string;
  readonly secret: PackSecret;
  /** Offsets of the blocks, ascending: a block's number is its place in this list. */
  readonly blockOffsets: readonly number[];
  readonly blocks: readonly DirectoryBlock[];
};

export type BlockSourceOptions = {
  readonly access: RepositoryAccess;
  readonly credential: string;
  readonly keys: WriterKeys;
  readonly index: ChunkIndex;
};

/**
 * Finds, fetches and opens the chunks of one writer. Every chunk that it hands out has had its id recomputed; a chunk that is damaged in
 * one place is taken from another where there is one.
 */
export class BlockSource {
  readonly keys: WriterKeys;
  readonly index: ChunkIndex;
  readonly #access: RepositoryAccess;
  readonly #credential: string;
  readonly #owner: PackOwner;
  readonly #packs = new Map<number, Promise<OpenedPack>>();
  readonly #blocks = new Map<string, Promise<Uint8Array>>();
  readonly #cacheBytes: number;
  #cachedBytes = 0;

  constructor(options: BlockSourceOptions & { readonly cacheBytes?: number | undefined }) {
    this.keys = options.keys;
    this.index = options.index;
    this.#access = options.access;
    this.#credential = options.credential;
    this.#owner = { repository: fromHex(options.access.header.id), writer: fromHex(options.credential) };
    this.#cacheBytes = options.cacheBytes ?? 64 * 1024 * 1024;
  }

  /** The chunk's bytes: a view into a block that is kept for a while. @throws REPOSITORY_DAMAGED when no place yields it */
  async chunk(id: Uint8Array, kind: ChunkKind, run: Run): Promise<Uint8Array> {
    let failure: unknown;
    for (const place of placesOf(this.index, id)) {
      try {
        const block = await this.#block(place, run);
        const bytes = block.subarray(place.offset, place.offset + place.sizeBytes);
        if (bytes.byteLength === place.sizeBytes && this.isChunk(id, kind, bytes)) return bytes;
        failure ??= damaged(this.#packKey(place.pack), `chunk ${toHex(id)} in it is another one`);
      } catch (error) {
        if (!isDamage(error)) throw error;
        failure ??= error;
      }
    }
    throw failure ?? damaged('the repository', `chunk ${toHex(id)} is missing`);
  }

  /** Whether `bytes` are the chunk of that id: the only proof that its writer wrote it. */
  isChunk(id: Uint8Array, kind: ChunkKind, bytes: Uint8Array): boolean {
    const key = kind === 'node' ? this.keys.nodeKey : this.keys.chunkKey;
    return equalBytes(createHmac('sha256', key).update(bytes).digest(), id);
  }

  /** Opens the header and the directory of a pack; kept for a while. */
  pack(number: number, run: Run): Promise<OpenedPack> {
    const known = this.#packs.get(number);
    if (known !== undefined) return known;
    if (this.#packs.size >= Math.min(SECRETS_KEPT, DIRECTORIES_KEPT)) this.#packs.delete(must(this.#packs.keys().next().value, 'an oldest pack'));
    const opening = this.#openPack(this.#packKey(number), run);
    this.#packs.set(number, opening);
    opening.catch(() => this.#packs.delete(number));
    return opening;
  }

  /** The sealed bytes of a block. @throws REPOSITORY_DAMAGED when the pack ends before it does */
  async sealed(place: ChunkPlace, into: Uint8Array, run: Run): Promise<void> {
    const key = this.#packKey(place.pack);
    const read = await this.#access.objects.read(key, place.blockOffset, into, run);
    if (read !== into.byteLength) throw damaged(key, 'it ends too early');
  }

  /** The number of a block within its pack. @throws REPOSITORY_DAMAGED when none begins there */
  static blockNumber(pack: OpenedPack, place: ChunkPlace): number {
    const number = pack.blockOffsets.indexOf(place.blockOffset);
    if (number < 0 || pack.blocks[number]?.sealedBytes !== place.blockBytes) throw damaged(pack.key, 'the index knows a block that it does not have');
    return number;
  }

  #packKey(number: number): string {
    return packKey(this.#credential, this.index.packId(number));
  }

  async #openPack(key: string, run: Run): Promise<OpenedPack> {
    const { objects, keyring } = this.#access;
    const content = keyring?.content;
    if (content === undefined) throw new TidemarkError('KEY_MISSING', 'reading takes a passphrase with the role of a reader');
    const info = await objects.stat(key, run);
    if (info === undefined) throw damaged(key, 'it is gone');
    const exactly = async (offset: number, sizeBytes: number): Promise<Uint8Array> => {
      const bytes = new Uint8Array(sizeBytes);
      if (offset < 0 || (await objects.read(key, offset, bytes, run)) !== sizeBytes) throw damaged(key, 'it is too short');
      return bytes;
    };
    const header = await exactly(0, PACK_HEADER_BYTES);
    const trailer = await exactly(info.sizeBytes - PACK_TRAILER_BYTES, PACK_TRAILER_BYTES);
    const directoryBytes = directorySize(trailer, info.sizeBytes, key);
    const sealed = await exactly(info.sizeBytes - PACK_TRAILER_BYTES - directoryBytes, directoryBytes);
    const owner = this.#owner;
    const blocks = openDirectory({ sealed, header, owner, idKey: this.keys.idKey, what: key });
    const secret = openPackHeader({ header, owner, content: content.pair, what: key });
    const blockOffsets: number[] = [];
    let offset = PACK_HEADER_BYTES;
    for (const block of blocks) {
      blockOffsets.push(offset);
      offset += block.sealedBytes;
    }
    return { key, secret, blockOffsets, blocks };
  }

  #block(place: ChunkPlace, run: Run): Promise<Uint8Array> {
    const cacheKey = `${place.pack}/${place.blockOffset}`;
    const known = this.#blocks.get(cacheKey);
    if (known !== undefined) {
      this.#blocks.delete(cacheKey);
      this.#blocks.set(cacheKey, known);
      return known;
    }
    const opening = this.#openBlock(place, run);
    this.#blocks.set(cacheKey, opening);
    opening.then(
      (block) => this.#shrink(block.byteLength),
      () => this.#blocks.delete(cacheKey),
    );
    return opening;
  }

  async #openBlock(place: ChunkPlace, run: Run): Promise<Uint8Array> {
    const pack = await this.pack(place.pack, run);
    const number = BlockSource.blockNumber(pack, place);
    const sealed = new Uint8Array(place.blockBytes);
    await this.sealed(place, sealed, run);
    return openBlock(unsealBlock({ secret: pack.secret, number, sealed, what: pack.key }));
  }

  #shrink(addedBytes: number): void {
    this.#cachedBytes += addedBytes;
    for (const [key, opening] of this.#blocks) {
      if (this.#cachedBytes <= this.#cacheBytes) return;
      this.#blocks.delete(key);
      void opening.then((block) => (this.#cachedBytes -= block.byteLength));
      // The oldest one is being counted out; the next call goes on if that was not enough.
      return;
    }
  }
}


function placesOf(index: ChunkIndex, id: Uint8Array): readonly ChunkPlace[] {
  const place = index.find(id);
  return place === undefined ? [] : [place];
}
