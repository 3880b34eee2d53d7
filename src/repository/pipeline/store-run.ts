import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import { createChannel } from '../../flow/channel.ts';
import type { Channel } from '../../flow/channel.ts';
import type { BlockSink, ChunkRef, PlainBlock, StoreOutcome, StoreSource } from './engine.ts';
import type { Identified, WindowCut } from './piece.ts';
import { Planner } from './planner.ts';
import type { SourceProgress, Task } from './planner.ts';
import { pull } from './pull.ts';
import { groupChunks } from './shape.ts';
import type { PipelineShape } from './shape.ts';
import type { Slot, SlotPool } from './slots.ts';
import type { Stages } from './stages.ts';
import { unpackError } from './thread-error.ts';

export type StoreOptions<Tag> = {
  readonly sources: AsyncIterable<readonly StoreSource<Tag>[]>;
  readonly sink: BlockSink;
  readonly stages: Stages;
  readonly slots: SlotPool;
  readonly shape: PipelineShape;
  /** A number above all that it returned before. */
  readonly nextOrder: () => number;
  /**
   * Gets what settles when nothing of the run is under way, whether its consumer came to the end or not. Never
   * rejects.
   */
  readonly onStart: (working: Promise<void>) => void;
};

/** The run waits for its consumer when so many tasks have outcomes that were not taken. */
const MAX_TASKS = 24;

/**
 * Runs ahead of the consumer as far as slots and `MAX_TASKS` allow. A task gives its slot back when its blocks are
 * with the sink, whether its outcomes have been taken or not, so that a consumer may start another run in between.
 * When it has ended, in whatever way, no job, no call of the sink and no read is under way.
 */
export async function* storeAll<Tag>(
  options: StoreOptions<Tag>,
  run: Run,
): AsyncGenerator<readonly StoreOutcome<Tag>[], void> {
  run.signal.throwIfAborted();
  const store = new StoreRun(options, run);
  const working = store.work();
  options.onStart(working);
  try {
    yield* store.outcomes();
  } finally {
    store.stop(new Error('the outcomes are no longer wanted'));
    await working;
  }
}

/** Whose turn it is with the sink. Both promises only ever resolve: whoever waits looks at the signal then. */
type Turn<Tag> = {
  readonly claimed: PromiseWithResolvers<void>;
  readonly stored: PromiseWithResolvers<readonly SourceProgress<Tag>[]>;
};

/** Called with the cut of a task's last piece, and with undefined when there will be none. The first call counts. */
type OnCut = (cut: WindowCut | undefined) => void;

type Started<Tag> = {
  readonly task: Task<Tag>;
  readonly slot: Slot | undefined;
  readonly order: number;
  readonly previous: Turn<Tag> | undefined;
  readonly turn: Turn<Tag>;
  readonly onCut: OnCut;
};

/** Chunks of a slot that are to be stored, in the order in which they lie there. */
type FreshChunks = { readonly refs: ChunkRef[]; readonly offsets: number[] };

const ID_BYTES = 32;

class StoreRun<Tag> {
  readonly #options: StoreOptions<Tag>;
  readonly #own = new AbortController();
  readonly #run: Run;
  readonly #turns: Channel<Turn<Tag>>;
  readonly #working = new Set<Promise<void>>();
  #last: Turn<Tag> | undefined;

  constructor(options: StoreOptions<Tag>, run: Run) {
    this.#options = options;
    this.#run = { signal: AbortSignal.any([run.signal, this.#own.signal]) };
    this.#turns = createChannel({ sizeOf: () => 1, highBytes: MAX_TASKS, lowBytes: MAX_TASKS - 1, batchBytes: 1 });
  }

  /** Ends everything early. The first reason counts. */
  stop(reason: unknown): void {
    this.#own.abort(reason);
  }

  async *outcomes(): AsyncGenerator<readonly StoreOutcome<Tag>[], void> {
    for await (const turns of this.#turns.receive(this.#run)) {
      for (const turn of turns) {
        const finished = await turn.stored.promise;
        this.#run.signal.throwIfAborted();
        if (finished.length > 0) yield finished.map(outcomeOf);
      }
    }
  }

  /** Settles when everything has been stored, or when all that was under way at a stop has ended. Never rejects. */
  async work(): Promise<void> {
    await this.#plan();
    await Promise.all(this.#working);
  }

  /** Pulls the sources and starts tasks. Never rejects: what goes wrong stops the run. */
  async #plan(): Promise<void> {
    const { shape, slots, sources } = this.#options;
    const planner = new Planner<Tag>({
      shape,
      slots,
      launch: (task) => this.#launch(task, () => undefined),
      launchWindow: (task, onCut) => this.#launchWindow(task, onCut),
    });
    try {
      for await (const batch of pull(sources, this.#run)) {
        for (const source of batch) {
          const waiting = planner.add(source, this.#run);
          if (waiting !== undefined) await waiting;
        }
      }
      await planner.flush();
      this.#turns.close();
    } catch (error) {
      this.stop(error);
    } finally {
      planner.abandon();
    }
  }

  async #launchWindow(task: Task<Tag>, onCut: (cut: WindowCut) => void): Promise<WindowCut | undefined> {
    const cut = Promise.withResolvers<WindowCut | undefined>();
    await this.#launch(task, (window) => {
      if (window !== undefined) onCut(window);
      cut.resolve(window);
    });
    const window = await cut.promise;
    this.#run.signal.throwIfAborted();
    return window;
  }

  async #launch(task: Task<Tag>, onCut: OnCut): Promise<void> {
    const turn: Turn<Tag> = { claimed: Promise.withResolvers(), stored: Promise.withResolvers() };
    let slot = task.slot;
    try {
      await this.#turns.send(turn, this.#run);
      if (task.pieces.length > 0) slot ??= await this.#options.slots.acquire(this.#run);
    } catch (error) {
      if (slot !== undefined) this.#options.slots.release(slot);
      turn.stored.resolve([]);
      throw error;
    }
    const order = this.#options.nextOrder();
    const working = this.#work({ task, slot, order, previous: this.#last, turn, onCut });
    this.#last = turn;
    this.#working.add(working);
    void working.then(() => this.#working.delete(working));
  }

  /** Takes a task through its stages. Never rejects: what goes wrong stops the run. */
  async #work({ task, slot, order, previous, turn, onCut }: Started<Tag>): Promise<void> {
    const { stages, slots, sink } = this.#options;
    let held = slot;
    const release = (): void => {
      if (held !== undefined) slots.release(held);
      held = undefined;
    };
    try {
      const pieces = task.pieces.map(({ piece }) => piece);
      const identified = held && (await stages.identify({ slot: held, order, pieces, onCut }, this.#run));
      onCut(undefined);
      await this.#turnOf(previous?.claimed);
      const fresh = identified && this.#claim(task, identified);
      turn.claimed.resolve();
      const blocks = held && fresh ? await this.#compress(held, order, fresh) : [];
      if (blocks.length === 0) release();
      await this.#turnOf(previous?.stored);
      for (const block of blocks) await sink.block(block, this.#run);
      turn.stored.resolve(task.finished);
    } catch (error) {
      this.stop(error);
    } finally {
      release();
      onCut(undefined);
      turn.claimed.resolve();
      turn.stored.resolve([]);
    }
  }

  async #turnOf(before: { readonly promise: Promise<unknown> } | undefined): Promise<void> {
    await before?.promise;
    this.#run.signal.throwIfAborted();
  }

  /** Adds what was found to the sources, and asks which chunks are to be stored. */
  #claim(task: Task<Tag>, identified: Identified): FreshChunks {
    for (const failure of identified.failures) {
      const { source } = must(task.pieces[failure.piece], 'a failure names a piece of the task');
      source.failure ??= { cause: unpackError(failure.error) };
    }
    const fresh: FreshChunks = { refs: [], offsets: [] };
    let chunk = 0;
    for (const [piece, { source }] of task.pieces.entries()) {
      const end = chunk + must(identified.chunkCounts[piece], 'every piece has a count');
      for (; chunk < end; chunk += 1) {
        const id = identified.ids.subarray(chunk * ID_BYTES, (chunk + 1) * ID_BYTES);
        const ref: ChunkRef = { id, sizeBytes: must(identified.sizes[chunk], 'every chunk has a size') };
        source.chunks.push(ref);
        source.sizeBytes += ref.sizeBytes;
        if (!this.#options.sink.claim(id, ref.sizeBytes)) continue;
        fresh.refs.push(ref);
        fresh.offsets.push(must(identified.offsets[chunk], 'every chunk has a place'));
      }
    }
    return fresh;
  }

  async #compress(slot: Slot, order: number, { refs, offsets }: FreshChunks): Promise<readonly PlainBlock[]> {
    if (refs.length === 0) return [];
    const sizes = refs.map((ref) => ref.sizeBytes);
    const counts = groupChunks(sizes, this.#options.shape);
    const groups = {
      counts: Uint32Array.from(counts),
      offsets: Uint32Array.from(offsets),
      sizes: Uint32Array.from(sizes),
    };
    const places = await this.#options.stages.compress({ slot, order, groups }, this.#run);
    let first = 0;
    return counts.map((count, block) => {
      const chunks = refs.slice(first, (first += count));
      const offset = must(places.offsets[block], 'every block has a place');
      const plain = slot.bytes.subarray(offset, offset + must(places.sizes[block], 'every block has a size'));
      return { plain, plainBytes: chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), chunks };
    });
  }
}

function outcomeOf<Tag>({ tag, chunks, sizeBytes, failure }: SourceProgress<Tag>): StoreOutcome<Tag> {
  return failure === undefined ? { tag, chunks, sizeBytes } : { tag, failure: failure.cause, readBytes: sizeBytes };
}
