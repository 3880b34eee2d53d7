import { fromHex, toHex } from '../core/bytes.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import { createSeededRandom } from '../flow/random.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { countingStore } from '../objects/wrappers/counting.ts';
import type { CountingStore } from '../objects/wrappers/counting.ts';
import { boxPair, sha256 } from '../repository/format/crypto.ts';
import { packKey } from '../repository/format/names.ts';
import { BLOCK_SEAL_BYTES, PACK_HEADER_BYTES, packEnd, packHeader, sealBlockInto } from '../repository/format/pack.ts';
import type { DirectoryBlock, PackSecret } from '../repository/format/pack.ts';
import type { ChunkIndex } from '../repository/index/chunk-index.ts';
import type { OpenDirectory } from '../repository/index/pack-reader.ts';
import { publishIndex } from '../repository/index/publish.ts';
import type { PublishReport } from '../repository/index/publish.ts';
import { syncIndex } from '../repository/index/sync.ts';
import type { SyncReport } from '../repository/index/sync.ts';
import { idOf, testRun } from './chunk-index-fixture.ts';
import { MemoryObjectStore } from './memory-object-store.ts';

const CHUNKS_PER_BLOCK = 2;

/** A repository of one writer in memory, as far as its index goes: real packs, whose chunks are names. */
export class IndexRepository {
  readonly memory: MemoryObjectStore;
  readonly objects: CountingStore;
  readonly credential = 'c'.repeat(32);
  readonly #repository = fromHex('d'.repeat(32));
  readonly #idKey = idOf('id key');
  readonly #random = createSeededRandom('repository').bytes;
  readonly #contentKey = boxPair(idOf('content')).publicKey;

  constructor(
    memory: MemoryObjectStore = new MemoryObjectStore({ clock: createVirtualClock(0) }),
    store: ObjectStore = memory,
  ) {
    this.memory = memory;
    this.objects = countingStore(store);
  }

  /** The same repository through another store. */
  over(wrap: (store: ObjectStore) => ObjectStore): IndexRepository {
    return new IndexRepository(this.memory, wrap(this.memory));
  }

  /** Stores a pack, and adds it to the index where one is given. Returns its key. */
  async putPack(chunks: readonly string[], index?: ChunkIndex): Promise<string> {
    const owner = { repository: this.#repository, writer: fromHex(this.credential) };
    const secret: PackSecret = { owner, salt: this.#random(16), key: this.#random(32) };
    const parts = [packHeader(secret, this.#contentKey, this.#random(32))];
    const blocks: DirectoryBlock[] = [];
    for (let at = 0; at < chunks.length; at += CHUNKS_PER_BLOCK) {
      const names = chunks.slice(at, at + CHUNKS_PER_BLOCK);
      const payload = Buffer.concat([Buffer.alloc(5), ...names.map((name) => Buffer.from(name))]);
      const sealed = new Uint8Array(payload.byteLength + BLOCK_SEAL_BYTES);
      sealBlockInto(secret, blocks.length, payload, sealed);
      parts.push(sealed);
      blocks.push({
        sealedBytes: sealed.byteLength,
        chunks: names.map((name) => ({ kind: 'content', id: idOf(name), sizeBytes: Buffer.byteLength(name) })),
      });
    }
    parts.push(packEnd(secret, this.#idKey, blocks));
    const packId = sha256(...parts);
    const key = packKey(this.credential, packId);
    await this.objects.create(key, parts, testRun);
    if (index !== undefined) addBlocks(index, packId, blocks);
    return key;
  }

  sync(index: ChunkIndex, openDirectory?: OpenDirectory): Promise<SyncReport> {
    const { objects, credential } = this;
    const repository = this.#repository;
    return syncIndex({ index, objects, credential, repository, idKey: this.#idKey, openDirectory }, testRun);
  }

  /** As one session. */
  publish(index: ChunkIndex): Promise<PublishReport> {
    const { objects, credential } = this;
    const session = toHex(this.#random(16));
    return publishIndex({ index, objects, credential, session, idKey: this.#idKey, random: this.#random }, testRun);
  }

  keys(folder: 'packs' | 'index'): readonly string[] {
    return this.memory.keys().filter((key) => key.startsWith(`${folder}/`));
  }
}

function addBlocks(index: ChunkIndex, packId: Uint8Array, blocks: readonly DirectoryBlock[]): void {
  const pack = index.addPack(packId);
  let blockOffset = PACK_HEADER_BYTES;
  for (const { sealedBytes, chunks } of blocks) {
    let offset = 0;
    for (const { id, sizeBytes } of chunks) {
      index.add(id, { pack, blockOffset, blockBytes: sealedBytes, offset, sizeBytes });
      offset += sizeBytes;
    }
    blockOffset += sealedBytes;
  }
}
