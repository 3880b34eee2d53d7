import { readerOf } from '../../src/core/byte-reader.ts';
import { TidemarkError } from '../../src/core/errors.ts';
import { assume, must } from '../../src/core/must.ts';
import { orderOf } from '../../src/core/position.ts';
import type { Position } from '../../src/core/position.ts';
import type {
  Base,
  Entry,
  LoggedChange,
  LogPiece,
  LogRetention,
  Observation,
  ObservationLog,
  Recorder,
} from '../../src/core/recorder.ts';
import type { Run } from '../../src/core/run.ts';
import { untilAborted } from '../../src/flow/until-aborted.ts';
import type { SeededRandom } from '../../src/flow/random.ts';

/** What a store holds, by name. */
export type StoreState = ReadonlyMap<string, string>;
/** What becomes of names; undefined: they go. */
export type StoreChange = ReadonlyMap<string, string | undefined>;

/** A store whose past is known: what it held at each of its positions. */
export interface SimulatedStore {
  readonly name: string;
  /** Undefined for a position that it has never had. */
  stateAt(position: Position): StoreState | undefined;
  change(change: StoreChange, atMs: number): void;
}

export type Pause = (run: Run) => Promise<void>;

function positionLost(why: string): TidemarkError {
  return new TidemarkError('POSITION_LOST', `simulated: ${why}`, { disposition: 'resync' });
}

function changed(state: StoreState, change: StoreChange): Map<string, string> {
  const next = new Map(state);
  for (const [name, value] of change) {
    if (value === undefined) next.delete(name);
    else next.set(name, value);
  }
  return next;
}

function byName(left: string, right: string): number {
  return left < right ? -1 : 1;
}

type Transaction = { readonly changes: readonly LoggedChange[]; readonly atMs: number };

/** So many transactions a store that keeps them for its recorder has room for. */
const KEPT_COUNT = 12;

/** `keeps`: it forgets nothing that its recorder has not let go. `onLoss`: hears of what that has let go, and asks for again. */
type CountedOptions = { readonly keeps?: boolean; readonly onLoss?: (message: string) => void };

/** Keys and values, with a log that is exact to each transaction. */
export class CountedStore implements SimulatedStore {
  readonly name: string;
  readonly #keeps: boolean;
  #durable = 0;
  #onDisk = 0;
  readonly #transactions: Transaction[] = [];
  readonly #states: StoreState[] = [new Map()];
  #compactedTo = 0;
  #wake = Promise.withResolvers<void>();

  readonly #onLoss: (message: string) => void;
  /** A recorder has lost what it had kept, or another one has begun. */
  isForgiven = false;

  constructor(name: string, { keeps = false, onLoss }: CountedOptions = {}) {
    this.name = name;
    this.#keeps = keeps;
    this.#onLoss = onLoss ?? (() => undefined);
  }

  get head(): Position {
    return this.#positionAt(this.#transactions.length);
  }

  stateAt({ lineage, order, resume }: Position): StoreState | undefined {
    return lineage === this.name && resume === `r${Number(order)}` ? this.#states[Number(order)] : undefined;
  }

  change(change: StoreChange, atMs: number): void {
    const changes = [...change].map(([key, value]): LoggedChange => {
      const name = Buffer.from(key);
      return value === undefined ? { name, removed: true } : { name, attributes: Buffer.from(value) };
    });
    this.#transactions.push({ changes, atMs });
    this.#states.push(changed(must(this.#states.at(-1), 'a state'), change));
    if (this.#keeps) this.compact();
    const waiting = this.#wake;
    this.#wake = Promise.withResolvers();
    waiting.resolve();
  }

  openRecorder(pause: Pause): Recorder {
    return {
      lineage: { id: this.name },
      exact: 'position',
      openBase: async () => this.openBase(pause),
      head: async () => this.head,
      openLog: async (after, run) => {
        const pieces = this.log(after, pause, run);
        return {
          [Symbol.asyncIterator]: () => pieces,
          acknowledge: ({ order }) => {
            this.#durable = Math.max(this.#durable, Number(order));
          },
          ...(this.#keeps && { retention: this.#retention }),
          async [Symbol.asyncDispose]() {},
        };
      },
      async [Symbol.asyncDispose]() {},
    };
  }

  /** What happened so far can't be followed any more, as far as the store may forget it. */
  compact(): void {
    const free = this.#retention.isShort ? Math.max(this.#durable, this.#onDisk) : this.#durable;
    this.#compactedTo = this.#keeps ? free : this.#transactions.length;
  }

  get #retention(): LogRetention {
    return {
      isShort: this.#transactions.length - this.#durable > KEPT_COUNT / 2,
      onDisk: ({ order }) => {
        this.#onDisk = Math.max(this.#onDisk, Number(order));
      },
    };
  }

  openBase(pause: Pause): Base {
    const cut = this.head;
    const state = must(this.#states.at(-1), 'a state');
    const entries = [...state].toSorted(([left], [right]) => byName(left, right));
    return {
      entries: paused(
        entries.map(([name, value]) => inlineEntry(name, value)),
        pause,
      ),
      retry: async () => undefined,
      finish: async () => ({ logFrom: cut, cut, skipped: [], skippedCount: 0, incompleteCount: 0 }),
      async [Symbol.asyncDispose]() {},
    };
  }

  /** Without end. A large transaction comes in parts. */
  async *log(after: Position, pause: Pause, run: Run): AsyncGenerator<readonly LogPiece[]> {
    if (after.lineage !== this.name) throw positionLost('another lineage');
    for (let next = Number(after.order); ; ) {
      run.signal.throwIfAborted();
      if (next < this.#compactedTo) {
        if (this.#keeps && !this.isForgiven) this.#onLoss(`${this.name} was told to forget ${next}, which nobody has`);
        throw positionLost('compacted');
      }
      if (next >= this.#transactions.length) {
        await untilAborted(this.#wake.promise, run);
        continue;
      }
      await pause(run);
      const taken = this.#transactions.slice(next, next + 3);
      const from = next;
      next += taken.length;
      yield taken.flatMap(({ changes, atMs }, at): readonly LogPiece[] => {
        const commit = { position: this.#positionAt(from + at + 1), atMs };
        return changes.length < 3
          ? [{ changes, commit }]
          : [{ changes: changes.slice(0, 2) }, { changes: changes.slice(2), commit }];
      });
    }
  }

  #positionAt(order: number): Position {
    return { lineage: this.name, order: orderOf(order), resume: `r${order}` };
  }
}

function inlineEntry(name: string, value: string): Entry {
  return { name: Buffer.from(name), estimatedBytes: 0, describe: () => ({ attributes: Buffer.from(value) }) };
}

async function* paused(entries: readonly Entry[], pause: Pause): AsyncGenerator<readonly Entry[]> {
  for (let at = 0; at < entries.length; at += 3) {
    yield entries.slice(at, at + 3);
    await pause({ signal: new AbortController().signal });
  }
}

type Version = { readonly revision: number; readonly text: string };
type Versions = ReadonlyMap<string, Version>;
type Told = { readonly position: Position; readonly revisions: ReadonlyMap<string, number> };

/** What an observer's disk remembers: what it told up to which position. */
export type ObserverDisk = { last: number; told: readonly Told[] };

const NEVER_TOLD = -1;

/** Names with contents and no log: it is observed. */
export class ObservedStore implements SimulatedStore {
  readonly name: string;
  #versions: Versions = new Map();
  #revision = 0;
  readonly #states = new Map<string, StoreState>();
  readonly #random: SeededRandom;
  #wake = Promise.withResolvers<void>();

  constructor(name: string, random: SeededRandom) {
    this.name = name;
    this.#random = random;
  }

  get versions(): Versions {
    return this.#versions;
  }

  get changed(): Promise<void> {
    return this.#wake.promise;
  }

  stateAt(position: Position): StoreState | undefined {
    return this.#states.get(placeOf(position));
  }

  change(change: StoreChange): void {
    const next = new Map(this.#versions);
    for (const [name, text] of change) {
      if (text === undefined) next.delete(name);
      else next.set(name, { revision: ++this.#revision, text });
    }
    this.#versions = next;
    const waiting = this.#wake;
    this.#wake = Promise.withResolvers();
    waiting.resolve();
  }

  newLineage(): string {
    return `${this.name} ${Buffer.from(this.#random.bytes(4)).toString('hex')}`;
  }

  /** A new position, at which it held this. */
  positionOf(lineage: string, order: number, seen: Versions): Position {
    const resume = Buffer.from(this.#random.bytes(4)).toString('hex');
    const position = { lineage, order: orderOf(order), resume };
    this.#states.set(placeOf(position), new Map([...seen].map(([name, { text }]) => [name, text])));
    return position;
  }
}

export type ObserverOptions = {
  readonly store: ObservedStore;
  readonly disk: ObserverDisk;
  readonly previous: Position | undefined;
  readonly pause: Pause;
};

/** As the recorder of files does it: positions count bases and observations, and the disk knows how to go back to earlier ones. */
export function openObserver({ store, disk, previous, pause }: ObserverOptions): Recorder {
  const lineage = previous?.lineage ?? store.newLineage();
  const isKnown = disk.told.at(-1)?.position.lineage === lineage;
  let count = Math.max(Number(previous?.order ?? 0), isKnown ? disk.last : 0);
  let isWatched = false;
  /** Of the observation that was finished last. */
  let last: Position | undefined;
  let isLooking = false;
  let isClosed = false;
  let settled = Promise.resolve();
  const next = (seen: Versions): Position => {
    count += 1;
    disk.last = count;
    return store.positionOf(lineage, count, seen);
  };

  const openBase = async (): Promise<Base> => {
    const seen = store.versions;
    const before = isWatched ? last : undefined;
    return {
      entries: paused(contentEntries(seen, [...seen.keys()]), pause),
      retry: async () => undefined,
      finish: async (run) => {
        if (isWatched) await untilAborted(settled, run);
        if (isClosed) throw new TidemarkError('STORE_UNREACHABLE', 'simulated: its recorder is closed');
        const cut = next(seen);
        if (before === undefined) {
          disk.told = [{ position: cut, revisions: revisionsOf(seen) }];
          return baseEnd(cut, cut);
        }
        // What the base saw and nobody has told has to be told, also when it goes before that.
        const names = [...seen.keys()].map((name) => [name, NEVER_TOLD] as const);
        const known = disk.told.map((told) => ({ ...told, revisions: new Map([...names, ...told.revisions]) }));
        disk.told = [...known, { position: cut, revisions: must(known.at(-1), 'what is known').revisions }];
        return baseEnd(before, cut);
      },
      async [Symbol.asyncDispose]() {},
    };
  };

  const observe = (): Observation | undefined => {
    const seen = store.versions;
    const known = must(disk.told.at(-1), 'what was told').revisions;
    const there = [...seen].filter(([name, { revision }]) => known.get(name) !== revision).map(([name]) => name);
    const gone = [...known.keys()].filter((name) => !seen.has(name));
    if (there.length + gone.length === 0) return undefined;
    isLooking = true;
    const ended = Promise.withResolvers<void>();
    settled = ended.promise;
    return {
      entries: paused(contentEntries(seen, there), pause),
      removed: gone.toSorted(byName).map((name) => Buffer.from(name)),
      retry: async () => undefined,
      finish: async (run) => {
        run.signal.throwIfAborted();
        assume(isLooking && isWatched, 'an observation that goes on');
        const position = next(seen);
        disk.told = [...disk.told, { position, revisions: revisionsOf(seen) }];
        last = position;
        return baseEnd(position, position);
      },
      async [Symbol.asyncDispose]() {
        isLooking = false;
        ended.resolve();
      },
    };
  };

  const openObservations = async (after: Position): Promise<ObservationLog> => {
    const at = disk.told.findIndex((told) => placeOf(told.position) === placeOf(after));
    if (at < 0 || after.lineage !== lineage) throw positionLost('it is not known how it was');
    disk.told = disk.told.slice(0, at + 1);
    isWatched = true;
    last = after;
    return {
      observe: async () => observe(),
      changed: async (run) => {
        await untilAborted(store.changed, run);
        await pause(run);
      },
      acknowledge: (durable) => {
        const reached = disk.told.findIndex((told) => placeOf(told.position) === placeOf(durable));
        if (reached > 0) disk.told = disk.told.slice(reached);
      },
      async [Symbol.asyncDispose]() {
        isWatched = false;
      },
    };
  };

  return {
    lineage: { id: lineage },
    exact: 'observation',
    openBase,
    openObservations,
    async [Symbol.asyncDispose]() {
      isClosed = true;
    },
  };
}

function revisionsOf(versions: Versions): ReadonlyMap<string, number> {
  return new Map([...versions].map(([name, { revision }]) => [name, revision]));
}

function baseEnd(logFrom: Position, cut: Position) {
  return { logFrom, cut, skipped: [], skippedCount: 0, incompleteCount: 0 };
}

function placeOf({ lineage, order, resume }: Position): string {
  return `${lineage} ${order} ${resume}`;
}

function contentEntries(versions: Versions, names: readonly string[]): readonly Entry[] {
  return names.toSorted(byName).map((name): Entry => {
    const bytes = Buffer.from(must(versions.get(name), 'a version').text);
    const content = { cut: 'stream', kind: 'reader', open: async () => readerOf(bytes) } as const;
    return {
      name: Buffer.from(name),
      estimatedBytes: bytes.byteLength,
      describe: () => ({ attributes: Buffer.from('file'), content }),
    };
  });
}
