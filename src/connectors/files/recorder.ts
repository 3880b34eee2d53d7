import { setImmediate as nextTurn } from 'node:timers/promises';
import { toHex } from '../../core/bytes.ts';
import type { RecorderContext } from '../../core/connector.ts';
import { assume } from '../../core/must.ts';
import { orderOf } from '../../core/position.ts';
import type { Lineage, Position } from '../../core/position.ts';
import type { Base, BaseEnd, Entry, ObservationLog, Recorder } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import { untilAborted } from '../../flow/until-aborted.ts';
import { BaseNotes } from './base-notes.ts';
import type { NotedEnd } from './base-notes.ts';
import { KnownState } from './known-state.ts';
import { FilesObservations, positionLost } from './observations.ts';
import { EntryReading } from './reading.ts';
import { identityOf, resolveRoot } from './root.ts';
import { scanOptionsOf, TreeScan } from './scan.ts';
import type { FilesStore } from './store.ts';

/** Entries between two turns of the event loop: about two milliseconds of work. */
const BATCH = 512;

const LINEAGE_BYTES = 16;
/** Tells apart two scans of one number, when two processes scan at once. */
const SCAN_ID_BYTES = 8;

/**
 * Records a folder: every base is a scan. Positions count bases and observations; the lineage is the one of `previous`, or a new random one: also when
 * the state folder knows that another folder is in the place of the one that `previous` is of. What is in a base was there, as it is described, at some
 * time between the start and the end of the scan.
 * @throws STORE_UNREACHABLE when the folder is missing, unreadable or no folder; BUSY when another recorder uses the state folder.
 */
export function openFilesRecorder(store: FilesStore, context: RecorderContext): Recorder {
  return new FilesRecorder(store, context);
}

class FilesRecorder implements Recorder {
  readonly exact = 'observation';
  readonly #store: FilesStore;
  readonly #context: RecorderContext;
  readonly #state: KnownState | undefined;
  #lineage: Lineage;
  #count: bigint;
  #log: FilesObservations | undefined;
  #notes: BaseNotes | undefined;

  constructor(store: FilesStore, context: RecorderContext) {
    const root = resolveRoot(store.folder);
    const { previous, stateFolder } = context;
    this.#store = store;
    this.#context = context;
    this.#lineage = previous === undefined ? this.#newLineage() : { id: previous.lineage };
    this.#count = BigInt(previous?.order ?? 0);
    this.#state = stateFolder === undefined ? undefined : new KnownState(stateFolder);
    try {
      const known = this.#state?.lineage === this.#lineage.id ? BigInt(this.#state.order ?? 0) : 0n;
      if (known > this.#count) this.#count = known;
      this.#checkRoot(identityOf(root));
    } catch (error) {
      this.#state?.[Symbol.dispose]();
      throw error;
    }
  }

  get lineage(): Lineage {
    return this.#lineage;
  }

  async openBase(run: Run): Promise<Base> {
    run.signal.throwIfAborted();
    const root = resolveRoot(this.#store.folder);
    const identity = identityOf(root);
    this.#checkRoot(identity);
    const { clock } = this.#context.runtime;
    const reading = new EntryReading(BigInt(Math.floor(clock.nowMs())) * 1_000_000n);
    const { stateFolder } = this.#context;
    const scan = new TreeScan({
      root,
      ...scanOptionsOf(this.#store, {
        skipped: reading.skipped,
        leaveOut: stateFolder === undefined ? [] : [stateFolder],
      }),
    });
    const notes = this.#openNotes(identity);
    const finish = async (inner: Run): Promise<NotedEnd> => {
      // What began before all was read tells of less than the base holds: it is not to be laid over it.
      if (this.#log !== undefined) await untilAborted(this.#log.settled, inner);
      const position = this.#nextPosition();
      return notes?.finish(position) ?? { logFrom: position, cut: position };
    };
    return new TreeBase({ scan, reading, notes, finish });
  }

  async openObservations(after: Position, run: Run): Promise<ObservationLog> {
    run.signal.throwIfAborted();
    assume(this.#log === undefined, 'observations are opened once at a time');
    const { stateFolder, runtime } = this.#context;
    const state = this.#state;
    if (state === undefined || stateFolder === undefined) throw positionLost('this host keeps no state of it');
    this.#checkRoot(identityOf(resolveRoot(this.#store.folder)));
    if (after.lineage !== this.#lineage.id) throw positionLost('it is another folder, or its history began anew');
    if (!state.goBackTo(after)) throw positionLost('this host does not know how it was at that position');
    await using opened = new AsyncDisposableStack();
    const log = opened.use(
      new FilesObservations({
        store: this.#store,
        state,
        stateFolder,
        runtime,
        after,
        nextPosition: () => this.#nextPosition(),
        onClose: () => {
          this.#log = undefined;
        },
      }),
    );
    this.#notes?.goOnObserved(after);
    opened.move();
    this.#log = log;
    return log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#log?.[Symbol.asyncDispose]();
    } finally {
      this.#state?.[Symbol.dispose]();
    }
  }

  #newLineage(): Lineage {
    return { id: toHex(this.#context.runtime.random(LINEAGE_BYTES)) };
  }

  /** Positions of one folder say nothing about another. */
  #checkRoot(identity: string): void {
    if (this.#state?.lineage !== this.#lineage.id || this.#state.root === identity) return;
    this.#lineage = this.#newLineage();
    this.#count = 0n;
  }

  #nextPosition(): Position {
    this.#count += 1n;
    const resume = toHex(this.#context.runtime.random(SCAN_ID_BYTES));
    return { lineage: this.#lineage.id, order: orderOf(this.#count), resume };
  }

  #openNotes(root: string): BaseNotes | undefined {
    const state = this.#state;
    if (state === undefined) return undefined;
    if (this.#log !== undefined && this.#log.last.lineage === this.#lineage.id) {
      return new BaseNotes({ state, root, logFrom: this.#log.last });
    }
    // Of two at once only the first can be gone on from.
    if (this.#notes !== undefined) return undefined;
    this.#notes = new BaseNotes({
      state,
      root,
      onEnd: () => {
        this.#notes = undefined;
      },
    });
    return this.#notes;
  }
}

type BaseFacts = {
  readonly scan: TreeScan;
  readonly reading: EntryReading;
  readonly notes: BaseNotes | undefined;
  finish(run: Run): Promise<NotedEnd>;
};

class TreeBase implements Base {
  readonly entries: AsyncIterable<readonly Entry[]>;
  readonly #facts: BaseFacts;
  #drained = false;

  constructor(facts: BaseFacts) {
    this.#facts = facts;
    this.entries = this.#batches();
  }

  async retry(entry: Entry, cause: unknown, run: Run): Promise<Entry | undefined> {
    const { reading, notes } = this.#facts;
    const again = reading.retry(entry, cause, run);
    notes?.doubt(entry.name);
    return again;
  }

  async finish(run: Run): Promise<BaseEnd> {
    run.signal.throwIfAborted();
    assume(this.#drained, 'all entries were pulled');
    const { skipped } = this.#facts.reading;
    const { count, incompleteCount } = skipped;
    return { ...(await this.#facts.finish(run)), skipped: skipped.list(), skippedCount: count, incompleteCount };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#facts.notes?.[Symbol.dispose]();
  }

  async *#batches(): AsyncGenerator<readonly Entry[]> {
    const { scan, reading, notes } = this.#facts;
    for (let items = scan.next(BATCH); items !== undefined; items = scan.next(BATCH)) {
      notes?.saw(items, (remote) => reading.trust(remote));
      if (items.length > 0) yield items.map((item) => reading.entry(item));
      await nextTurn();
    }
    this.#drained = true;
  }
}
