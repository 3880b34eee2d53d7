import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { must } from '../core/must.ts';
import type { FileResult, FileTarget, StoredContent } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import type { Extractor } from '../repository/base-reader.ts';
import { BlockSource } from '../repository/block-source.ts';
import type { FillLimits } from '../repository/extract/fill-plan.ts';
import { extractInPlace } from '../repository/extract/in-place.ts';
import { extractOnWorkers } from '../repository/extract/on-workers.ts';
import { damaged } from '../repository/format/byte-cursor.ts';
import type { ChunkPart } from '../repository/format/node.ts';
import { openChunkIndex } from '../repository/index/chunk-index.ts';
import { ChunkPacks } from './chunk-packs.ts';
import { bytesOf } from './pipeline-fixture.ts';
import { RepositoryFixture } from './repository-fixture.ts';
import { temporaryFolder } from './tree/temporary-folder.ts';
import type { TemporaryFolder } from './tree/temporary-folder.ts';

/** A thousandth of what a restore has, so that small files are split and come in stretches. */
export const SMALL_LIMITS: FillLimits = {
  slotBytes: 24 * 1024,
  jobBytes: 16 * 1024,
  gapBytes: 1024,
  splitBytes: 12 * 1024,
  windowBytes: 64 * 1024,
  reuseBytes: 16 * 1024,
  cloneLeastBytes: 4 * 1024,
};

export const CHUNK_BYTES = 2048;
/** A content with more chunks names them in lists. */
const LISTED_PARTS = 7;

export type TestContent = StoredContent & { readonly bytes: Uint8Array; readonly parts: readonly ChunkPart[] };
export type TestTarget = FileTarget<string>;
export type TargetOptions = Partial<Pick<TestTarget, 'fileSizeBytes' | 'extents' | 'candidate' | 'finish'>>;
export type EngineName = 'in place' | 'on workers';

export const FINISH = { mode: 0o640, mtimeNs: 1_700_000_000_123_456_789n, atimeNs: 1_600_000_000_987_654_321n };

/** Contents in packs of a repository in memory, and a folder to extract them to. */
export class ExtractFixture implements AsyncDisposable {
  readonly repository: RepositoryFixture;
  readonly packs: ChunkPacks;
  readonly folder: TemporaryFolder;
  /** Contents whose list of chunks is damaged. */
  readonly lostLists = new Set<StoredContent>();
  /** What extractions have reported, step by step. */
  readonly told: number[] = [];
  readonly #indexes = new AsyncDisposableStack();

  private constructor(repository: RepositoryFixture, packs: ChunkPacks, folder: TemporaryFolder) {
    this.repository = repository;
    this.packs = packs;
    this.folder = folder;
  }

  static async create(): Promise<ExtractFixture> {
    const repository = await RepositoryFixture.create();
    return new ExtractFixture(repository, await ChunkPacks.create(repository), temporaryFolder('tidemark-extract'));
  }

  /** Stores contents in one pack, `blockChunks` chunks a block, in this order. */
  async store(contents: readonly Uint8Array[], blockChunks = 3): Promise<readonly TestContent[]> {
    const cut = contents.map((bytes) => chunksOf(bytes));
    const chunks = cut.flat();
    const blocks = chunks.flatMap((_, at) => (at % blockChunks === 0 ? [chunks.slice(at, at + blockChunks)] : []));
    if (blocks.length > 0) await this.packs.store('content', blocks);
    return contents.map((bytes, index) => ({
      sizeBytes: bytes.byteLength,
      bytes,
      parts: must(cut[index], 'as many').map((chunk) => ({
        id: this.packs.idOf('content', chunk),
        sizeBytes: chunk.byteLength,
      })),
    }));
  }

  async storeOne(bytes: Uint8Array): Promise<TestContent> {
    return must((await this.store([bytes]))[0], 'a content');
  }

  /** Flips a bit of a block that holds the chunk, in the `copy`th place of it. */
  damage({ parts }: TestContent, chunk: number, copy = 0): void {
    const { index } = this.packs;
    const place = must(index.places(must(parts[chunk], 'a chunk').id)[copy], 'a place');
    const suffix = Buffer.from(index.packId(place.pack)).toString('hex');
    const key = must(
      this.repository.memory.keys().find((name) => name.endsWith(suffix)),
      'a pack',
    );
    const bytes = Buffer.from(must(this.repository.memory.get(key), 'a pack'));
    bytes.writeUInt8(bytes.readUInt8(place.blockOffset + 9) ^ 1, place.blockOffset + 9);
    this.repository.memory.put(key, bytes);
  }

  target(name: string, content: TestContent | undefined, options: TargetOptions = {}): TestTarget {
    const entry = { name: Buffer.from(name), attributes: new Uint8Array(0), content };
    const path = Buffer.from(this.folder.at(name));
    return { tag: name, entry, path, fileSizeBytes: content?.sizeBytes ?? 0, finish: FINISH, ...options };
  }

  /** A source as a process would open it, over another object store or with an index that knows nothing. */
  async source(options: { readonly objects?: ObjectStore; readonly emptyIndex?: boolean } = {}): Promise<BlockSource> {
    const { access, index } = this.packs;
    const { keys, id } = must(access.writer, 'a writer');
    const { runtime, run } = this.repository;
    return new BlockSource({
      access: options.objects === undefined ? access : { ...access, objects: options.objects },
      credential: id,
      keys,
      index:
        options.emptyIndex === true
          ? this.#indexes.use(await openChunkIndex({ identity: 'empty', runtime }, run))
          : index,
    });
  }

  extract(
    engine: EngineName,
    source: BlockSource,
    targets: AsyncIterable<readonly TestTarget[]>,
    run: Run = this.repository.run,
  ): AsyncIterable<readonly FileResult<string>[]> {
    const extractor: Extractor = engine === 'in place' ? extractInPlace : extractOnWorkers(2, SMALL_LIMITS);
    const onBytes = (bytes: number): void => {
      this.told.push(bytes);
    };
    const chunksOf = (content: StoredContent) => this.#partsOf(content);
    return extractor(
      { source, chunksOf, chunksAtHand: (content) => this.#partsAtHand(content), onBytes },
      targets,
      run,
    );
  }

  /** The results by name. */
  async extractAll(
    engine: EngineName,
    targets: readonly TestTarget[],
    options: { readonly source?: BlockSource; readonly run?: Run } = {},
  ): Promise<ReadonlyMap<string, FileResult<string>>> {
    const source = options.source ?? (await this.source());
    const results = new Map<string, FileResult<string>>();
    for await (const batch of this.extract(engine, source, batchesOf(targets), options.run)) {
      for (const result of batch) results.set(result.tag, result);
    }
    await source[Symbol.asyncDispose]();
    return results;
  }

  /** In batches, as lists come. */
  #partsAtHand(content: StoredContent): readonly ChunkPart[] | undefined {
    const { parts } = content as TestContent;
    return parts.length > LISTED_PARTS || this.lostLists.has(content) ? undefined : parts;
  }

  async *#partsOf(content: StoredContent): AsyncGenerator<readonly ChunkPart[]> {
    if (this.lostLists.has(content)) throw damaged('a list', 'the test says so');
    // `extract` hands on what `target` was given.
    const { parts } = content as TestContent;
    for (let at = 0; at < parts.length; at += LISTED_PARTS) yield parts.slice(at, at + LISTED_PARTS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder[Symbol.asyncDispose]();
    await this.#indexes.disposeAsync();
    await this.packs[Symbol.asyncDispose]();
    await this.repository[Symbol.asyncDispose]();
  }
}

/** What a file with these extents holds in all. */
export function fileBytes({ entry, fileSizeBytes, extents }: TestTarget): Buffer {
  const content = (entry.content as TestContent | undefined)?.bytes ?? new Uint8Array(0);
  if (extents === undefined) return Buffer.from(content);
  const file = Buffer.alloc(fileSizeBytes);
  let at = 0;
  for (const { offset, sizeBytes } of extents) {
    file.set(content.subarray(at, at + sizeBytes), offset);
    at += sizeBytes;
  }
  return file;
}

export async function* batchesOf<Item>(items: readonly Item[], batch = 10): AsyncGenerator<readonly Item[]> {
  for (let at = 0; at < items.length; at += batch) yield items.slice(at, at + batch);
}

/** Bytes that are no other seed's. */
export function contentOf(seed: string, sizeBytes: number): Buffer {
  return bytesOf(`content ${seed}`, sizeBytes, createHash('sha256').update(seed).digest().readUInt8() % 2 === 0);
}

export function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

function chunksOf(bytes: Uint8Array): readonly Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) chunks.push(bytes.subarray(at, at + CHUNK_BYTES));
  return chunks;
}
