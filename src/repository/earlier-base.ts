import { BugError } from '../core/must.ts';
import type { Position } from '../core/position.ts';
import type { EarlierBase } from '../core/recorder.ts';
import type { StoredContent, StoredEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import { RepositoryBaseReader } from './base-reader.ts';
import type { BaseRoot } from './base-reader.ts';
import type { BlockSource } from './block-source.ts';
import type { ChunkPart } from './format/node.ts';

/** A base of one's own that the next one is made over. Dispose ends what reading it took. */
export class StoredEarlierBase implements EarlierBase, AsyncDisposable {
  readonly cut: Position;
  readonly #source: BlockSource;
  readonly #reader: RepositoryBaseReader;

  constructor(options: { readonly source: BlockSource; readonly root: BaseRoot; readonly cut: Position }) {
    const { source, root, cut } = options;
    this.cut = cut;
    this.#source = source;
    const extract = (): never => {
      throw new BugError('nothing is restored from an earlier base');
    };
    this.#reader = new RepositoryBaseReader({ source, root, extract });
  }

  find(name: Uint8Array, run: Run): Promise<StoredEntry | undefined> {
    return this.#reader.find(name, run);
  }

  read(content: StoredContent, run: Run): AsyncIterable<Uint8Array> {
    return this.#reader.read(content, run);
  }

  /** The chunks of a content, in order. @throws REPOSITORY_DAMAGED, OBJECT_NOT_FOUND */
  async chunksOf(content: StoredContent, run: Run): Promise<readonly ChunkPart[]> {
    return (await Array.fromAsync(this.#reader.chunksOf(content, run))).flat();
  }

  /** The bytes of a chunk: a view into what others have as well. @throws REPOSITORY_DAMAGED, OBJECT_NOT_FOUND */
  chunk(part: ChunkPart, run: Run): Promise<Uint8Array> {
    return this.#source.content(part, run);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }
}
