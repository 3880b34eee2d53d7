import { fromHex } from '../../core/bytes.ts';
import type { Run } from '../../core/run.ts';
import { createLimiter } from '../../flow/limiter.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import { damaged } from '../format/byte-cursor.ts';
import {
  BLOCK_SEAL_BYTES,
  directorySize,
  MAX_BLOCK_BYTES,
  MAX_PACK_BYTES,
  MAX_PACK_CHUNKS,
  openDirectory as openPackDirectory,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
} from '../format/pack.ts';
import type { DirectoryBlock, PackOwner } from '../format/pack.ts';

const TAIL_BYTES = 64 * 1024;
const MAX_DIRECTORY_BYTES = 32 * 1024 * 1024;
const BLOCK_HEADER_BYTES = 5;

type SealedDirectory = {
  readonly key: string;
  readonly header: Uint8Array;
  readonly sealed: Uint8Array;
  readonly blocksEnd: number;
};

/** Opens a sealed directory. @throws REPOSITORY_DAMAGED */
export type OpenDirectory = (options: {
  readonly sealed: Uint8Array;
  readonly header: Uint8Array;
  readonly owner: PackOwner;
  readonly idKey: Uint8Array;
  readonly what: string;
}) => readonly DirectoryBlock[];

/** A chunk of a pack, and where in the pack it is. */
export type PackChunk = {
  readonly id: Uint8Array;
  readonly blockOffset: number;
  readonly blockBytes: number;
  readonly offset: number;
  readonly sizeBytes: number;
};

export type PackReaderOptions = {
  readonly objects: ObjectStore;
  readonly repository: Uint8Array;
  readonly credential: string;
  readonly idKey: Uint8Array;
  readonly openDirectory?: OpenDirectory | undefined;
};

/** Reads the directories of packs: their beginning and their end, not what is between. */
export class PackReader {
  readonly #options: PackReaderOptions;
  readonly #owner: PackOwner;
  /** A directory that does not fit into the first read may be large: one at a time. */
  readonly #large = createLimiter(1);

  constructor(options: PackReaderOptions) {
    this.#options = options;
    this.#owner = { repository: options.repository, writer: fromHex(options.credential) };
  }

  /** The chunks of the pack, each with a place inside of it. @throws REPOSITORY_DAMAGED, OBJECT_NOT_FOUND */
  async read(key: string, packBytes: number, run: Run): Promise<readonly PackChunk[]> {
    if (packBytes < PACK_HEADER_BYTES + PACK_TRAILER_BYTES) throw damaged(key, 'it is too short');
    if (packBytes > MAX_PACK_BYTES) throw damaged(key, 'it is larger than a pack can be');
    const tailBytes = Math.min(packBytes, TAIL_BYTES);
    const tail = await this.#readExactly(key, packBytes - tailBytes, tailBytes, run);
    const trailerAt = tailBytes - PACK_TRAILER_BYTES;
    const directoryBytes = directorySize(tail.subarray(trailerAt), packBytes, key);
    if (directoryBytes > MAX_DIRECTORY_BYTES) throw damaged(key, 'its directory is larger than one can be');
    const header =
      tailBytes === packBytes
        ? tail.subarray(0, PACK_HEADER_BYTES)
        : await this.#readExactly(key, 0, PACK_HEADER_BYTES, run);
    const blocksEnd = packBytes - PACK_TRAILER_BYTES - directoryBytes;
    if (directoryBytes <= trailerAt) {
      return this.#open({ key, header, sealed: tail.subarray(trailerAt - directoryBytes, trailerAt), blocksEnd });
    }
    using _permit = await this.#large.acquire(run);
    return this.#open({ key, header, sealed: await this.#readExactly(key, blocksEnd, directoryBytes, run), blocksEnd });
  }

  async #readExactly(key: string, offset: number, sizeBytes: number, run: Run): Promise<Uint8Array> {
    const bytes = new Uint8Array(sizeBytes);
    if ((await this.#options.objects.read(key, offset, bytes, run)) !== sizeBytes) {
      throw damaged(key, 'it is shorter than it was listed');
    }
    return bytes;
  }

  #open({ key, header, sealed, blocksEnd }: SealedDirectory): readonly PackChunk[] {
    const { idKey, openDirectory = openPackDirectory } = this.#options;
    const blocks = openDirectory({ sealed, header, idKey, owner: this.#owner, what: key });
    const chunks: PackChunk[] = [];
    let blockOffset = PACK_HEADER_BYTES;
    for (const { sealedBytes: blockBytes, chunks: inBlock } of blocks) {
      if (blockBytes < BLOCK_HEADER_BYTES + BLOCK_SEAL_BYTES) {
        throw damaged(key, 'its directory has a block that is too short');
      }
      let offset = 0;
      for (const { id, sizeBytes } of inBlock) {
        chunks.push({ id, blockOffset, blockBytes, offset, sizeBytes });
        offset += sizeBytes;
      }
      if (offset > MAX_BLOCK_BYTES) throw damaged(key, 'its directory has a block that is too large');
      if (chunks.length > MAX_PACK_CHUNKS) throw damaged(key, 'its directory has more chunks than one can');
      blockOffset += blockBytes;
    }
    if (blockOffset !== blocksEnd) throw damaged(key, 'its directory does not fit its blocks');
    return chunks;
  }
}
