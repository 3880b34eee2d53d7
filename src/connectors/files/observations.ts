import { join } from 'node:path';
import { TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import type { Position } from '../../core/position.ts';
import type { Observation, ObservationLog } from '../../core/recorder.ts';
import type { Run, Runtime } from '../../core/run.ts';
import type { ByteText } from './byte-text.ts';
import { ChangeScan } from './change-scan.ts';
import { FolderWatches } from './folder-watches.ts';
import type { WatchOptions } from './folder-watches.ts';
import { Hints } from './hints.ts';
import type { KnownState } from './known-state.ts';
import { FilesObservation } from './observation.ts';
import { compileSelection } from './patterns.ts';
import type { Selection } from './patterns.ts';
import { EntryReading } from './reading.ts';
import { identityOf, resolveRoot } from './root.ts';
import { scanOptionsOf } from './scan.ts';
import type { FilesStore } from './store.ts';

/** How long what the kernel reports is taken for all there is. */
const SCAN_MS = 5 * 60_000;
/** The same where it reports in part, or nothing. */
const INEXACT_SCAN_MS = 60_000;
/** For folders that no watch was left for, or that other machines write. */
const UNWATCHED_SCAN_MS = 30_000;
/** A scan may take this share of the time, so that it comes rarer where it is long. */
const SCAN_SHARE = 0.05;

export type ObservationsOptions = {
  readonly store: FilesStore;
  readonly state: KnownState;
  readonly stateFolder: string;
  readonly runtime: Runtime;
  readonly after: Position;
  nextPosition(): Position;
  onClose(): void;
  /** See `WatchOptions`. */
  readonly openWatcher?: WatchOptions['openWatcher'];
};

export function positionLost(why: string): TidemarkError {
  return new TidemarkError('POSITION_LOST', `changes of the folder can’t be followed on: ${why}`, {
    disposition: 'resync',
  });
}

/**
 * Observes a folder: watches tell where to look, and scans of everything at the start, after lost events and every few minutes tell what the watches
 * did not.
 */
export class FilesObservations implements ObservationLog {
  readonly #options: ObservationsOptions;
  readonly #selection: Selection;
  readonly #watches: FolderWatches;
  #hints = new Hints();
  #last: Position;
  /** Hints were lost: all has to be looked at, and what was read may have been changed without a trace. */
  #lost = true;
  #nextScanMs = 0;
  #nextUnwatchedMs = 0;
  #current: FilesObservation | undefined;
  #wake: () => void = () => undefined;
  #settled: Promise<void> = Promise.resolve();

  constructor(options: ObservationsOptions) {
    this.#options = options;
    this.#last = options.after;
    this.#selection = compileSelection(options.store);
    this.#watches = new FolderWatches({
      markerFolder: join(options.stateFolder, 'barrier'),
      logger: options.runtime.logger,
      openWatcher: options.openWatcher,
      onHint: (name) => this.#hints.add(name),
      onLost: () => {
        this.#lost = true;
      },
      onTurn: () => {
        if (this.#isDue()) this.#wake();
      },
    });
  }

  /** Of the observation that was finished last. */
  get last(): Position {
    return this.#last;
  }

  async observe(run: Run): Promise<Observation | undefined> {
    run.signal.throwIfAborted();
    assume(this.#current === undefined, 'one observation at a time');
    const settled = Promise.withResolvers<void>();
    this.#settled = settled.promise;
    try {
      const observation = await this.#observe(settled.resolve, run);
      if (observation === undefined) settled.resolve();
      return observation;
    } catch (error) {
      settled.resolve();
      throw error;
    }
  }

  /** Resolves once the observation that is under way, if any, is finished or left. */
  get settled(): Promise<void> {
    return this.#settled;
  }

  async changed(run: Run): Promise<void> {
    const { clock } = this.#options.runtime;
    run.signal.throwIfAborted();
    while (!this.#isDue()) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const ended = new AbortController();
      const signal = AbortSignal.any([run.signal, ended.signal]);
      try {
        await Promise.race([woken, clock.sleep(Math.max(this.#dueMs() - clock.monotonicMs(), 1), { signal })]);
      } finally {
        ended.abort();
      }
    }
  }

  acknowledge({ lineage, order }: Position): void {
    if (lineage === this.#last.lineage) this.#options.state.acknowledge(order);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#current?.[Symbol.asyncDispose]();
    this.#watches[Symbol.dispose]();
    this.#options.onClose();
  }

  async #observe(onSettled: () => void, run: Run): Promise<Observation | undefined> {
    const { store, state, stateFolder, runtime } = this.#options;
    const root = this.#root();
    if (!this.#watches.barrier()) this.#lost = true;
    const startMs = runtime.clock.monotonicMs();
    const distrust = this.#lost || this.#hints.isFull;
    const all = distrust || startMs >= this.#nextScanMs;
    if (startMs >= this.#nextUnwatchedMs) {
      for (const name of this.#watches.unwatched) this.#hints.add(name);
    }
    const hints = this.#hints;
    if (!all && hints.isEmpty) return undefined;
    const selection = this.#selection;
    const reading = new EntryReading(BigInt(Math.floor(runtime.clock.nowMs())) * 1_000_000n);
    const scan = new ChangeScan({
      scan: { root, ...scanOptionsOf(store, { skipped: reading.skipped, leaveOut: [stateFolder], selection }) },
      state,
      watches: this.#watches,
      trust: (remote) => reading.trust(remote),
      hints,
      all,
      distrust,
    });
    this.#hints = new Hints();
    this.#lost = false;
    const undone = (): void => {
      scan.undo();
      this.#hints.addAll(hints);
      if (distrust) this.#lost = true;
      if (all) this.#nextScanMs = 0;
    };
    let hasStaged: boolean;
    try {
      await scan.look(run);
      hasStaged = state.hasStaged;
    } catch (error) {
      undone();
      throw error;
    }
    this.#schedule(startMs, all);
    if (!hasStaged) return undefined;
    this.#current = this.#observation(root, reading, (finished) => {
      if (finished === undefined) undone();
      else this.#last = finished;
      onSettled();
    });
    return this.#current;
  }

  #observation(
    root: ByteText,
    reading: EntryReading,
    onEnd: (finished: Position | undefined) => void,
  ): FilesObservation {
    const { state, nextPosition } = this.#options;
    return new FilesObservation({
      root,
      state,
      reading,
      nextPosition,
      onEnd: (finished) => {
        this.#current = undefined;
        onEnd(finished);
      },
    });
  }

  /** @throws POSITION_LOST when it is another folder now; STORE_UNREACHABLE */
  #root(): ByteText {
    const { store, state } = this.#options;
    const root = resolveRoot(store.folder);
    if (identityOf(root) !== state.root || state.lineage !== this.#last.lineage) {
      throw positionLost('another folder is in its place');
    }
    return root;
  }

  #schedule(startMs: number, all: boolean): void {
    const nowMs = this.#options.runtime.clock.monotonicMs();
    const leastMs = (nowMs - startMs) / SCAN_SHARE;
    if (all) this.#nextScanMs = nowMs + Math.max(this.#watches.exact ? SCAN_MS : INEXACT_SCAN_MS, leastMs);
    if (all || startMs >= this.#nextUnwatchedMs) this.#nextUnwatchedMs = nowMs + Math.max(UNWATCHED_SCAN_MS, leastMs);
  }

  #isDue(): boolean {
    return this.#lost || !this.#hints.isEmpty || this.#options.runtime.clock.monotonicMs() >= this.#dueMs();
  }

  #dueMs(): number {
    return this.#watches.unwatched.size > 0 ? Math.min(this.#nextScanMs, this.#nextUnwatchedMs) : this.#nextScanMs;
  }
}
