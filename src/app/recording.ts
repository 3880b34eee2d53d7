import { join } from 'node:path';
import type { Configuration, StoreConfiguration } from '../config/configuration.ts';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import type { Position } from '../core/position.ts';
import type { Recorder } from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import { createLimiter } from '../flow/limiter.ts';
import { giveBackFreedMemory } from '../io/native-memory.ts';
import { openSpool } from '../io/spool.ts';
import { openScope } from '../flow/scope.ts';
import { untilAborted } from '../flow/until-aborted.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { Mark } from '../repository/mark.ts';
import type { RepositoryWriter, WrittenBase } from '../repository/writer.ts';
import type { OpenApplication } from './application.ts';
import { Journal } from './journal.ts';
import { knownHistory } from './known-history.ts';
import { refuseRollback } from './rollback.ts';
import { refuseTakenNames } from './taken-names.ts';
import { openWriter } from './open-writer.ts';
import { endDone, endFailed } from './run-record.ts';
import { openStoreRecorder, storeStateFolder, writeStoreBase } from './store-base.ts';
import { StoreRecording } from './store-recording.ts';
import { putUnsureAgain } from './put-again.ts';
import { standsAtSamePlace, takeClockMark, takeSealedMark } from './take-mark.ts';

/** While nothing changes anywhere, a mark so seldom says that all is still watched. */
const IDLE_MARK_MS = 10 * 60_000;
/** A store to which nobody writes says so more often. */
const QUIET_MS = 5_000;
const SPOOL_BYTES = 1024 * 1024 * 1024;

export type RecordingOptions = {
  readonly application: OpenApplication;
  readonly configuration: Configuration;
  readonly access: RepositoryAccess;
  readonly onNews: (message: string) => void;
};

type BaseSource = { readonly recorder: Recorder; readonly allowEmpty: boolean };

/** All stores of an application, recorded without end, and the marks over them. */
export class Recording {
  readonly stores: ReadonlyMap<string, StoreRecording>;
  readonly #options: RecordingOptions;
  readonly #journal: Journal;
  /** What one holds still another would let go. */
  readonly #sealing = createLimiter(1);
  readonly #basing = createLimiter(1);
  #trouble: TidemarkError | undefined;
  #lastMark: Mark | undefined;
  /** The newest that was taken, which may still wait for the repository. */
  #taken: { readonly mark: Mark; readonly atMs: number } | undefined;

  private constructor(options: RecordingOptions, catalogue: Catalogue) {
    this.#options = options;
    const { application, configuration, onNews } = options;
    const { clock, random } = application.context.runtime;
    this.#journal = new Journal({
      clock,
      random,
      flush: configuration.flush,
      openWriter: (run) => openJournalWriter(options, run),
      endWriter: (writer, run) => endWriter(application, writer, run),
      onTrouble: (error) => this.#setTrouble(error),
    });
    this.stores = new Map(
      configuration.stores.map((store) => {
        const known = knownHistory(catalogue, store.name, options.access.writer?.id ?? '');
        const stateFolder = storeStateFolder(application, store.name);
        const recording = new StoreRecording({
          runtime: application.context.runtime,
          store,
          restMs: configuration.flush.afterMs,
          openRecorder: (previous, run) => openStoreRecorder(application, { store, previous, stateFolder }, run),
          openSpool: (run) => openSpool({ folder: join(stateFolder, 'spool'), maxBytes: SPOOL_BYTES, random }, run),
          journal: this.#journal,
          known,
          writeBase: (from, run) => this.#writeBase(store, from, run),
          onNews,
        });
        return [store.name, recording];
      }),
    );
  }

  /** @throws REPOSITORY_ROLLED_BACK, STORE_NAME_TAKEN */
  static async open(options: RecordingOptions, run: Run): Promise<Recording> {
    const remembered = await options.application.rememberedHeads(run);
    const catalogue = await loadCatalogue(options.access, remembered, run);
    refuseRollback(catalogue, remembered);
    const { access, application, configuration } = options;
    const stores = configuration.stores.map(({ name }) => name);
    refuseTakenNames({ access, catalogue, application: application.name, stores, takeOver: [] });
    for (const { message } of catalogue.findings) application.context.warn(message);
    const sure = await putUnsureAgain(
      catalogue,
      {
        credential: access.writer?.id ?? '',
        openWriter: (inner) => openJournalWriter(options, inner),
        endWriter: (writer, inner) => endWriter(application, writer, inner),
      },
      run,
    );
    return new Recording(options, sure);
  }

  /** Why the repository can't be written to now. */
  get trouble(): TidemarkError | undefined {
    return this.#trouble;
  }

  /** How many gaps had to be noted. */
  get gapCount(): number {
    return [...this.stores.values()].reduce((sum, { gapCount }) => sum + gapCount, 0);
  }

  get lastMark(): Mark | undefined {
    return this.#lastMark;
  }

  /** What waits on this host for the repository, by store. */
  waitingBytes(store: string): number {
    return this.#journal.history(store)?.queue.sizeBytes ?? 0;
  }

  /** Up to where a store is in the repository. */
  position(store: string): Position | undefined {
    return this.#journal.history(store)?.durable ?? this.stores.get(store)?.standingBase?.cut;
  }

  /** How far the repository is behind a store, as far as this process knows. */
  lagMs(store: string, nowMs: number): number | undefined {
    const recording = this.stores.get(store);
    const history = this.#journal.history(store);
    if (history === undefined || recording?.state !== 'recording' || recording.lastSeenMs === undefined) {
      return undefined;
    }
    const waitingMs = history.queue.waitingSinceMs ?? nowMs;
    // What a store that says nothing has meanwhile nobody knows.
    const heardMs = nowMs - recording.lastSeenMs > QUIET_MS ? recording.lastSeenMs : nowMs;
    return Math.max(0, nowMs - Math.min(waitingMs, heardMs));
  }

  /**
   * Records and marks until the run aborts. Then, under `last`, a mark is taken where everything stands, and all of it is put. @throws what no
   * store can help, such as a bug
   */
  async run(run: Run, last: Run): Promise<void> {
    const [journaling, recording] = [new AbortController(), new AbortController()];
    const stopped = new TidemarkError('INTERRUPTED', 'this is being stopped');
    const journal = this.#journal.run({ signal: journaling.signal }, last);
    journal.catch(() => undefined);
    try {
      await using scope = openScope({ signal: recording.signal });
      for (const store of this.stores.values()) void scope.spawn((task) => store.run(task));
      try {
        await Promise.race([this.#keepMarking(run), scope.join(), journal]);
        await this.#markTheEnd(last);
      } finally {
        recording.abort(stopped);
      }
    } finally {
      journaling.abort(stopped);
      try {
        await journal;
      } finally {
        for (const store of this.stores.values()) await store[Symbol.asyncDispose]();
      }
    }
  }

  async #markTheEnd(last: Run): Promise<void> {
    if (![...this.stores.values()].some(({ state }) => state === 'recording')) return;
    await this.#markAsNeeded(last);
  }

  /** A mark now, once it is in the repository. A store that can't be read is missing in it. */
  async mark(
    asked: { readonly name?: string | undefined; readonly tags: readonly string[]; readonly sealed: boolean },
    run: Run,
  ): Promise<Mark> {
    const { application, configuration } = this.#options;
    const { runtime } = application.context;
    const options = { runtime, configuration, recordings: this.stores, name: asked.name, tags: asked.tags };
    const mark = asked.sealed
      ? await this.#sealing.within((inner) => takeSealedMark(application, options, inner), run)
      : await takeClockMark(options, run);
    return await untilAborted(this.#put(mark), run);
  }

  async #put(mark: Mark): Promise<Mark> {
    const taken = { mark, atMs: this.#options.application.context.runtime.clock.monotonicMs() };
    this.#taken = taken;
    try {
      this.#lastMark = await this.#journal.putMark(mark);
      return this.#lastMark;
    } catch (error) {
      if (this.#taken === taken) this.#taken = undefined;
      throw error;
    }
  }

  /** Until the run aborts. */
  async #keepMarking(run: Run): Promise<void> {
    const { application, configuration } = this.#options;
    const { clock } = application.context.runtime;
    try {
      for (;;) {
        await clock.sleep(configuration.marks.everyMs, run);
        const states = [...this.stores.values()].map(({ state }) => state);
        if (!states.includes('starting') && states.includes('recording')) await this.#markAsNeeded(run);
      }
    } catch (error) {
      if (!run.signal.aborted) throw error;
    }
  }

  /** Where nothing has changed, the mark before still stands. */
  async #markAsNeeded(run: Run): Promise<void> {
    const { application, configuration } = this.#options;
    const { runtime } = application.context;
    const mark = await takeClockMark({ runtime, configuration, recordings: this.stores, tags: [] }, run);
    const before = this.#taken;
    const isSame = before !== undefined && standsAtSamePlace(before.mark, mark);
    if (isSame && runtime.clock.monotonicMs() - before.atMs < IDLE_MARK_MS) return;
    this.#put(mark).catch((error: unknown) => {
      if (!(error instanceof TidemarkError)) throw error;
    });
  }

  #setTrouble(error: TidemarkError | undefined): void {
    const { onNews } = this.#options;
    if (error !== undefined && this.#trouble?.message !== error.message) {
      onNews(`the repository: ${error.message}. ${error.hint}`);
    }
    if (error === undefined && this.#trouble !== undefined) onNews('the repository can be written to again');
    this.#trouble = error;
  }

  /** One base after another: each takes all cores. One that a sweep fenced off is tried once more. */
  async #writeBase(store: StoreConfiguration, from: BaseSource, run: Run): Promise<WrittenBase> {
    return await this.#basing.within(async (inner) => {
      try {
        return await this.#writeBaseNow(store, from, inner);
      } catch (error) {
        if (!isTidemarkError(error, 'FENCED')) throw error;
        this.#options.onNews(`${store.name}: ${error.message}; trying once more`);
        return await this.#writeBaseNow(store, from, inner);
      } finally {
        giveBackFreedMemory();
      }
    }, run);
  }

  async #writeBaseNow(store: StoreConfiguration, from: BaseSource, run: Run): Promise<WrittenBase> {
    const { application, configuration, access, onNews } = this.#options;
    const { name } = store;
    const options = { command: 'backup', dryRun: false, inPlace: false };
    await using writer = await openWriter(application, access, options, run);
    let base: WrittenBase;
    try {
      base = await writeStoreBase(application, { store, configuration, ...from, writer }, run);
    } catch (error) {
      await endFailed(writer, error);
      throw error;
    }
    const { entries, bytes, newBytes, storedBytes, end } = base.stored;
    const missing =
      end.incompleteCount === 0 ? '' : `; ${end.incompleteCount} of them could not be read as they should`;
    onNews(`${name}: base of ${entries} entries taken${missing}`);
    const summary = { stores: [{ store: name, bytes, newBytes, storedBytes }], failed: [] };
    const done = { outcome: end.incompleteCount === 0 ? 'done' : 'incomplete', summary } as const;
    const onUnnoted = ({ message }: TidemarkError): void =>
      onNews(`${name}: the base is kept, but this run of it is not written down: ${message}`);
    await endDone(writer, done, { finish: () => endWriter(application, writer, run), onUnnoted }, run);
    return base;
  }
}

/** What comes between two flushes is little: threads would only take memory. */
function openJournalWriter({ application, access }: RecordingOptions, run: Run): Promise<RepositoryWriter> {
  return openWriter(application, access, { command: 'up', dryRun: false, inPlace: true }, run);
}

async function endWriter(application: OpenApplication, writer: RepositoryWriter, run: Run): Promise<void> {
  await writer.end(run);
  await application.rememberHeads(writer.heads, run);
}
