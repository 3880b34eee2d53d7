import { createHmac } from 'node:crypto';
import { must } from '../core/must.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import type { ChunkKind } from '../repository/format/pack.ts';
import { packKey } from '../repository/format/names.ts';
import { openChunkIndex } from '../repository/index/chunk-index.ts';
import type { ChunkIndex } from '../repository/index/chunk-index.ts';
import { PackWriter } from '../repository/pack-writer.ts';
import { encodeBlock } from '../repository/pipeline/block.ts';
import type { RepositoryFixture } from './repository-fixture.ts';

export type StoredChunks = { readonly pack: string; readonly ids: readonly Uint8Array[] };

/** Packs of one writer that hold what a test wants, past everything that decides about it, and an index of them. */
export class ChunkPacks implements AsyncDisposable {
  readonly index: ChunkIndex;
  readonly access: RepositoryAccess;
  readonly #fixture: RepositoryFixture;

  private constructor(fixture: RepositoryFixture, access: RepositoryAccess, index: ChunkIndex) {
    this.#fixture = fixture;
    this.access = access;
    this.index = index;
  }

  static async create(fixture: RepositoryFixture): Promise<ChunkPacks> {
    const access = await fixture.writerAccess('chunks');
    const index = await openChunkIndex({ identity: 'chunks', runtime: fixture.runtime }, fixture.run);
    return new ChunkPacks(fixture, access, index);
  }

  /** One pack with a block for each list of chunks. They are in `index` when it resolves. `idOf`: what it says of each, true or not. */
  async store(
    kind: ChunkKind,
    blocks: readonly (readonly Uint8Array[])[],
    idOf = (bytes: Uint8Array): Uint8Array => this.idOf(kind, bytes),
  ): Promise<StoredChunks> {
    const { access, index } = this;
    const credential = must(access.writer, 'a writer');
    const { objects, header } = access;
    const { random } = this.#fixture.runtime;
    const writer = new PackWriter({ objects, header, credential, index, random, kind, uploads: 1 });
    const ids: Uint8Array[] = [];
    for (const chunks of blocks) {
      const refs = chunks.map((bytes) => ({ id: idOf(bytes), sizeBytes: bytes.byteLength }));
      await writer.add({ ...encodeBlock(chunks), chunks: refs }, this.#fixture.run);
      ids.push(...refs.map(({ id }) => id));
    }
    await writer.flush(this.#fixture.run);
    const number = must(writer.written.at(-1), 'a pack that was written');
    return { pack: packKey(credential.id, index.packId(number)), ids };
  }

  idOf(kind: ChunkKind, bytes: Uint8Array): Uint8Array {
    const { keys } = must(this.access.writer, 'a writer');
    return createHmac('sha256', kind === 'node' ? keys.nodeKey : keys.chunkKey)
      .update(bytes)
      .digest();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.index[Symbol.asyncDispose]();
  }
}
