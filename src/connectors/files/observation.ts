import { setImmediate as nextTurn } from 'node:timers/promises';
import { assume } from '../../core/must.ts';
import type { Position } from '../../core/position.ts';
import type { BaseEnd, Entry, Observation } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import { parentOf } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { knownOf } from './change-scan.ts';
import type { Found } from './describe.ts';
import { isGone, reasonOf } from './errors.ts';
import { statusOf } from './file-status.ts';
import { typeIn, typeOfStatus } from './fingerprint.ts';
import { NOTHING_KNOWN } from './known-state.ts';
import type { KnownState, StagedName } from './known-state.ts';
import { leadsThroughFolders } from './reading.ts';
import type { EntryReading, TreeEntry } from './reading.ts';
import type { ScanItem } from './scan.ts';

export type ObservationFacts = {
  readonly root: ByteText;
  readonly state: KnownState;
  readonly reading: EntryReading;
  nextPosition(): Position;
  /** Once: it is finished, or left. */
  onEnd(finished: Position | undefined): void;
};

/** Hands out what a `ChangeScan` staged. */
export class FilesObservation implements Observation {
  readonly entries: AsyncIterable<readonly Entry[]>;
  readonly #facts: ObservationFacts;
  #removed: readonly Uint8Array[] = [];
  #drained = false;
  #ended = false;
  /** The folder that was left out last: without it nothing in it can be told. */
  #leftOut: ByteText | undefined;
  /** The folder of the name before, which can be reached without a link. */
  #reached: ByteText | undefined;

  constructor(facts: ObservationFacts) {
    this.#facts = facts;
    this.entries = this.#batches();
  }

  get removed(): readonly Uint8Array[] {
    return this.#removed;
  }

  async retry(entry: Entry, cause: unknown, run: Run): Promise<Entry | undefined> {
    const { reading, state } = this.#facts;
    const again = reading.retry(entry, cause, run);
    // What it has told has to be told again, unless it is read after all as it is found now.
    const known = again === undefined || again.tolerant ? NOTHING_KNOWN : this.#known(again);
    state.restage(Buffer.from(entry.name).toString('latin1'), known);
    return again;
  }

  async finish(run: Run): Promise<BaseEnd> {
    run.signal.throwIfAborted();
    assume(this.#drained, 'all entries were pulled');
    assume(!this.#ended, 'an observation is finished once');
    const { state, reading, nextPosition, onEnd } = this.#facts;
    const position = nextPosition();
    state.finish(position);
    this.#ended = true;
    onEnd(position);
    const { count, incompleteCount } = reading.skipped;
    const skipped = reading.skipped.list();
    return { logFrom: position, cut: position, skipped, skippedCount: count, incompleteCount };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#facts.onEnd(undefined);
  }

  async *#batches(): AsyncGenerator<readonly Entry[]> {
    const { state } = this.#facts;
    let last: ByteText | undefined;
    for (;;) {
      assume(!this.#ended, 'an observation that is not ended');
      const names = state.stagedAfter(last);
      if (names.length === 0) break;
      last = names.at(-1)?.name;
      const entries: TreeEntry[] = [];
      state.batch(() => {
        for (const staged of names) {
          const entry = this.#entry(staged);
          if (entry === undefined) state.unstage(staged.name);
          else {
            state.restage(staged.name, this.#known(entry));
            entries.push(entry);
          }
        }
      });
      if (entries.length > 0) yield entries;
      await nextTurn();
    }
    this.#removed = state.stagedGone();
    this.#drained = true;
  }

  #known(item: ScanItem): ReturnType<typeof knownOf> {
    return knownOf(item, (remote) => this.#facts.reading.trust(remote));
  }

  /** As it is now. What became something else since the scan is left to the next observation: the queue has told of it. */
  #entry({ name, state, mount, remote }: StagedName): TreeEntry | undefined {
    if (this.#leftOut !== undefined && name.startsWith(this.#leftOut)) return undefined;
    const { reading, root } = this.#facts;
    const inside = name.replaceAll('\0', '/');
    const path = root.endsWith('/') ? root + inside : name === '' ? root : `${root}/${inside}`;
    try {
      const status = statusOf(path);
      const found = { name, path, status, mount };
      if (this.#isReached(found) && typeOfStatus(status) === typeIn(state)) return reading.entry({ found, remote });
    } catch (error) {
      if (!isGone(error)) reading.skipped.add(name, 'unreadable', reasonOf(error));
    }
    this.#leftOut = `${name}\0`;
    return undefined;
  }

  #isReached(found: Found): boolean {
    const folder = parentOf(found.name);
    if (folder === this.#reached) return true;
    if (!leadsThroughFolders(found)) return false;
    this.#reached = folder;
    return true;
  }
}
