import { unlinkSync } from 'node:fs';
import { systemCode } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { FileResult, FileTarget, StoredContent } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import type { Extractor } from '../base-reader.ts';
import { BlockSource } from '../block-source.ts';
import { isDamage } from '../format/byte-cursor.ts';
import type { ChunkPart } from '../format/node.ts';
import { SlotPool } from '../pipeline/slots.ts';
import { unpackError } from '../pipeline/thread-error.ts';
import { createWorkerPool } from '../pipeline/worker-pool.ts';
import type { WorkerPool } from '../pipeline/worker-pool.ts';
import { planFill, SLOT_BYTES } from './fill-plan.ts';
import type { FillJob, WantedFile } from './fill-plan.ts';
import { extractOne } from './in-place.ts';
import { TargetFile } from './target-file.ts';

/** One is read into while another one is opened. */
const SLOTS_PER_WORKER = 2;
/** A window is planned as a whole, so that its blocks are fetched once; larger ones take more memory. */
const WINDOW_FILES = 1024;
const WINDOW_BYTES = 64 * 1024 * 1024;
const WINDOWS_AHEAD = 2;
/** A job of candidates is at most so much. */
const REUSE_FILES = 256;
const REUSE_BYTES = 32 * 1024 * 1024;
const ID_BYTES = 32;

type ChunksOf = (content: StoredContent, run: Run) => AsyncIterable<readonly ChunkPart[]>;

/** Fills files on worker threads: this one plans and fetches, they open, prove and write. */
export function extractOnWorkers(workers: number): Extractor {
  return async function* <Tag>(source: BlockSource, targets: AsyncIterable<readonly FileTarget<Tag>[]>, chunksOf: ChunksOf, run: Run) {
    await using extraction = new Extraction<Tag>({ source, chunksOf, workers }, run);
    yield* extraction.all(targets);
  };
}

class Extraction<Tag> implements AsyncDisposable {
  readonly #source: BlockSource;
  readonly #chunksOf: ChunksOf;
  readonly #abort = new AbortController();
  readonly #run: Run;
  readonly #pool: WorkerPool;
  readonly #slots: SlotPool;
  readonly #windows: Promise<readonly FileResult<Tag>[]>[] = [];
  #tryClone = true;
  #order = 0;

  constructor(options: { source: BlockSource; chunksOf: ChunksOf; workers: number }, run: Run) {
    this.#source = options.source;
    this.#chunksOf = options.chunksOf;
    this.#run = { signal: AbortSignal.any([run.signal, this.#abort.signal]) };
    const memory = Array.from({ length: options.workers * SLOTS_PER_WORKER }, () => new SharedArrayBuffer(SLOT_BYTES));
    this.#pool = createWorkerPool({ count: options.workers, setup: { read: { slots: memory } } });
    this.#slots = new SlotPool(memory.length, (index) => new Uint8Array(must(memory[index], 'every slot has memory')));
  }

  async *all(targets: AsyncIterable<readonly FileTarget<Tag>[]>): AsyncGenerator<readonly FileResult<Tag>[]> {
    for await (const window of this.#gather(targets)) {
      const filling = this.#window(window);
      // It is awaited in its turn; until then a failure is nobody's.
      filling.catch(() => undefined);
      this.#windows.push(filling);
      if (this.#windows.length >= WINDOWS_AHEAD) yield await must(this.#windows.shift(), 'a window');
    }
    while (this.#windows.length > 0) yield await must(this.#windows.shift(), 'a window');
  }

  /** Ends what is under way. Nothing is written to any target afterwards. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('the extraction was closed'));
    await Promise.allSettled(this.#windows);
    await this.#pool[Symbol.asyncDispose]();
  }

  async *#gather(targets: AsyncIterable<readonly FileTarget<Tag>[]>): AsyncGenerator<readonly FileTarget<Tag>[]> {
    let window: FileTarget<Tag>[] = [];
    let bytes = 0;
    for await (const batch of targets) {
      for (const target of batch) {
        window.push(target);
        bytes += target.entry.content?.sizeBytes ?? 0;
        if (window.length < WINDOW_FILES && bytes < WINDOW_BYTES) continue;
        yield window;
        window = [];
        bytes = 0;
      }
    }
    if (window.length > 0) yield window;
  }

  async #window(targets: readonly FileTarget<Tag>[]): Promise<readonly FileResult<Tag>[]> {
    const wanted: WantedFile<Tag>[] = [];
    for (const target of targets) wanted.push({ target, parts: await this.#parts(target) });
    const results: FileResult<Tag>[] = [];
    const rest = await this.#reuse(wanted, results);
    await this.#fill(rest, results);
    return results;
  }

  async #parts({ entry }: FileTarget<Tag>): Promise<readonly ChunkPart[]> {
    if (entry.content === undefined) return [];
    const parts: ChunkPart[] = [];
    for await (const batch of this.#chunksOf(entry.content, this.#run)) parts.push(...batch);
    return parts;
  }

  /** Makes what it can from candidates; returns the others. */
  async #reuse(wanted: readonly WantedFile<Tag>[], results: FileResult<Tag>[]): Promise<readonly WantedFile<Tag>[]> {
    const withCandidate = wanted.filter(({ target }) => target.candidate !== undefined);
    const rest = wanted.filter(({ target }) => target.candidate === undefined);
    const jobs = groupsOf(withCandidate).map(async (group) => {
      const { reused, failures, cloned } = await this.#pool.call('reuse', { request: this.#reuseRequest(group), order: this.#order++ }, this.#run);
      this.#tryClone &&= cloned || !group.some(({ target }) => target.fileSizeBytes >= 1024 * 1024);
      const failed = new Map(failures.map(({ file, error }) => [file, unpackError(error)]));
      for (const [index, file] of group.entries()) {
        const { tag } = file.target;
        const sizeBytes = file.target.entry.content?.sizeBytes ?? 0;
        const error = failed.get(index);
        if (error !== undefined) results.push({ tag, sizeBytes: 0, reused: false, error });
        else if (reused[index] === 1) results.push({ tag, sizeBytes, reused: true });
        else rest.push(file);
      }
    });
    await settle(jobs);
    return rest;
  }

  #reuseRequest(group: readonly WantedFile<Tag>[]) {
    const parts = group.flatMap((file) => file.parts);
    return {
      chunkKey: this.#source.keys.chunkKey,
      files: group.map(({ target }) => ({ shape: shapeOf(target), candidate: must(target.candidate, 'a candidate') })),
      fileOf: Uint32Array.from(group.flatMap((file, index) => file.parts.map(() => index))),
      sizes: Uint32Array.from(parts, ({ sizeBytes }) => sizeBytes),
      ids: idsOf(parts),
      tryClone: this.#tryClone,
    };
  }

  async #fill(wanted: readonly WantedFile<Tag>[], results: FileResult<Tag>[]): Promise<void> {
    const plan = planFill(wanted, this.#source.index);
    const failed = new Map<WantedFile<Tag>, unknown>();
    for (const file of plan.split) {
      // Its parts are written by several jobs, in any order, so it must be there before them.
      attempt(failed, file, () => TargetFile.create(shapeOf(file.target))[Symbol.dispose]());
    }
    await settle(plan.jobs.map((job) => this.#job(job, failed)));
    for (const file of plan.split) if (!failed.has(file)) attempt(failed, file, () => finishSplit(file));
    for (const file of wanted) {
      const error = failed.get(file);
      const isHopeless = error !== undefined && !isDamage(error);
      if (isHopeless) results.push({ tag: file.target.tag, sizeBytes: 0, reused: false, error });
      else if (error === undefined && !plan.lost.has(file)) results.push({ tag: file.target.tag, sizeBytes: file.target.entry.content?.sizeBytes ?? 0, reused: false });
      else results.push(await this.#again(file.target));
    }
  }

  /** The slow way, which tries every place of every chunk. */
  async #again(target: FileTarget<Tag>): Promise<FileResult<Tag>> {
    removeIfThere(target.path);
    return extractOne(this.#source, target, this.#chunksOf, this.#run);
  }

  async #job(job: FillJob<Tag>, failed: Map<WantedFile<Tag>, unknown>): Promise<void> {
    const slot = await this.#slots.acquire(this.#run);
    try {
      const blocks = await this.#fetch(job, slot.bytes);
      const request = { slot: slot.index, fill: { ...job.request, chunkKey: this.#source.keys.chunkKey, blocks } };
      const { failures } = await this.#pool.call('fill', { request, order: this.#order++ }, this.#run);
      for (const { file, error } of failures) failed.set(must(job.files[file], 'a failure names a file'), unpackError(error));
    } catch (error) {
      if (!isDamage(error) || this.#run.signal.aborted) throw error;
      for (const file of job.files) failed.set(file, error);
    } finally {
      this.#slots.release(slot);
    }
  }

  /** Reads the job's blocks into the slot; neighbours in one pack with one call. */
  async #fetch(job: FillJob<Tag>, into: Uint8Array) {
    const blocks = [];
    for (const run of job.reads) {
      await this.#source.sealed({ ...run.first, blockBytes: run.sizeBytes }, into.subarray(run.at, run.at + run.sizeBytes), this.#run);
    }
    for (const { place, at } of job.blocks) {
      const pack = await this.#source.pack(place.pack, this.#run);
      const number = BlockSource.blockNumber(pack, place);
      blocks.push({ secret: pack.secret, number, what: pack.key, offset: at, sealedBytes: place.blockBytes });
    }
    return blocks;
  }
}

function shapeOf<Tag>({ path, fileSizeBytes, extents, finish }: FileTarget<Tag>) {
  return { path, fileSizeBytes, extents, finish };
}

function idsOf(parts: readonly ChunkPart[]): Uint8Array {
  const ids = new Uint8Array(parts.length * ID_BYTES);
  for (const [index, { id }] of parts.entries()) ids.set(id, index * ID_BYTES);
  return ids;
}

function groupsOf<Tag>(files: readonly WantedFile<Tag>[]): readonly (readonly WantedFile<Tag>[])[] {
  const groups: WantedFile<Tag>[][] = [];
  let bytes = 0;
  for (const file of files) {
    const group = groups.at(-1);
    if (group === undefined || group.length >= REUSE_FILES || bytes >= REUSE_BYTES) {
      groups.push([file]);
      bytes = 0;
    } else {
      group.push(file);
    }
    bytes += file.target.fileSizeBytes;
  }
  return groups;
}

function finishSplit<Tag>({ target }: WantedFile<Tag>): void {
  using file = TargetFile.reopen(shapeOf(target), target.entry.content?.sizeBytes ?? 0);
  file.finish();
}

function attempt<Key>(failed: Map<Key, unknown>, key: Key, work: () => void): void {
  try {
    work();
  } catch (error) {
    failed.set(key, error);
  }
}

function removeIfThere(path: Uint8Array): void {
  try {
    unlinkSync(Buffer.from(path));
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

/** Waits for all, then throws what the first one failed with. */
async function settle(jobs: readonly Promise<void>[]): Promise<void> {
  const settled = await Promise.allSettled(jobs);
  for (const result of settled) if (result.status === 'rejected') throw result.reason;
}
