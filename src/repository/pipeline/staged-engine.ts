import { assume } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import type { BlockSink, PipelineEngine, StoreOutcome, StoreSource } from './engine.ts';
import type { PipelineShape } from './shape.ts';
import type { SlotPool } from './slots.ts';
import type { Stages } from './stages.ts';
import { storeAll } from './store-run.ts';

export type StagedEngineOptions = {
  readonly shape: PipelineShape;
  readonly slots: SlotPool;
  readonly stages: Stages;
  readonly compress: PipelineEngine['compress'];
  /** Ends what the stages run on. Called once, when no job is under way. */
  readonly close: () => Promise<void>;
};

/** An engine over stages, wherever they run: all engines plan, claim and hand over blocks by the same code. */
export function createStagedEngine(options: StagedEngineOptions): PipelineEngine {
  return new StagedEngine(options);
}

class StagedEngine implements PipelineEngine {
  readonly #options: StagedEngineOptions;
  readonly #disposal = new AbortController();
  readonly #active = new Set<Promise<unknown>>();
  #order = 0;
  #closed: Promise<void> | undefined;

  constructor(options: StagedEngineOptions) {
    this.#options = options;
  }

  async *store<Tag>(
    sources: AsyncIterable<readonly StoreSource<Tag>[]>,
    sink: BlockSink,
    run: Run,
  ): AsyncGenerator<readonly StoreOutcome<Tag>[], void> {
    const { shape, slots, stages } = this.#options;
    const nextOrder = (): number => (this.#order += 1);
    using scope = this.#enter(run);
    yield* storeAll({ sources, sink, stages, slots, shape, nextOrder }, scope.run);
  }

  async compress(
    chunks: readonly Uint8Array[],
    run: Run,
  ): Promise<{ readonly plain: Uint8Array; readonly plainBytes: number }> {
    using scope = this.#enter(run);
    return await this.#options.compress(chunks, scope.run);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    this.#disposal.abort(new Error('the pipeline was closed'));
    await Promise.all(this.#active);
    await this.#options.close();
  }

  #enter({ signal }: Run): Disposable & { readonly run: Run } {
    assume(this.#closed === undefined, 'a pipeline is not used after it was disposed');
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#active.add(promise);
    return {
      run: { signal: AbortSignal.any([signal, this.#disposal.signal]) },
      [Symbol.dispose]: () => {
        this.#active.delete(promise);
        resolve();
      },
    };
  }
}
