import type { LogBlock, LogQueue } from '../archive/log-queue.ts';
import { PlainMemory } from '../archive/plain-memory.ts';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Position } from '../core/position.ts';
import type { Run } from '../core/run.ts';
import { backOffDelayMs } from '../flow/back-off.ts';
import { payloadOf } from '../repository/format/log-payload.ts';
import type { SegmentDraft } from '../repository/journal-writer.ts';
import type { Mark } from '../repository/mark.ts';
import type { Gap } from '../repository/records/journal-body.ts';
import type { RepositoryWriter } from '../repository/writer.ts';
import { mergeJournal } from './merge.ts';

/** What goes into one segment at a time. */
const SEGMENT_BYTES = 8 * 1024 * 1024;
const MERGE_EVERY_MS = 5 * 60_000;
/** Plain bytes that are kept until then. */
const PLAIN_BYTES = 8 * 1024 * 1024;
/** A sweep waits for the sessions that it saw, so that none goes on for ever. */
const SESSION_MS = 60 * 60_000;
/** A mark waits so long for what it covers; then it is partial. */
const MARK_WAIT_MS = 30_000;
/** So many times as long as the last flush took the next one waits, so that a slow repository is not kept busy with small records. */
const REST_FACTOR = 3;
const BACK_OFF = { firstMs: 500, maxMs: 30_000 };

/** A history that is recorded. `durable`: up to where it is in the repository. */
export type JournaledHistory = {
  readonly store: string;
  readonly queue: LogQueue;
  durable: Position;
  /** Everything up to here is in the repository. */
  readonly onDurable: (upTo: Position) => void;
  /** What was received can't be put any more: it has to be observed anew from `durable` on. */
  readonly onLost: (error: TidemarkError) => void;
};

/** What is put of one history. */
type Part = { readonly history: JournaledHistory; readonly blocks: readonly LogBlock[] };

type PendingMark = {
  mark: Mark;
  readonly sinceMs: number;
  readonly done: PromiseWithResolvers<Mark>;
};

export type JournalOptions = {
  readonly clock: { monotonicMs(): number; sleep(delayMs: number, run: Run): Promise<void> };
  readonly random: (sizeBytes: number) => Uint8Array;
  readonly flush: { readonly afterMs: number; readonly sizeBytes: number };
  /** Opens a writing session. */
  readonly openWriter: (run: Run) => Promise<RepositoryWriter>;
  /** Ends it, after everything in it counts. */
  readonly endWriter: (writer: RepositoryWriter, run: Run) => Promise<void>;
  /** The repository can't be written to now; undefined when it can again. */
  readonly onTrouble: (error: TidemarkError | undefined) => void;
};

/**
 * Carries what is received of all histories into the repository, with the marks that it completes: one record at a time, at the latest so long after
 * something came, and nothing while nothing comes. While the repository is away everything waits, and is put once it is back.
 */
export class Journal {
  readonly #options: JournalOptions;
  readonly #histories = new Map<string, JournaledHistory>();
  readonly #gaps: Gap[] = [];
  #marks: PendingMark[] = [];
  #writer: RepositoryWriter | undefined;
  #openedMs = 0;
  #mergedMs = 0;
  #hasPut = false;
  #users = 0;
  #dirtyMs: number | undefined;
  #restMs = 0;
  readonly #plain = new PlainMemory(PLAIN_BYTES);
  #failures = 0;
  #wake = Promise.withResolvers<void>();
  readonly #whenIdle: (() => void)[] = [];

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  add(history: JournaledHistory): void {
    this.#histories.set(history.store, history);
  }

  remove(store: string): void {
    this.#histories.delete(store);
  }

  history(store: string): JournaledHistory | undefined {
    return this.#histories.get(store);
  }

  /** Something came. */
  touch(): void {
    this.#dirtyMs ??= this.#options.clock.monotonicMs();
    this.#awake();
  }

  noteGap(gap: Gap): void {
    this.#gaps.push(gap);
    this.touch();
  }

  /** Resolves with the mark as it was put, complete or partial. @throws when the journal ends before */
  putMark(mark: Mark): Promise<Mark> {
    const done = Promise.withResolvers<Mark>();
    // Who waits for it hears of it; until then nobody does.
    done.promise.catch(() => undefined);
    this.#marks.push({ mark, sinceMs: this.#options.clock.monotonicMs(), done });
    this.#awake();
    return done.promise;
  }

  /** Does work with the session that is open. @throws what opening one fails with */
  async withWriter<T>(work: (writer: RepositoryWriter) => Promise<T>, run: Run): Promise<T> {
    const writer = await this.#open(run);
    this.#users++;
    try {
      return await work(writer);
    } finally {
      this.#users--;
      if (this.#users === 0) for (const idle of this.#whenIdle.splice(0)) idle();
    }
  }

  /** Works until the run aborts; then what has come is put once more, and the session ended, under `last`. */
  async run(run: Run, last: Run): Promise<void> {
    try {
      for (;;) {
        await this.#due(run);
        await this.#attempt(run, last);
      }
    } catch (error) {
      if (!run.signal.aborted) throw error;
    }
    await this.#drain(last);
  }

  async #drain(last: Run): Promise<void> {
    try {
      while (this.#hasSomething) await this.#flush(last);
      await this.#endSession(last);
    } finally {
      for (const { done } of this.#marks.splice(0)) {
        done.reject(new TidemarkError('INTERRUPTED', 'this ended before the mark was complete'));
      }
      await this.#writer?.[Symbol.asyncDispose]();
    }
  }

  get #hasSomething(): boolean {
    const queued = [...this.#histories.values()].some(({ queue }) => queue.sizeBytes > 0);
    return queued || this.#gaps.length > 0 || this.#marks.some((pending) => this.#isCovered(pending.mark));
  }

  /** What is begun is finished under `last`: a record that was cut off would end its session. */
  async #attempt(run: Run, last: Run): Promise<void> {
    try {
      await this.#flush(last);
      await this.#keepUp(last);
      this.#failures = 0;
      this.#options.onTrouble(undefined);
    } catch (error) {
      await this.#close();
      last.signal.throwIfAborted();
      if (!(error instanceof TidemarkError)) throw error;
      this.#options.onTrouble(error);
      if (error.code === 'FENCED') for (const history of this.#histories.values()) history.onLost(error);
      this.#failures++;
      await this.#options.clock.sleep(backOffDelayMs(this.#failures, BACK_OFF, this.#options.random), run);
    }
  }

  /** Resolves when there is something to be done now. */
  async #due(run: Run): Promise<void> {
    for (;;) {
      run.signal.throwIfAborted();
      const waitMs = this.#waitMs();
      if (waitMs <= 0) return;
      this.#wake = Promise.withResolvers<void>();
      const { promise } = this.#wake;
      const stop = new AbortController();
      const signal = AbortSignal.any([run.signal, stop.signal]);
      const slept = this.#options.clock.sleep(waitMs, { signal });
      try {
        await Promise.race([slept, promise]);
      } finally {
        stop.abort();
        slept.catch(() => undefined);
      }
    }
  }

  #waitMs(): number {
    const { clock, flush } = this.#options;
    const nowMs = clock.monotonicMs();
    const queuedBytes = [...this.#histories.values()].reduce((sum, { queue }) => sum + queue.sizeBytes, 0);
    if (queuedBytes >= flush.sizeBytes) return 0;
    if (this.#marks.some(({ mark }) => this.#isCovered(mark))) return 0;
    const waits = [MERGE_EVERY_MS];
    if (this.#dirtyMs !== undefined) waits.push(this.#dirtyMs + Math.max(flush.afterMs, this.#restMs) - nowMs);
    for (const { sinceMs } of this.#marks) waits.push(sinceMs + MARK_WAIT_MS - nowMs);
    if (this.#writer !== undefined && this.#hasPut) waits.push(this.#mergedMs + MERGE_EVERY_MS - nowMs);
    return Math.min(...waits);
  }

  #awake(): void {
    this.#wake.resolve();
  }

  /** Everything that the mark stands on has been received. Where a store is not recorded now it may come still. */
  #isCovered({ positions, bases }: Mark): boolean {
    return Object.entries(positions).every(([store, position]) => {
      const received = this.#histories.get(store)?.queue.received;
      const isReached = received?.lineage === position.lineage && received.order >= position.order;
      return isReached || bases[store] !== undefined;
    });
  }

  async #flush(run: Run): Promise<void> {
    const beganMs = this.#options.clock.monotonicMs();
    this.#dirtyMs = undefined;
    const parts: Part[] = [];
    for (const history of this.#histories.values()) {
      const blocks = await history.queue.first(SEGMENT_BYTES, run);
      if (blocks.length > 0) parts.push({ history, blocks });
    }
    const gaps = [...this.#gaps];
    const marks = this.#readyMarks(parts);
    if (parts.length + gaps.length + marks.length === 0) return;
    const writer = await this.#open(run);
    const segments = parts.map(({ history, blocks }) => segmentOf(writer, history.store, blocks));
    await writer.putJournal({ marks: marks.map(({ mark }) => mark), segments, gaps }, run);
    this.#hasPut = true;
    this.#gaps.splice(0, gaps.length);
    for (const { history, blocks } of parts) {
      await history.queue.drop(blocks.length, run);
      history.durable = must(blocks.at(-1), 'a block that was put').upTo;
      this.#remember(history.store, blocks);
      history.onDurable(history.durable);
      if (history.queue.sizeBytes > 0) this.touch();
    }
    const put = new Set(marks);
    this.#marks = this.#marks.filter((pending) => !put.has(pending));
    for (const { mark, done } of marks) done.resolve(mark);
    this.#restMs = (this.#options.clock.monotonicMs() - beganMs) * REST_FACTOR;
  }

  #remember(history: string, blocks: readonly LogBlock[]): void {
    const { after } = must(blocks[0], 'a block that was put');
    const { upTo } = must(blocks.at(-1), 'a block that was put');
    this.#plain.put({ history, after, upTo }, Buffer.concat(blocks.map(({ pieces }) => pieces)));
  }

  /** Those that are complete with what is put now, and those that have waited for too long, without what they lack. */
  #readyMarks(parts: readonly Part[]): readonly PendingMark[] {
    const upTo = new Map<string, Position>();
    for (const { store, durable } of this.#histories.values()) upTo.set(store, durable);
    for (const { history, blocks } of parts) {
      upTo.set(history.store, must(blocks.at(-1), 'a block to be put').upTo);
    }
    const nowMs = this.#options.clock.monotonicMs();
    return this.#marks.filter((pending) => {
      const { mark, sinceMs } = pending;
      const lacks = Object.entries(mark.positions).filter(([store, position]) => {
        const reached = upTo.get(store);
        const named = mark.bases[store] !== undefined;
        return !named && (reached?.lineage !== position.lineage || reached.order < position.order);
      });
      if (lacks.length > 0 && nowMs < sinceMs + MARK_WAIT_MS) return false;
      pending.mark = without(
        mark,
        lacks.map(([store]) => store),
      );
      return true;
    });
  }

  /** Joins what has become many small segments, and goes on in a new session now and then. */
  async #keepUp(run: Run): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    const writer = this.#writer;
    if (writer === undefined || !this.#hasPut || nowMs < this.#mergedMs + MERGE_EVERY_MS) return;
    const isHour = nowMs >= this.#openedMs + SESSION_MS;
    await writer.publish(run);
    await mergeJournal(writer, { tier: isHour ? 'hour' : 'minutes', withMarks: isHour, plain: this.#plain }, run);
    this.#plain.clear();
    this.#mergedMs = this.#options.clock.monotonicMs();
    this.#hasPut = false;
    if (isHour) await this.#endSession(run);
  }

  async #open(run: Run): Promise<RepositoryWriter> {
    if (this.#writer !== undefined) return this.#writer;
    const writer = await this.#options.openWriter(run);
    if (this.#writer !== undefined) {
      await writer[Symbol.asyncDispose]();
      return this.#writer;
    }
    this.#writer = writer;
    this.#openedMs = this.#options.clock.monotonicMs();
    this.#mergedMs = this.#openedMs;
    return writer;
  }

  async #endSession(run: Run): Promise<void> {
    await this.#unused();
    const writer = this.#writer;
    if (writer === undefined) return;
    await writer.publish(run);
    await this.#options.endWriter(writer, run);
    await this.#close();
  }

  async #close(): Promise<void> {
    await this.#unused();
    const writer = this.#writer;
    this.#writer = undefined;
    await writer?.[Symbol.asyncDispose]();
  }

  async #unused(): Promise<void> {
    if (this.#users === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenIdle.push(resolve);
    });
  }
}

function segmentOf(writer: RepositoryWriter, store: string, blocks: readonly LogBlock[]): SegmentDraft {
  const first = must(blocks[0], 'a block');
  const last = must(blocks.at(-1), 'a block');
  const payload = payloadOf(
    first.after,
    blocks.map(({ pieces }) => pieces),
  );
  return {
    store,
    history: store,
    after: first.after,
    upTo: last.upTo,
    fromMs: first.fromMs,
    toMs: last.toMs,
    changes: blocks.reduce((sum, { changes }) => sum + changes, 0),
    packs: [...new Set(blocks.flatMap(({ packs }) => packs))].toSorted(),
    frames: writer.sealFrame(store, payload),
  };
}

function without(mark: Mark, stores: readonly string[]): Mark {
  if (stores.length === 0) return mark;
  const left = Object.entries(mark.positions).filter(([store]) => !stores.includes(store));
  const missing = [...new Set([...mark.missing, ...stores])];
  return { ...mark, positions: Object.fromEntries(left), missing };
}
