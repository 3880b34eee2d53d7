import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LogLevel, Run, Runtime } from '../core/run.ts';
import { createSystemClock } from '../flow/clock.ts';
import { createSeededRandom } from '../flow/random.ts';
import { openChunkIndex } from '../repository/index/chunk-index.ts';
import type { ChunkIndex, ChunkPlace } from '../repository/index/chunk-index.ts';

export const testRun: Run = { signal: new AbortController().signal };

/** 32 bytes that look random and are the same for the same text. */
export function idOf(text: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(text).digest());
}

/** A place that depends on nothing but the number, within what the format allows. */
export function placeOf(pack: number, number: number): ChunkPlace {
  return {
    pack,
    blockOffset: 104 + number * 100,
    blockBytes: 21 + (number % 70),
    offset: number * 3,
    sizeBytes: number + 1,
  };
}

/** A folder for local indexes, removed at the end, and what is logged by those who use it. */
export class IndexFixture implements AsyncDisposable {
  readonly folder: string;
  readonly logged: string[] = [];
  readonly runtime: Runtime;

  private constructor(base: string) {
    this.folder = join(base, 'index');
    const log = (_level: LogLevel, message: string): number => this.logged.push(message);
    const random = createSeededRandom(base).bytes;
    this.runtime = { clock: createSystemClock(), random, logger: { log }, temporaryFolder: base };
  }

  static async create(): Promise<IndexFixture> {
    return new IndexFixture(await mkdtemp(join(tmpdir(), 'tidemark-index-')));
  }

  async open(options: { readonly memoryRecords?: number; readonly identity?: string } = {}): Promise<ChunkIndex> {
    const { memoryRecords, identity = 'test' } = options;
    return await openChunkIndex({ folder: this.folder, identity, runtime: this.runtime, memoryRecords }, testRun);
  }

  async openTemporary(): Promise<ChunkIndex> {
    return await openChunkIndex({ identity: 'test', runtime: this.runtime }, testRun);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.runtime.temporaryFolder, { recursive: true, force: true });
  }
}

/** Adds a pack with chunks of these names. */
export function addPack(index: ChunkIndex, pack: string, chunks: readonly string[]): number {
  const number = index.addPack(idOf(pack));
  for (const [at, chunk] of chunks.entries()) index.add(idOf(chunk), placeOf(number, at));
  return number;
}
