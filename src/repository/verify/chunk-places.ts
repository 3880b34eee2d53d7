import { fromHex, toHex } from '../../core/bytes.ts';
import { TidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import type { RepositoryAccess } from '../access.ts';
import { packKey } from '../format/names.ts';
import { PACK_HEADER_BYTES } from '../format/pack.ts';
import type { ChunkKind } from '../format/pack.ts';
import { openChunkIndex } from '../index/chunk-index.ts';
import type { ChunkIndex, ChunkPlace } from '../index/chunk-index.ts';
import type { PackDirectory } from '../pack-directory.ts';
import type { PackSet } from './pack-set.ts';

/**
 * Where the chunks of one writer are by the word of directories that were read in this run, but for chunks that were found damaged. In a
 * temporary folder, so that memory does not grow with them; nothing comes from what this host has kept.
 */
export class ChunkPlaces implements AsyncDisposable {
  /** Its ids are those of `keyOf`. */
  readonly index: ChunkIndex;
  readonly #credential: string;

  private constructor(index: ChunkIndex, credential: string) {
    this.index = index;
    this.#credential = credential;
  }

  static async open({ header, runtime }: RepositoryAccess, credential: string, run: Run): Promise<ChunkPlaces> {
    const identity = `verify ${header.id} ${credential}`;
    return new ChunkPlaces(await openChunkIndex({ identity, runtime }, run), credential);
  }

  /** The number of a pack, which it keeps from now on. */
  numberOf(packId: string): number {
    return this.index.packs.mention(fromHex(packId));
  }

  /** Numbers go from 0 to below this. */
  get packCount(): number {
    return this.index.packCount;
  }

  packKey(number: number): string {
    return packKey(this.#credential, this.index.packId(number));
  }

  /** Takes the chunks of a pack, but for the damaged ones. */
  async add(directory: PackDirectory, badChunks: readonly Uint8Array[], run: Run): Promise<void> {
    const bad = new Set(badChunks.map(toHex));
    const pack = this.index.addPack(fromHex(directory.key.slice(directory.key.lastIndexOf('/') + 1)));
    let blockOffset = PACK_HEADER_BYTES;
    for (const { sealedBytes: blockBytes, chunks } of directory.blocks) {
      let offset = 0;
      for (const { id, kind, sizeBytes } of chunks) {
        if (bad.size === 0 || !bad.has(toHex(id))) {
          this.index.add(keyOf(id, kind), { pack, blockOffset, blockBytes, offset, sizeBytes });
        }
        offset += sizeBytes;
      }
      blockOffset += blockBytes;
    }
    await this.index.flush(run);
  }

  /** The places of a chunk in these packs. */
  *find(id: Uint8Array, kind: ChunkKind, packs: PackSet): Generator<ChunkPlace> {
    const key = keyOf(id, kind);
    const first = this.index.find(key);
    if (first === undefined) return;
    if (packs.has(first.pack)) yield first;
    for (const place of this.index.places(key)) {
      const isFirst =
        place.pack === first.pack && place.blockOffset === first.blockOffset && place.offset === first.offset;
      if (!isFirst && packs.has(place.pack)) yield place;
    }
  }

  /** @throws FAILED when the temporary folder lost something, which is no damage of the repository */
  assertWhole(): void {
    if (this.index.damaged)
      throw new TidemarkError('FAILED', 'temporary files of this check were damaged while it ran');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.index[Symbol.asyncDispose]();
  }
}

/** Content and nodes share an index that has no kinds: a node is kept under the complement of its id. */
function keyOf(id: Uint8Array, kind: ChunkKind): Uint8Array {
  return kind === 'node' ? id.map((byte) => byte ^ 0xff) : id;
}
