import { keptAtTheEnd, pumpLog } from '../archive/log-pump.ts';
import { LogQueue } from '../archive/log-queue.ts';
import { storeObserved } from '../archive/observe.ts';
import { PlaceTimes } from '../archive/place-times.ts';
import type { StoreConfiguration } from '../config/configuration.ts';
import { operatorError, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { comparePositions } from '../core/position.ts';
import type { Exactness, Position } from '../core/position.ts';
import type { ObservationLog, Recorder } from '../core/recorder.ts';
import type { Run, Runtime } from '../core/run.ts';
import { backOffDelayMs } from '../flow/back-off.ts';
import type { Spool } from '../io/spool.ts';
import { openScope } from '../flow/scope.ts';
import { untilAborted } from '../flow/until-aborted.ts';
import type { Gap } from '../repository/records/journal-body.ts';
import type { WrittenBase } from '../repository/writer.ts';
import { Allowance } from './allowance.ts';
import type { Journal, JournaledHistory } from './journal.ts';
import type { KnownHistory, StandingBase } from './known-history.ts';
import { Reach } from './reach.ts';
import type { StoreState } from './results.ts';

const BACK_OFF = { firstMs: 1_000, maxMs: 60_000 };
/** To ask a store again that was away costs it little, and marks lack it until then. */
const AWAY_BACK_OFF = { firstMs: 1_000, maxMs: 10_000 };
/** After bases that failed: each costs the store a copy of all that it has, */
const BASE_BACK_OFF = { firstMs: 30_000, maxMs: 30 * 60_000 };
/** but those that failed soon have cost it little: no more than so many times what they took is waited. */
const REST_AFTER_BASE = 10;
/** How often a store is asked whether it is there of which only bases are taken. */
const CHECK_MS = 10_000;
const QUEUE_BYTES = 16 * 1024 * 1024;
/** How long a position that was read may take to be received. */
const RECEIVE_MS = 10_000;
const RECEIVE_STEP_MS = 5;
const MOST_AGE_MS = 250;
const SETTLE_STEP_MS = 50;

type TakenBase = { readonly base: WrittenBase; readonly exact: Exactness };

export type StoreRecordingOptions = {
  readonly runtime: Runtime;
  readonly store: StoreConfiguration;
  /** Looks begin so long apart at least, and as long as one took lies between two. */
  readonly restMs: number;
  /** `previous`: the newest position that the repository holds of it. @throws STORE_UNREACHABLE */
  readonly openRecorder: (previous: Position | undefined, run: Run) => Promise<Recorder>;
  /** Of a store with a log: where what was received waits. Asked once. */
  readonly openSpool: (run: Run) => Promise<Spool>;
  readonly journal: Journal;
  /** Up to where this host's own writer has recorded it, as the repository says. */
  readonly known: KnownHistory | undefined;
  /** Takes and commits a base; one at a time over all stores. */
  readonly writeBase: (
    from: { readonly recorder: Recorder; readonly allowEmpty: boolean },
    run: Run,
  ) => Promise<WrittenBase>;
  /** Hears of everything worth telling. */
  readonly onNews: (message: string) => void;
};

/**
 * Records one store without end: a first base where there is none, then its log or observations; of a store that has neither only bases. What fails is tried again after a while; where the
 * history can't be followed on, a gap is noted and a base begins anew.
 */
export class StoreRecording implements AsyncDisposable {
  readonly store: StoreConfiguration;
  readonly #options: StoreRecordingOptions;
  #state: StoreState = 'starting';
  #trouble: TidemarkError | undefined;
  #known: KnownHistory | undefined;
  /** Of the history since it began; another one for the next. */
  #reach: Reach;
  #recorder: Recorder | undefined;
  /** Aborted when the recorder goes; then the bases that are taken of it end before it. */
  #released = new AbortController();
  readonly #bases = new Set<Promise<WrittenBase>>();
  #observations: ObservationLog | undefined;
  /** Of a store without log and observations: what marks stand on. */
  #standing: StandingBase | undefined;
  #hasOnlyBases = false;
  /** First bases of a history that a server had to make and that came to nothing, one after another. */
  #failedBases = 0;
  /** How long those took. */
  #failedBaseMs = 0;
  /** Of a first base, without which it is not recorded. */
  readonly #allowed = new Allowance<TakenBase>();
  #newestBase: TakenBase | undefined;
  #looking: Promise<unknown> = Promise.resolve();
  #history: JournaledHistory | undefined;
  #times = new PlaceTimes();
  #acknowledge: (durable: Position) => void = () => undefined;
  /** What the last history before a gap left behind is in the repository. */
  #ended: Promise<void> = Promise.resolve();
  #lastSeenMs: number | undefined;
  #lastBaseMs: number | undefined;
  #gapCount = 0;
  #told: string | undefined;
  #attempt = new AbortController();
  #attemptRun: Run = { signal: this.#attempt.signal };
  #spool: Spool | undefined;

  constructor(options: StoreRecordingOptions) {
    this.store = options.store;
    this.#options = options;
    this.#known = options.known;
    this.#reach = new Reach(options.known !== undefined, options.known?.unreached?.from);
    this.#lastBaseMs = options.known?.lastBaseMs;
    for (const segment of options.known?.segments ?? []) this.#times.note(segment);
  }

  get state(): StoreState {
    return this.#state;
  }

  /** Why it does not record now. */
  get trouble(): TidemarkError | undefined {
    return this.#trouble;
  }

  /** By this host's clock: when the store was last seen to be there, and when its last base was taken. */
  get lastSeenMs(): number | undefined {
    return this.#lastSeenMs;
  }

  get lastBaseMs(): number | undefined {
    return this.#lastBaseMs;
  }

  /** How many gaps had to be noted. */
  get gapCount(): number {
    return this.#gapCount;
  }

  async run(run: Run): Promise<void> {
    const { clock, random } = this.#runtime;
    for (let failures = 0; ; ) {
      let recordingMs = Number.POSITIVE_INFINITY;
      this.#attempt = new AbortController();
      const attempt: Run = { signal: AbortSignal.any([run.signal, this.#attempt.signal]) };
      this.#attemptRun = attempt;
      this.#allowed.begin();
      try {
        await this.#record(attempt, () => {
          recordingMs = Math.min(recordingMs, clock.monotonicMs());
        });
        return;
      } catch (error) {
        if (run.signal.aborted) return;
        const thrown: unknown = attempt.signal.aborted ? attempt.signal.reason : error;
        const reason = operatorError(thrown, `${this.store.name} can’t be recorded`);
        if (reason === undefined) throw thrown;
        // One that fails again and again soon after it began is no less in trouble than one that never begins.
        if (clock.monotonicMs() - recordingMs >= BACK_OFF.maxMs) failures = 0;
        failures++;
        this.#fail(reason);
        if (reason.disposition === 'resync' && failures === 1) continue;
        const baseDelayMs = this.#failedBases === 0 ? 0 : backOffDelayMs(this.#failedBases, BASE_BACK_OFF, random);
        const restMs = Math.min(baseDelayMs, this.#failedBaseMs * REST_AFTER_BASE);
        const backOff = reason.code === 'STORE_UNREACHABLE' ? AWAY_BACK_OFF : BACK_OFF;
        const delayMs = Math.max(backOffDelayMs(failures, backOff, random), restMs);
        await this.#allowed.rest(clock, delayMs, run);
      }
    }
  }

  /** Resolves once it has been recorded, or has failed. */
  async settled(run: Run): Promise<void> {
    while (this.#state === 'starting') await this.#runtime.clock.sleep(SETTLE_STEP_MS, run);
  }

  /** What marks of a store stand on of which nothing but bases is recorded: it is as old as it says. */
  get standingBase(): StandingBase | undefined {
    return this.#hasOnlyBases && this.#state === 'recording' ? this.#standing : undefined;
  }

  /** Covers all that anyone could see before, but where there is a `standingBase`. @throws STORE_UNREACHABLE when it is not recorded now */
  async position(run: Run): Promise<Position> {
    const standing = this.standingBase;
    if (standing !== undefined) return standing.cut;
    this.#recorded();
    if (this.#observations !== undefined) return await this.#look(run);
    const head = await this.#recorder?.head?.(run);
    if (head === undefined) throw this.#notRecorded();
    return head;
  }

  /** Writes a mark's name into the store's own log, where it has one for that. @throws STORE_UNREACHABLE when it is not recorded now */
  async label(name: string, run: Run): Promise<void> {
    if (this.#state !== 'recording') throw this.#notRecorded();
    await this.#recorder?.label?.(name, run);
  }

  /** Resolves once everything up to a position has come. @throws STORE_UNREACHABLE when it does not */
  async received(position: Position, run: Run): Promise<void> {
    if (this.standingBase !== undefined) return;
    const { clock } = this.#runtime;
    const untilMs = clock.monotonicMs() + RECEIVE_MS;
    for (;;) {
      const { received } = this.#recorded().queue;
      if (received.lineage === position.lineage && received.order >= position.order) return;
      if (clock.monotonicMs() > untilMs) {
        throw new TidemarkError('STORE_UNREACHABLE', `${this.store.name} does not tell of its changes any more`);
      }
      await clock.sleep(RECEIVE_STEP_MS, run);
    }
  }

  /**
   * Takes a base while everything else goes on. One that is not recorded because its first base is empty or far smaller than the last is recorded
   * once that is allowed. @throws STORE_UNREACHABLE when it is not recorded now
   */
  async takeBase(options: { readonly allowEmpty: boolean }, run: Run): Promise<TakenBase> {
    const recorder = this.#recorder;
    if (this.#state !== 'recording' && options.allowEmpty && this.#trouble?.code === 'BASE_COLLAPSED') {
      return await this.#allowed.ask(run);
    }
    if (recorder === undefined || this.#state !== 'recording') throw this.#notRecorded();
    const taken = this.#base(recorder, { signal: AbortSignal.any([run.signal, this.#released.signal]) }, options);
    this.#bases.add(taken);
    try {
      return { base: await taken, exact: recorder.exact };
    } finally {
      this.#bases.delete(taken);
    }
  }

  /** Once the journal has put what was received. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#spool?.[Symbol.asyncDispose]();
  }

  get #runtime() {
    return this.#options.runtime;
  }

  #recorded(): JournaledHistory {
    const history = this.#options.journal.history(this.store.name);
    if (history === undefined || this.#state !== 'recording') throw this.#notRecorded();
    return history;
  }

  #notRecorded(): TidemarkError {
    const { message = 'its first base is being taken', hint } = this.#trouble ?? {};
    return new TidemarkError('STORE_UNREACHABLE', `${this.store.name} is not recorded now: ${message}`, { hint });
  }

  #fail(error: TidemarkError): void {
    const isTold = error.disposition === 'resync' && (this.#skipToBase(error) || this.#noteGap(error.message));
    if (!isTold) this.#tell(`${this.store.name}: ${error.message}. ${error.hint}`);
    this.#state = 'retrying';
    this.#trouble = error;
    this.#allowed.failed(error);
  }

  /** What has not changed since is told once. */
  #tell(trouble: string): void {
    if (trouble !== this.#told) this.#options.onNews(trouble);
    this.#told = trouble;
  }

  /** Where the log can’t be followed from where it ended to the base that was stored behind that, it goes on from the base. */
  #skipToBase({ message: reason }: TidemarkError): boolean {
    const [known, history] = [this.#known, this.#history];
    if (known?.earlier === undefined) return false;
    const { earlier, ...base } = known;
    const after = history?.queue.received ?? earlier.position;
    if (after.order >= base.position.order) return false;
    this.#known = base;
    this.#history = undefined;
    this.#endAt(history, { after, fromMs: this.#lastSeenMs ?? earlier.atMs, toMs: base.atMs, reason });
    return true;
  }

  /** The history ends here, or has ended at `partedAt`. False where nothing of it was known, and nothing is told. */
  #noteGap(reason: string, partedAt?: Position): boolean {
    const known = this.#known;
    const history = this.#history;
    const times = this.#times;
    this.#times = new PlaceTimes();
    this.#known = undefined;
    this.#history = undefined;
    this.#reach = new Reach(false);
    this.#standing = undefined;
    const { journal, onNews } = this.#options;
    if (known === undefined) {
      if (history !== undefined) journal.drop(history);
      return false;
    }
    if (known.hasOnlyBases === true && history === undefined) {
      onNews(`${this.store.name}: a base begins anew, after backups alone, so that nothing is missing: ${reason}`);
      return true;
    }
    // What was received of it and was not given up is not lost, and followed until it was last seen.
    const received =
      history?.queue.received ?? (known.unreached === undefined ? known.position : known.unreached.after);
    const seenMs = history === undefined ? known.atMs : (this.#lastSeenMs ?? known.atMs);
    const isFork = partedAt !== undefined && received !== undefined && (comparePositions(partedAt, received) ?? 0) < 0;
    const after = isFork ? partedAt : received;
    const fromMs = isFork ? Math.min(seenMs, times.earliestAfter(partedAt) ?? seenMs) : seenMs;
    this.#endAt(history, { after, fromMs, toMs: this.#runtime.clock.nowMs(), reason });
    return true;
  }

  #endAt(history: JournaledHistory | undefined, gap: Omit<Gap, 'store' | 'history'>): void {
    const { name } = this.store;
    this.#gapCount++;
    this.#ended = this.#options.journal.end(history, { store: name, history: name, ...gap });
    this.#options.onNews(`${name}: a gap since ${new Date(gap.fromMs).toISOString()}: ${gap.reason}`);
  }

  async #record(run: Run, onRecording: () => void): Promise<void> {
    // While the first base is not there yet, what was received of its log is what goes on.
    const previous = this.#known?.position ?? this.#history?.queue.received;
    await using recorder = await this.#options.openRecorder(previous, run);
    this.#recorder = recorder;
    this.#released = new AbortController();
    try {
      if (previous !== undefined && recorder.lineage.id !== previous.lineage) {
        const { brokenBy = 'the store is another one: it was restored or replaced', partedAt } = recorder.lineage;
        this.#noteGap(brokenBy, partedAt);
      }
      await untilAborted(this.#ended, run);
      this.#hasOnlyBases = recorder.openLog === undefined && recorder.openObservations === undefined;
      if (this.#hasOnlyBases) await this.#takeBasesOnly(recorder, run, onRecording);
      else if (recorder.openObservations === undefined) await this.#follow(recorder, run, onRecording);
      else await this.#observe(recorder, run, onRecording);
    } finally {
      this.#recorder = undefined;
      const why = `${this.store.name} ceased to be recorded while its base was taken`;
      this.#released.abort(new TidemarkError('STORE_UNREACHABLE', why, { disposition: 'retry' }));
      await Promise.allSettled(this.#bases);
    }
  }

  /** The log is followed while the base is taken: so nothing of it is lost meanwhile. */
  async #follow(recorder: Recorder, run: Run, onRecording: () => void): Promise<void> {
    const { head, openLog } = recorder;
    if (head === undefined || openLog === undefined) {
      throw new TidemarkError('UNSUPPORTED', `${this.store.name} has no log to follow`);
    }
    const begin = recorder.begin ?? head;
    if (this.#history === undefined && this.#known === undefined) this.#reach.begin(await begin.call(recorder, run));
    this.#history ??= await this.#join(
      this.#known?.earlier?.position ?? this.#known?.position ?? must(this.#reach.begun, 'where the history begins'),
      // What waits in the spool can be put again whatever happened to a session, unless the spool has lost it.
      {
        spool: await this.#openSpool(run),
        onLost: (error) => error.disposition === 'resync' && this.#startAnew(error),
      },
      run,
    );
    const { queue } = this.#history;
    await using scope = openScope(run);
    await using log = await openLog.call(recorder, queue.received, scope.run);
    using _left = this.#acknowledging(log);
    const onAlive = (): void => {
      this.#lastSeenMs = log.heardMs ?? this.#runtime.clock.nowMs();
    };
    await using _kept = keptAtTheEnd(log, queue);
    const pumped = scope.spawn((inner) => pumpLog(log, { queue, clock: this.#runtime.clock, onAlive }, inner));
    pumped.catch(() => undefined);
    // When it fails the log ends first, as whatever else waits under the scope.
    if (!this.#reach.hasBase) await scope.spawn((inner) => this.#base(recorder, inner));
    this.#setRecording(onRecording);
    await scope.join();
  }

  /** Bases are asked for by their schedule. */
  async #takeBasesOnly(recorder: Recorder, run: Run, onRecording: () => void): Promise<void> {
    this.#standing ??= this.#known?.base;
    if (this.#standing === undefined) await this.#base(recorder, run);
    const { clock } = this.#runtime;
    for (;;) {
      await recorder.ping?.(run);
      this.#lastSeenMs = clock.nowMs();
      this.#setRecording(onRecording);
      await clock.sleep(CHECK_MS, run);
    }
  }

  async #observe(recorder: Recorder, run: Run, onRecording: () => void): Promise<void> {
    // What a base saw after `position` is told by the observations that follow on it, and those are not in the repository.
    if (this.#known?.unreached !== undefined) throw unstored();
    const { clock } = this.#runtime;
    const { restMs } = this.#options;
    const known = this.#reach.hasBase ? (this.#history?.queue.received ?? this.#known?.position) : undefined;
    const after = known ?? (await this.#base(recorder, run)).cut;
    const open = recorder.openObservations;
    if (open === undefined) return;
    await using observations = await open.call(recorder, after, run);
    this.#history ??= await this.#join(after, { onLost: (error) => this.#observeAnew(error) }, run);
    using _left = this.#acknowledging(observations);
    this.#observations = observations;
    try {
      for (;;) {
        const startMs = clock.monotonicMs();
        await this.#look(run);
        this.#setRecording(onRecording);
        const tookMs = clock.monotonicMs() - startMs;
        await clock.sleep(Math.max(restMs - tookMs, tookMs), run);
        await observations.changed(run);
      }
    } finally {
      this.#observations = undefined;
      await this.#looking;
    }
  }

  /** What the repository has of it from now on is told to whoever keeps it until then. */
  #acknowledging(log: { acknowledge(durable: Position): void }): Disposable {
    this.#acknowledge = (durable) => log.acknowledge(durable);
    return {
      [Symbol.dispose]: () => {
        this.#acknowledge = () => undefined;
      },
    };
  }

  /** What a base needs of observations can't be made up again. */
  #observeAnew(error: TidemarkError): void {
    const durable = this.#history?.durable;
    const { logFrom } = this.#reach;
    const isLost = logFrom !== undefined && durable !== undefined && logFrom.order > durable.order;
    this.#startAnew(isLost ? unstored(error) : error);
  }

  /** What waits is gone. */
  #startAnew(error: TidemarkError): void {
    if (this.#history !== undefined) this.#options.journal.drop(this.#history);
    this.#history = undefined;
    this.#attempt.abort(error);
  }

  async #join(
    after: Position,
    options: { readonly spool?: Spool; readonly onLost: JournaledHistory['onLost'] },
    run: Run,
  ): Promise<JournaledHistory> {
    const { journal } = this.#options;
    const { spool, onLost } = options;
    const reach = this.#reach;
    const onDamaged = ({ message, hint }: TidemarkError): void =>
      this.#options.onNews(`${this.store.name}: ${message}. ${hint}`);
    const queue = await LogQueue.open(
      {
        memoryBytes: QUEUE_BYTES,
        clock: this.#runtime.clock,
        received: after,
        onPut: (block) => {
          this.#times.note(block);
          journal.touch(this.#happenedMs(block.fromMs));
        },
        spool,
        onDamaged,
      },
      run,
    );
    const history: JournaledHistory = {
      store: this.store.name,
      queue,
      durable: after,
      onDurable: (upTo) => {
        // Of one that has ended nothing is known any more.
        if (this.#history === history) this.#noteDurable(upTo);
        this.#acknowledge(upTo);
      },
      onLost,
      isRestorable: (position) => reach.isRestorable(position),
    };
    journal.add(history);
    return history;
  }

  #noteDurable(upTo: Position): void {
    const known = this.#known;
    const atMs = this.#runtime.clock.nowMs();
    const isBehind = known?.earlier !== undefined && upTo.order < known.position.order;
    this.#known = isBehind ? { ...known, earlier: { position: upTo, atMs } } : { position: upTo, atMs };
  }

  /** By the monotonic clock, of what happened at a time of the store's clock, which may be another one: so it is not long ago. */
  #happenedMs(storeMs: number): number {
    const { clock } = this.#runtime;
    return clock.monotonicMs() - Math.min(Math.max(clock.nowMs() - storeMs, 0), MOST_AGE_MS);
  }

  /** One for all attempts: what waits in it when this ends is still put. */
  async #openSpool(run: Run): Promise<Spool> {
    this.#spool ??= await this.#options.openSpool(run);
    return this.#spool;
  }

  #setRecording(onRecording: () => void): void {
    if (this.#state !== 'recording') this.#options.onNews(`${this.store.name}: recording`);
    this.#state = 'recording';
    this.#trouble = undefined;
    this.#told = undefined;
    if (this.#newestBase !== undefined) this.#allowed.recorded(this.#newestBase);
    onRecording();
  }

  async #base(
    recorder: Recorder,
    run: Run,
    { allowEmpty }: { readonly allowEmpty: boolean } = { allowEmpty: this.#allowed.holds },
  ): Promise<WrittenBase> {
    const isCostly = recorder.begin !== undefined && !this.#reach.hasBase;
    const { clock } = this.#runtime;
    const startMs = clock.monotonicMs();
    let base: WrittenBase;
    try {
      base = await this.#options.writeBase({ recorder, allowEmpty }, run);
      this.#reach.noteBase(base);
    } catch (error) {
      if (isCostly) this.#failedBases++;
      if (isCostly) this.#failedBaseMs += clock.monotonicMs() - startMs;
      throw error;
    }
    this.#failedBases = 0;
    this.#failedBaseMs = 0;
    this.#lastBaseMs = clock.nowMs();
    this.#newestBase = { base, exact: recorder.exact };
    this.#known ??= { position: base.cut, atMs: this.#lastBaseMs };
    this.#standing = { key: base.key, cut: base.cut, fromMs: base.startedAtMs };
    return base;
  }

  /**
   * One look after another: each covers what was there before it was asked for. It goes on when who asked gives up, since what an observation has told
   * is not told again; when it fails, all is looked at anew from what was received.
   */
  #look(run: Run): Promise<Position> {
    const attempt = this.#attempt;
    const attemptRun = this.#attemptRun;
    const result = this.#looking.then(() => this.#lookNow(attemptRun));
    this.#looking = result.catch((error: unknown) => {
      if (this.#observations !== undefined) attempt.abort(error);
    });
    return untilAborted(result, run);
  }

  async #lookNow(run: Run): Promise<Position> {
    const { clock } = this.#runtime;
    const observations = this.#observations;
    const history = this.#history;
    if (observations === undefined || history === undefined) throw this.#notRecorded();
    run.signal.throwIfAborted();
    const [atMs, startMs] = [clock.nowMs(), clock.monotonicMs()];
    await using observation = await observations.observe(run);
    this.#lastSeenMs = atMs;
    const { queue } = history;
    if (observation === undefined) return queue.received;
    const block = await this.#options.journal.withWriter(
      (writer) => storeObserved(observation, { writer, after: queue.received, clock }, run),
      run,
    );
    await queue.put(block, run);
    // What was found has waited since the look began.
    this.#options.journal.touch(startMs);
    return block.upTo;
  }
}

function unstored(cause?: TidemarkError): TidemarkError {
  return new TidemarkError('POSITION_LOST', 'observations that the newest base needs were not stored', {
    disposition: 'resync',
    cause,
  });
}
