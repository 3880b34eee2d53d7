import type { LogBlock, LogQueue } from '../archive/log-queue.ts';
import { PlainMemory } from '../archive/plain-memory.ts';
import { release } from '../core/bytes.ts';
import { isTidemarkError, operatorError, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { own } from '../core/own.ts';
import { comparePositions } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import type { Run } from '../core/run.ts';
import { backOffDelayMs } from '../flow/back-off.ts';
import { createLimiter } from '../flow/limiter.ts';
import { payloadOf } from '../repository/format/log-payload.ts';
import type { SegmentDraft } from '../repository/journal-writer.ts';
import type { Mark } from '../repository/mark.ts';
import type { Gap } from '../repository/records/journal-body.ts';
import type { RepositoryWriter } from '../repository/writer.ts';
import { mergeJournal } from './merge.ts';

/** What goes into one segment at a time. */
const SEGMENT_BYTES = 8 * 1024 * 1024;
/** From so many on what follows is in another frame of the segment. */
const FRAME_BYTES = 2 * 1024 * 1024;
const MERGE_EVERY_MS = 5 * 60_000;
/** Plain bytes that are kept until then. */
const PLAIN_BYTES = 8 * 1024 * 1024;
/** Of one segment: larger ones gain little by being sealed as one with others, and would leave no room for those. */
const MOST_PLAIN_BYTES = PLAIN_BYTES / 4;
/** A sweep waits for the sessions that it saw, so that none goes on for ever. */
const SESSION_MS = 60 * 60_000;
/** A mark waits so long for what it covers; then it is partial. */
const MARK_WAIT_MS = 30_000;
/** What has gathered while the repository was away is put in records of a bounded size. */
const MOST_MARKS = 500;
/**
 * So many times as long as the last flush took the next one waits, so that a slow repository is not kept busy with small records; but not with so much of a
 * full flush waiting, which is no small one.
 */
const REST_FACTOR = 3;
const REST_BELOW = 1 / 8;
/** It also takes a moment until what was committed has come. */
const LEAD_FACTOR = 3;
const BACK_OFF = { firstMs: 500, maxMs: 30_000 };

/** A history that is recorded. `durable`: up to where it is in the repository. */
export type JournaledHistory = {
  readonly store: string;
  readonly queue: LogQueue;
  durable: Position;
  /** Everything up to here is in the repository. */
  readonly onDurable: (upTo: Position) => void;
  /** What was received can't be put any more: it has to be observed anew from `durable` on. With POSITION_LOST it is gone, and given up by then. */
  readonly onLost: (error: TidemarkError) => void;
  /** Whether a base leads to a position, once all up to there is in the repository. */
  readonly isRestorable: (position: Position) => boolean;
};

/** What is put of one history. */
type Part = { readonly history: JournaledHistory; readonly blocks: readonly LogBlock[] };

type PendingMark = {
  mark: Mark;
  readonly sinceMs: number;
  readonly done: PromiseWithResolvers<Mark>;
};

/** A history of which nothing more comes, and the gap after it. It is `put` when all of that is in the repository. */
type EndedHistory = {
  /** Undefined where it was not followed by this process, or what waited of it is gone. */
  history: JournaledHistory | undefined;
  gap: Gap;
  readonly done: PromiseWithResolvers<void>;
  isPut: boolean;
};

/** Places of a history that were received and never put. */
type Dropped = { readonly store: string; readonly after: Position; readonly upTo: Position };

/** `users`: who works with it now. */
type OpenSession = {
  readonly writer: RepositoryWriter;
  readonly openedMs: number;
  users: number;
  readonly whenIdle: (() => void)[];
  /** Histories to whose end a base was seen to lead in it. */
  readonly led: Set<JournaledHistory>;
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
  #ended: EndedHistory[] = [];
  #dropped: Dropped[] = [];
  #marks: PendingMark[] = [];
  #session: OpenSession | undefined;
  readonly #opening = createLimiter(1);
  #mergedMs = 0;
  #hasPut = false;
  #dirtyMs: number | undefined;
  #restUntilMs = -Infinity;
  /** So long before its time a flush begins, so that it has ended by then. */
  #leadMs = 0;
  readonly #plain = new PlainMemory(PLAIN_BYTES);
  #failures = 0;
  #wake = Promise.withResolvers<void>();

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  add(history: JournaledHistory): void {
    this.#histories.set(history.store, history);
    // One that begins behind what was dropped says itself what of it can be restored: where it begins, once its base is there.
    const isBehind = ({ store, upTo }: Dropped): boolean =>
      store === history.store && (comparePositions(upTo, history.durable) ?? 1) <= 0;
    this.#dropped = this.#dropped.filter((dropped) => !isBehind(dropped));
    if (history.queue.sizeBytes > 0) this.touch();
  }

  /** What waits of a history is given up: it will be observed anew from `durable` on. Marks that stand on it lack the store. */
  drop(history: JournaledHistory): void {
    this.#histories.delete(history.store);
    this.#forget(history);
  }

  #forget({ store, durable, queue }: JournaledHistory): void {
    this.#dropped.push({ store, after: durable, upTo: queue.received });
    for (const pending of this.#marks) pending.mark = this.#withoutDropped(pending.mark);
  }

  /** Nothing more comes of a history, and what comes next does not follow on it. Resolves once what waits of it and the gap are in the repository. */
  end(history: JournaledHistory | undefined, gap: Gap): Promise<void> {
    const done = Promise.withResolvers<void>();
    // Who waits for it hears of it; until then nobody does.
    done.promise.catch(() => undefined);
    if (history !== undefined) this.#histories.delete(history.store);
    this.#ended.push({ history, gap, done, isPut: false });
    this.touch();
    return done.promise;
  }

  history(store: string): JournaledHistory | undefined {
    return this.#histories.get(store);
  }

  /** Something came, which happened `sinceMs` by the monotonic clock, or now. */
  touch(sinceMs = this.#options.clock.monotonicMs()): void {
    this.#dirtyMs = Math.min(this.#dirtyMs ?? sinceMs, sinceMs);
    this.#awake();
  }

  /** Resolves with the mark as it was put, complete or partial. @throws when the journal ends before */
  putMark(mark: Mark): Promise<Mark> {
    const done = Promise.withResolvers<Mark>();
    // Who waits for it hears of it; until then nobody does.
    done.promise.catch(() => undefined);
    // Its positions may have been read before something was dropped.
    const still = this.#withoutDropped(mark);
    this.#marks.push({ mark: still, sinceMs: this.#options.clock.monotonicMs(), done });
    this.#awake();
    return done.promise;
  }

  /** What is observed anew passes the places that were dropped and stops at none of them. */
  #withoutDropped(mark: Mark): Mark {
    const isIn = ({ after, upTo }: Dropped, position: Position): boolean =>
      (comparePositions(position, after) ?? 0) > 0 && (comparePositions(position, upTo) ?? 1) <= 0;
    const stores = Object.entries(mark.positions).filter(([store, position]) =>
      this.#dropped.some((dropped) => dropped.store === store && isIn(dropped, position)),
    );
    return without(
      mark,
      stores.map(([store]) => store),
    );
  }

  /** Does work with the session that is open. @throws what opening one fails with */
  withWriter<T>(work: (writer: RepositoryWriter) => Promise<T>, run: Run): Promise<T> {
    return this.#withSession(({ writer }) => work(writer), run);
  }

  async #withSession<T>(work: (session: OpenSession) => Promise<T>, run: Run): Promise<T> {
    const session = await this.#acquire(run);
    try {
      return await work(session);
    } finally {
      session.users--;
      if (session.users === 0) for (const idle of session.whenIdle.splice(0)) idle();
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
      for (const { done } of this.#ended.splice(0)) {
        done.reject(new TidemarkError('INTERRUPTED', 'this ended before the gap was told'));
      }
      await this.#abandon();
    }
  }

  get #hasSomething(): boolean {
    const queued = this.#all().some(({ queue }) => queue.sizeBytes > 0);
    return queued || this.#ended.some(({ isPut }) => !isPut) || this.#marks.some(({ mark }) => this.#isCovered(mark));
  }

  /** What is begun is finished under `last`: a record that was cut off would end its session. */
  async #attempt(run: Run, last: Run): Promise<void> {
    try {
      await this.#flush(last);
      await this.#keepUp(last);
      this.#failures = 0;
      this.#options.onTrouble(undefined);
    } catch (thrown) {
      await this.#abandon();
      last.signal.throwIfAborted();
      const error = operatorError(thrown, 'the repository can’t be written');
      if (error === undefined) throw thrown;
      this.#options.onTrouble(error);
      if (error.code === 'FENCED') for (const history of this.#histories.values()) history.onLost(error);
      // What could not be put still waits.
      this.touch();
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
      try {
        await Promise.race([this.#options.clock.sleep(waitMs, { signal }), promise]);
      } finally {
        stop.abort();
      }
    }
  }

  #waitMs(): number {
    const { clock, flush } = this.#options;
    const nowMs = clock.monotonicMs();
    const queuedBytes = this.#all().reduce((sum, { queue }) => sum + queue.sizeBytes, 0);
    if (queuedBytes >= flush.sizeBytes) return 0;
    if (this.#marks.some(({ mark }) => this.#isCovered(mark))) return 0;
    const waits = [MERGE_EVERY_MS];
    if (this.#dirtyMs !== undefined) {
      const restUntilMs = queuedBytes < flush.sizeBytes * REST_BELOW ? this.#restUntilMs : nowMs;
      waits.push(Math.max(this.#dirtyMs + flush.afterMs - this.#leadMs, restUntilMs) - nowMs);
    }
    for (const { sinceMs } of this.#marks) waits.push(sinceMs + MARK_WAIT_MS - nowMs);
    if (this.#session !== undefined && this.#hasPut) waits.push(this.#mergedMs + MERGE_EVERY_MS - nowMs);
    return Math.min(...waits);
  }

  #awake(): void {
    this.#wake.resolve();
  }

  /** Those that are followed, and those of which something may still wait. */
  #all(): readonly JournaledHistory[] {
    return [...this.#ended.flatMap(({ history }) => history ?? []), ...this.#histories.values()];
  }

  /** Everything that the mark stands on has been received. */
  #isCovered(mark: Mark): boolean {
    return this.#lacks(mark, ({ queue }) => queue.received).length === 0;
  }

  /** The stores of a mark of which not enough has been `reached`. */
  #lacks({ positions, bases }: Mark, reached: (history: JournaledHistory) => Position): readonly string[] {
    const all = this.#all();
    const lacking = Object.entries(positions).filter(([name, position]) => {
      const isReached = (history: JournaledHistory): boolean =>
        history.store === name &&
        (comparePositions(reached(history), position) ?? -1) >= 0 &&
        history.isRestorable(position);
      return own(bases, name) === undefined && !all.some(isReached);
    });
    return lacking.map(([name]) => name);
  }

  async #flush(run: Run): Promise<void> {
    const beganMs = this.#options.clock.monotonicMs();
    if (this.#hasSomething) await this.#findUnled(run);
    const dirtyMs = this.#dirtyMs;
    this.#dirtyMs = undefined;
    const parts: Part[] = [];
    for (const history of this.#all()) {
      const blocks = await this.#firstOf(history, run);
      if (blocks.length > 0) parts.push({ history, blocks });
      // What there is no room for has waited as long.
      if (dirtyMs !== undefined && sizeOf(blocks) < history.queue.sizeBytes) this.touch(dirtyMs);
    }
    const ended = this.#ended.filter(
      ({ history, isPut }) => !isPut && (history === undefined || isLast(history, parts)),
    );
    const marks = this.#readyMarks(parts).slice(0, MOST_MARKS);
    if (parts.length + ended.length + marks.length === 0) return;
    await this.withWriter(async (writer) => {
      const segments = parts.map(({ history, blocks }) => segmentOf(writer, history.store, blocks));
      const gaps = ended.map(({ gap }) => gap);
      await writer.putJournal({ marks: marks.map(({ mark }) => mark), segments, gaps }, run);
    }, run);
    this.#hasPut = true;
    this.#settle(marks, ended);
    for (const { history, blocks } of parts) {
      history.durable = must(blocks.at(-1), 'a block that was put').upTo;
      this.#remember(history.store, blocks);
      history.onDurable(history.durable);
    }
    for (const { history, blocks } of parts) await history.queue.drop(blocks.length, run);
    if (this.#hasSomething) this.touch();
    const endedMs = this.#options.clock.monotonicMs();
    const tookMs = endedMs - beganMs;
    this.#restUntilMs = endedMs + tookMs * REST_FACTOR;
    this.#leadMs = Math.min(tookMs * LEAD_FACTOR, this.#options.flush.afterMs / 4);
  }

  /** While this host was away retention may have given up what a history goes on from, for another one that recorded it: it is looked for once in each session. */
  async #findUnled(run: Run): Promise<void> {
    await this.#withSession(async ({ writer, led }) => {
      // What becomes restorable from now on may be missing in what is read.
      const claims = [...this.#histories.values()]
        .filter((history) => !led.has(history) && history.isRestorable(history.durable))
        .map((history) => ({ history, position: history.durable }));
      if (claims.length === 0) return;
      const leads = await writer.leads(run);
      for (const { history, position } of claims) {
        if (leads(history.store, position)) led.add(history);
        else history.onLost(unled());
      }
    }, run);
  }

  /** What can be put of it now: nothing where what waits is gone, which is no reason to keep others waiting. */
  async #firstOf(history: JournaledHistory, run: Run): Promise<readonly LogBlock[]> {
    try {
      return await history.queue.first(SEGMENT_BYTES, run);
    } catch (error) {
      if (!isTidemarkError(error, 'POSITION_LOST')) throw error;
      const ended = this.#ended.find((one) => one.history === history);
      if (ended === undefined) history.onLost(error);
      else this.#shorten(ended, history);
      return [];
    }
  }

  /** The history ended earlier than it seemed: with what is in the repository. */
  #shorten(ended: EndedHistory, history: JournaledHistory): void {
    const { after, fromMs } = ended.gap;
    const isEarlier = after !== undefined && (comparePositions(after, history.durable) ?? 0) < 0;
    ended.gap = {
      ...ended.gap,
      after: isEarlier ? after : history.durable,
      fromMs: Math.min(fromMs, history.queue.waitingSinceMs ?? fromMs),
    };
    ended.history = undefined;
    this.#forget(history);
  }

  #remember(history: string, blocks: readonly LogBlock[]): void {
    const { after } = must(blocks[0], 'a block that was put');
    const { upTo } = must(blocks.at(-1), 'a block that was put');
    if (sizeOf(blocks) > MOST_PLAIN_BYTES) return;
    this.#plain.put({ history, after, upTo }, Buffer.concat(blocks.map(({ pieces }) => pieces)));
  }

  /** These are in the repository. */
  #settle(marks: readonly PendingMark[], ended: readonly EndedHistory[]): void {
    const put = new Set(marks);
    this.#marks = this.#marks.filter((pending) => !put.has(pending));
    for (const { mark, done } of marks) done.resolve(mark);
    for (const one of ended) {
      one.isPut = true;
      one.done.resolve();
    }
    // A mark that waits for another store may stand on it.
    const isNamed = ({ store, queue }: JournaledHistory): boolean =>
      this.#marks.some(({ mark }) => own(mark.positions, store)?.lineage === queue.received.lineage);
    this.#ended = this.#ended.filter(({ isPut, history }) => !isPut || (history !== undefined && isNamed(history)));
  }

  /** Those that are complete with what is put now, and those that have waited for too long for what never came, without that. */
  #readyMarks(parts: readonly Part[]): readonly PendingMark[] {
    const put = new Map(parts.map(({ history, blocks }) => [history, must(blocks.at(-1), 'a block to be put').upTo]));
    const reached = (history: JournaledHistory): Position => put.get(history) ?? history.durable;
    const nowMs = this.#options.clock.monotonicMs();
    return this.#marks.filter((pending) => {
      if (nowMs >= pending.sinceMs + MARK_WAIT_MS) {
        pending.mark = without(
          pending.mark,
          this.#lacks(pending.mark, ({ queue }) => queue.received),
        );
      }
      return this.#lacks(pending.mark, reached).length === 0;
    });
  }

  /** Joins what has become many small segments, and goes on in a new session now and then. */
  async #keepUp(run: Run): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    const session = this.#session;
    if (session === undefined || !this.#hasPut || nowMs < this.#mergedMs + MERGE_EVERY_MS) return;
    const { writer } = session;
    const isHour = nowMs >= session.openedMs + SESSION_MS;
    await writer.publish(run);
    await mergeJournal(writer, { tier: isHour ? 'hour' : 'minutes', withMarks: isHour, plain: this.#plain }, run);
    this.#plain.clear();
    this.#mergedMs = this.#options.clock.monotonicMs();
    this.#hasPut = false;
    if (isHour) await this.#endSession(run);
  }

  /** The open session, or a new one, with one user more. */
  async #acquire(run: Run): Promise<OpenSession> {
    for (;;) {
      const session = this.#session;
      if (session !== undefined && !session.writer.wasAway) {
        session.users++;
        return session;
      }
      if (session !== undefined) await this.#abandon();
      await this.#opening.within((inner) => this.#openSession(inner), run);
    }
  }

  async #openSession(run: Run): Promise<void> {
    if (this.#session !== undefined) return;
    const writer = await this.#options.openWriter(run);
    const openedMs = this.#options.clock.monotonicMs();
    this.#session = { writer, openedMs, users: 0, whenIdle: [], led: new Set() };
    this.#mergedMs = openedMs;
  }

  async #endSession(run: Run): Promise<void> {
    await this.#leaveSession(async (writer) => {
      await writer.publish(run);
      await this.#options.endWriter(writer, run);
    });
  }

  /** Without an end, after an error: its lease runs out. What can't be closed well now says nothing new. */
  async #abandon(): Promise<void> {
    try {
      await this.#leaveSession(async () => undefined);
    } catch (error) {
      if (operatorError(error, 'a session of the repository can’t be closed') === undefined) throw error;
    }
  }

  /** Whoever needs one from now on opens another. Those who work with it end before it is closed. */
  async #leaveSession(end: (writer: RepositoryWriter) => Promise<void>): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    if (session === undefined) return;
    await using writer = session.writer;
    while (session.users > 0) await new Promise<void>((resolve) => session.whenIdle.push(resolve));
    await end(writer);
  }
}

function unled(): TidemarkError {
  return new TidemarkError('POSITION_LOST', 'what leads to it in the repository was deleted while this host was away', {
    disposition: 'resync',
  });
}

/** Everything that waits of it is in these parts. */
function isLast({ queue }: JournaledHistory, parts: readonly Part[]): boolean {
  const part = parts.find(({ history }) => history.queue === queue);
  return sizeOf(part?.blocks ?? []) === queue.sizeBytes;
}

function sizeOf(blocks: readonly LogBlock[]): number {
  return blocks.reduce((sum, { pieces }) => sum + pieces.byteLength, 0);
}

function segmentOf(writer: RepositoryWriter, store: string, blocks: readonly LogBlock[]): SegmentDraft {
  const first = must(blocks[0], 'a block');
  const last = must(blocks.at(-1), 'a block');
  return {
    store,
    history: store,
    after: first.after,
    upTo: last.upTo,
    fromMs: first.fromMs,
    toMs: last.toMs,
    changes: blocks.reduce((sum, { changes }) => sum + changes, 0),
    packs: [...new Set(blocks.flatMap(({ packs }) => packs))].toSorted(),
    frames: framesOf(writer, store, blocks),
  };
}

/** Several where there is much: buffers of the size of all of it would come and go with each segment. */
function framesOf(writer: RepositoryWriter, store: string, blocks: readonly LogBlock[]): Uint8Array {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < blocks.length; ) {
    const start = must(blocks[at], 'a block').after;
    const pieces: Uint8Array[] = [];
    for (let sizeBytes = 0; at < blocks.length && sizeBytes < FRAME_BYTES; at++) {
      const block = must(blocks[at], 'a block');
      pieces.push(block.pieces);
      sizeBytes += block.pieces.byteLength;
    }
    const payload = payloadOf(start, pieces);
    frames.push(writer.sealFrame(store, payload));
    release(payload);
  }
  return frames.length === 1 ? must(frames[0], 'a frame') : Buffer.concat(frames);
}

function without(mark: Mark, stores: readonly string[]): Mark {
  if (stores.length === 0) return mark;
  const left = Object.entries(mark.positions).filter(([store]) => !stores.includes(store));
  const missing = [...new Set([...mark.missing, ...stores])];
  return { ...mark, positions: Object.fromEntries(left), missing };
}
