import { must } from '../../core/must.ts';
import type { StoredContent } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import type { ExtractContext } from '../base-reader.ts';
import { createLimiter } from '../../flow/limiter.ts';
import { BlockSource } from '../block-source.ts';
import type { ChunkPart } from '../format/node.ts';
import { SlotPool } from '../pipeline/slots.ts';
import { createWorkerPool } from '../pipeline/worker-pool.ts';
import type { WorkerPool } from '../pipeline/worker-pool.ts';
import type { FilledFiles, SealedBlock } from './fill-files.ts';
import type { FillJob, FillLimits, JobRead } from './fill-plan.ts';
import { MadeFiles } from './made-files.ts';
import type {
  BeginRequest,
  BegunFile,
  ReusedFiles,
  ReusedStretch,
  ReuseRequest,
  StretchRequest,
} from './reuse-files.ts';

/** One is read into while another one is opened. */
const SLOTS_PER_WORKER = 2;
/** Of packs: a base may lie in thousands of small ones, and each has to be waited for. */
const READS_AT_ONCE = 8;

export type CrewOptions = {
  readonly context: ExtractContext;
  readonly workers: number;
  readonly limits: FillLimits;
};

type Reuse = Pick<ReuseRequest, 'files' | 'fileOf' | 'sizes' | 'ids'>;
type Begin = Omit<BeginRequest, 'canClone'>;
type Stretch = Omit<StretchRequest, 'chunkKey'>;

/**
 * The worker threads of one extraction and what they share. Whatever fails for another reason than a file of its own ends all that is under way:
 * everything rejects with that error then.
 */
export class Crew implements AsyncDisposable {
  readonly context: ExtractContext;
  readonly source: BlockSource;
  readonly run: Run;
  readonly limits: FillLimits;
  readonly made = new MadeFiles();
  readonly #abort = new AbortController();
  readonly #pool: WorkerPool;
  readonly #reads = createLimiter(READS_AT_ONCE);
  readonly #slots: SlotPool;
  #canClone = true;
  #order = 0;

  constructor({ context, workers, limits }: CrewOptions, run: Run) {
    this.context = context;
    this.source = context.source;
    this.limits = limits;
    this.run = { signal: AbortSignal.any([run.signal, this.#abort.signal]) };
    const memory = Array.from({ length: workers * SLOTS_PER_WORKER }, () => new SharedArrayBuffer(limits.slotBytes));
    this.#pool = createWorkerPool({ count: workers, setup: { read: { slots: memory } } });
    this.#slots = new SlotPool(memory.length, (index) => new Uint8Array(must(memory[index], 'every slot has memory')));
  }

  /** Jobs under way go on to their end, and no other one begins. */
  end(reason: unknown): void {
    this.#abort.abort(reason);
  }

  /** Nothing is written to any target afterwards. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.end(new Error('the extraction was closed'));
    await this.#pool[Symbol.asyncDispose]();
  }

  /** Waits for all. The first that fails ends the others. */
  async settle(tasks: readonly Promise<void>[]): Promise<void> {
    await Promise.all(
      tasks.map((task) =>
        task.catch((error: unknown) => {
          this.end(error);
        }),
      ),
    );
    this.run.signal.throwIfAborted();
  }

  chunksOf(content: StoredContent): AsyncIterable<readonly ChunkPart[]> {
    return this.context.chunksOf(content, this.run);
  }

  async reuse(request: Reuse): Promise<ReusedFiles> {
    const { cloneLeastBytes } = this.limits;
    const full = { ...request, chunkKey: this.source.keys.chunkKey, canClone: this.#canClone, cloneLeastBytes };
    const reused = await this.#pool.call('reuse', { request: full, order: this.#order++ }, this.run);
    this.#canClone &&= reused.canClone;
    return reused;
  }

  async begin(request: Begin): Promise<BegunFile> {
    const full = { ...request, canClone: this.#canClone };
    const begun = await this.#pool.call('begin', { request: full, order: this.#order++ }, this.run);
    this.#canClone &&= begun.canClone;
    return begun;
  }

  reuseStretch(request: Stretch): Promise<ReusedStretch> {
    const full = { ...request, chunkKey: this.source.keys.chunkKey };
    return this.#pool.call('reuseStretch', { request: full, order: this.#order++ }, this.run);
  }

  /** @throws REPOSITORY_DAMAGED when not all of the job's blocks can be fetched: nothing is written then */
  async fill<Tag>(job: FillJob<Tag>): Promise<FilledFiles> {
    const slot = await this.#slots.acquire(this.run);
    try {
      const blocks = await this.#fetch(job, slot.bytes);
      const request = { slot: slot.index, fill: { ...job.request, chunkKey: this.source.keys.chunkKey, blocks } };
      const filled = await this.#pool.call('fill', { request, order: this.#order++ }, this.run);
      if (filled.failures.length === 0) this.context.onBytes(job.request.sizes.reduce((sum, size) => sum + size, 0));
      return filled;
    } finally {
      this.#slots.release(slot);
    }
  }

  /** Reads the job's blocks into the slot, several packs at once; neighbours in one pack with one call. Nothing writes into it afterwards. */
  async #fetch<Tag>({ reads }: FillJob<Tag>, into: Uint8Array): Promise<readonly SealedBlock[]> {
    const read = (one: JobRead): Promise<readonly SealedBlock[]> => {
      return this.#reads.within(() => this.#read(one, into), this.run);
    };
    const settled = await Promise.allSettled(reads.map(read));
    return settled.flatMap((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
  }

  async #read({ first, at, sizeBytes, blocks }: JobRead, into: Uint8Array): Promise<readonly SealedBlock[]> {
    const pack = await this.source.pack(first.pack, this.run);
    await this.source.sealed({ ...first, blockBytes: sizeBytes }, into.subarray(at, at + sizeBytes), this.run);
    return blocks.map(({ place, at: offset }) => {
      const number = BlockSource.blockNumber(pack, place);
      return { secret: pack.secret, number, what: pack.key, offset, sealedBytes: place.blockBytes };
    });
  }
}
