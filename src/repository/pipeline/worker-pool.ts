import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Transferable } from 'node:worker_threads';
import { TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import { unpackError } from './thread-error.ts';
import type { WorkerCall, WorkerReply } from './worker-call.ts';
import type { OperationName, Operations, WorkerSetup } from './worker-operations.ts';

type RequestOf<Name extends OperationName> = Parameters<Operations[Name]>[0];
type NoteOf<Name extends OperationName> = Parameters<Parameters<Operations[Name]>[1]>[0];
type ResultOf<Name extends OperationName> = ReturnType<Operations[Name]>['value'];

export type Job<Name extends OperationName> = {
  readonly request: RequestOf<Name>;
  /** Of the jobs that wait, the lowest goes first; of equals, the first. */
  readonly order: number;
  readonly transfer?: readonly Transferable[] | undefined;
  readonly onNote?: ((note: NoteOf<Name>) => void) | undefined;
};

export type WorkerPoolOptions = {
  readonly count: number;
  readonly setup: WorkerSetup;
  /** The program of the workers; the one beside this file unless given. */
  readonly program?: URL | undefined;
};

/**
 * Threads that take jobs from one queue. They start when there is work for them, and an idle pool does not keep the
 * process alive.
 */
export interface WorkerPool extends AsyncDisposable {
  /** True once a worker has been started. */
  readonly started: boolean;
  /**
   * Settles when the job no longer runs: one that waits is dropped when the signal aborts, one that runs goes on to
   * its end.
   * @throws what the operation throws; FAILED when a worker has crashed, which ends the pool
   */
  call<Name extends OperationName>(name: Name, job: Job<Name>, run: Run): Promise<ResultOf<Name>>;
}

export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  return new ThreadPool(options);
}

// The compiler does not rewrite file names in URLs, so the extension is taken from this file.
const PROGRAM = new URL(`worker${extname(import.meta.filename)}`, import.meta.url);

/** A second job is at the worker while it does the first, so that it never waits for the owner's thread. */
const JOBS_PER_WORKER = 2;

type PendingJob = {
  readonly call: WorkerCall;
  readonly order: number;
  readonly transfer: readonly Transferable[];
  readonly onNote: (note: unknown) => void;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
};

type Thread = {
  readonly worker: Worker;
  readonly jobs: Map<number, PendingJob>;
};

class ThreadPool implements WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #threads: Thread[] = [];
  #queue: PendingJob[] = [];
  #lastId = 0;
  #broken: Promise<TidemarkError> | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: WorkerPoolOptions) {
    assume(options.count >= 1, 'a pool has a worker');
    this.#options = options;
  }

  get started(): boolean {
    return this.#threads.length > 0;
  }

  async call<Name extends OperationName>(name: Name, job: Job<Name>, { signal }: Run): Promise<ResultOf<Name>> {
    signal.throwIfAborted();
    assume(this.#closed === undefined, 'a pool is not used after it was disposed');
    if (this.#broken !== undefined) throw await this.#broken;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const pending: PendingJob = {
      call: { id: (this.#lastId += 1), name, request: job.request },
      order: job.order,
      transfer: job.transfer ?? [],
      // The worker's notes and results are those of the operation that was called.
      onNote: (job.onNote ?? (() => undefined)) as (note: unknown) => void,
      resolve,
      reject,
    };
    const onAbort = (): void => {
      if (this.#unqueue(pending)) reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#enqueue(pending);
    try {
      return (await promise) as ResultOf<Name>;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#endAll(new Error('the pool of workers was closed'));
    await this.#closed;
  }

  #enqueue(pending: PendingJob): void {
    const place = this.#queue.findIndex(({ order }) => order > pending.order);
    this.#queue.splice(place < 0 ? this.#queue.length : place, 0, pending);
    this.#dispatch();
  }

  #unqueue(pending: PendingJob): boolean {
    const place = this.#queue.indexOf(pending);
    if (place >= 0) this.#queue.splice(place, 1);
    return place >= 0;
  }

  #dispatch(): void {
    for (;;) {
      const [next] = this.#queue;
      const thread = next && this.#freeThread();
      if (next === undefined || thread === undefined) return;
      this.#queue.shift();
      this.#send(thread, next);
    }
  }

  /** The one with the least to do, or a new one rather than one that is busy. */
  #freeThread(): Thread | undefined {
    const [best] = this.#threads.toSorted((left, right) => left.jobs.size - right.jobs.size);
    if (best?.jobs.size === 0) return best;
    if (this.#threads.length < this.#options.count) return this.#start();
    return best !== undefined && best.jobs.size < JOBS_PER_WORKER ? best : undefined;
  }

  #start(): Thread {
    const { setup, program = PROGRAM } = this.#options;
    const worker = new Worker(program, { workerData: setup, name: 'tidemark', resourceLimits: LIMITS });
    const thread: Thread = { worker, jobs: new Map() };
    worker.on('message', (reply: WorkerReply) => this.#receive(thread, reply));
    worker.on('messageerror', (error) => this.#break(error));
    worker.on('error', (error) => this.#break(error));
    worker.on('exit', (code) => this.#break(new Error(`it exited with ${code}`)));
    this.#threads.push(thread);
    return thread;
  }

  #send(thread: Thread, pending: PendingJob): void {
    if (thread.jobs.size === 0) thread.worker.ref();
    thread.jobs.set(pending.call.id, pending);
    thread.worker.postMessage(pending.call, pending.transfer);
  }

  #receive(thread: Thread, reply: WorkerReply): void {
    const pending = thread.jobs.get(reply.id);
    // After a crash its jobs have been settled already.
    if (pending === undefined) return;
    if (reply.kind === 'note') {
      pending.onNote(reply.value);
      return;
    }
    thread.jobs.delete(reply.id);
    if (thread.jobs.size === 0) thread.worker.unref();
    if (reply.kind === 'result') pending.resolve(reply.value);
    else pending.reject(unpackError(reply.error));
    this.#dispatch();
  }

  /** A worker that ended by itself may have left anything half done: no further job is trusted to the pool. */
  #break(cause: unknown): void {
    if (this.#broken !== undefined || this.#closed !== undefined) return;
    const error = new TidemarkError('FAILED', `a worker thread has crashed: ${messageOf(cause)}`, { cause });
    this.#broken = this.#endAll(error).then(() => error);
  }

  /** Jobs are settled when no thread runs any more, so that whoever waits may use their memory again. */
  async #endAll(reason: unknown): Promise<void> {
    const queued = this.#queue;
    this.#queue = [];
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
    const jobs = [...queued, ...this.#threads.flatMap((thread) => [...thread.jobs.values()])];
    for (const { reject } of jobs) reject(reason);
    for (const thread of this.#threads) thread.jobs.clear();
  }
}

/** Workers hold little besides the slots; a small heap keeps garbage from piling up. */
const LIMITS = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 8 };

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
