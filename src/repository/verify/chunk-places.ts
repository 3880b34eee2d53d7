import { fromHex } from '../../core/bytes.ts';
import { TidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import type { RepositoryAccess } from '../access.ts';
import { chunkId } from '../format/chunk-table.ts';
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
  async add({ key, chunks }: PackDirectory, badChunks: readonly number[], run: Run): Promise<void> {
    const bad = new Set(badChunks);
    const pack = this.index.addPack(fromHex(key.slice(key.lastIndexOf('/') + 1)));
    let blockOffset = PACK_HEADER_BYTES;
    let chunk = 0;
    for (const [block, blockBytes] of chunks.sealedBytes.entries()) {
      let offset = 0;
      for (const end = chunk + (chunks.chunkCounts[block] ?? 0); chunk < end; chunk++) {
        const sizeBytes = chunks.sizes[chunk] ?? 0;
        const kind = chunks.kinds[chunk] === 1 ? 'node' : 'content';
        if (!bad.has(chunk)) {
          this.index.add(keyOf(chunkId(chunks, chunk), kind), { pack, blockOffset, blockBytes, offset, sizeBytes });
        }
        offset += sizeBytes;
      }
      blockOffset += blockBytes;
    }
    await this.index.flush(run);
  }

  /** The places of a chunk in these packs. */
  find(id: Uint8Array, kind: ChunkKind, packs: PackSet): readonly ChunkPlace[] {
    const key = keyOf(id, kind);
    const first = this.index.find(key);
    if (first === undefined) return [];
    return packs.has(first.pack) ? [first] : this.findAll(id, kind, packs);
  }

  /** As `find`, which stops at the first. */
  findAll(id: Uint8Array, kind: ChunkKind, packs: PackSet): readonly ChunkPlace[] {
    return this.index.places(keyOf(id, kind)).filter(({ pack }) => packs.has(pack));
  }

  /** @throws FAILED when the temporary folder lost something, which is no damage of the repository */
  assertWhole(): void {
    if (this.index.damaged) {
      throw new TidemarkError('FAILED', 'temporary files of this check were damaged while it ran');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.index[Symbol.asyncDispose]();
  }
}

/** Content and nodes share an index that has no kinds: a node is kept under the complement of its id. */
function keyOf(id: Uint8Array, kind: ChunkKind): Uint8Array {
  return kind === 'node' ? id.map((byte) => byte ^ 0xff) : id;
}
