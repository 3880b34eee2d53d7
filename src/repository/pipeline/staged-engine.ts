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
  readonly #active = new Set<Promise<void>>();
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
    const onStart = (working: Promise<void>): void => this.#track(working);
    yield* storeAll({ sources, sink, stages, slots, shape, nextOrder, onStart }, this.#enter(run));
  }

  async compress(
    chunks: readonly Uint8Array[],
    run: Run,
  ): Promise<{ readonly plain: Uint8Array; readonly plainBytes: number }> {
    const compressed = this.#options.compress(chunks, this.#enter(run));
    this.#track(
      compressed.then(
        () => undefined,
        () => undefined,
      ),
    );
    return await compressed;
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

  /** A run that ends when the engine does. */
  #enter({ signal }: Run): Run {
    assume(this.#closed === undefined, 'a pipeline is not used after it was disposed');
    return { signal: AbortSignal.any([signal, this.#disposal.signal]) };
  }

  #track(working: Promise<void>): void {
    this.#active.add(working);
    void working.then(() => this.#active.delete(working));
  }
}
