import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidemarkError } from '../core/errors.ts';
import { orderOf } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import { must } from '../core/must.ts';
import type { Base, Entry, Observation, ObservationLog, Recorder } from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import { checkMemoryEntry, MemoryStore, valuesOf } from './memory-store.ts';
import { observationChecks, registerObservationSuite, runObservationCheck } from './observation-suite.ts';
import type { ObservationSuite } from './observation-suite.ts';

type Values = ReadonlyMap<string, string>;

/** What a host keeps: how the store was at each position that it gave out, and which names it told there. */
type Kept = { readonly states: Map<string, Values>; readonly told: Map<string, readonly string[]>; count: number };

function nothingKept(count = 0): Kept {
  return { states: new Map(), told: new Map(), count };
}

/** A store in memory without a log of its own, which is observed. */
class ObservedStore {
  readonly values = new Map<string, string>();
  kept = nothingKept();
  #woken = Promise.withResolvers<void>();
  #changes = 0;
  #seen = -1;
  readonly #ghosts = new Set<string>();

  put(key: string, value: string | undefined): void {
    if (value === undefined) this.values.delete(key);
    else this.values.set(key, value);
    this.#changes++;
    this.#woken.resolve();
    this.#woken = Promise.withResolvers();
  }

  openRecorder(): Recorder {
    let last: Position | undefined;
    return {
      lineage: { id: 'l1' },
      exact: 'observation',
      openBase: async ({ signal }) => {
        signal.throwIfAborted();
        const [seen, logFrom] = [new Map(this.values), last];
        // What it saw may be gone before anything is observed again.
        for (const key of seen.keys()) this.#ghosts.add(key);
        const cut = (): Position => this.#give(last === undefined ? seen : this.#stateAt(last));
        return await baseOf(seen, new Set(seen.keys()), { cut, logFrom });
      },
      openObservations: async (after, { signal }) => {
        signal.throwIfAborted();
        this.#stateAt(after);
        last = after;
        return this.#log(after, (position) => {
          last = position;
        });
      },
      async [Symbol.asyncDispose]() {},
    };
  }

  #log(after: Position, onLast: (position: Position) => void): ObservationLog {
    let known = this.#goBackTo(after);
    return {
      observe: async ({ signal }) => {
        signal.throwIfAborted();
        this.#seen = this.#changes;
        const now = new Map(this.values);
        const changed = [...now.keys()].filter((key) => now.get(key) !== known.get(key));
        const removed = [...new Set([...known.keys(), ...this.#ghosts])].filter((key) => !now.has(key)).sort();
        if (changed.length === 0 && removed.length === 0) return undefined;
        const cut = (): Position => {
          const position = this.#give(now);
          known = now;
          this.kept.told.set(position.order, [...changed, ...removed]);
          for (const key of removed) this.#ghosts.delete(key);
          onLast(position);
          return position;
        };
        const base = await baseOf(now, new Set(changed), { cut, logFrom: undefined });
        return { ...base, removed: removed.map((key) => Buffer.from(key)) };
      },
      changed: async ({ signal }) => {
        signal.throwIfAborted();
        if (this.#seen === this.#changes) await this.#woken.promise;
      },
      acknowledge() {},
      async [Symbol.asyncDispose]() {},
    };
  }

  /** What was told after it may be held somewhere. */
  #goBackTo(after: Position): Values {
    const known = new Map(this.#stateAt(after));
    for (const [order, names] of this.kept.told) {
      if (order <= after.order) continue;
      for (const name of names) {
        known.delete(name);
        this.#ghosts.add(name);
      }
    }
    return known;
  }

  #give(state: Values): Position {
    const order = orderOf(++this.kept.count);
    this.kept.states.set(order, state);
    return { lineage: 'l1', order, resume: '' };
  }

  #stateAt({ lineage, order }: Position): Values {
    const state = this.kept.states.get(order);
    if (lineage === 'l1' && state !== undefined) return state;
    throw new TidemarkError('POSITION_LOST', 'not known here', { disposition: 'resync' });
  }
}

type Cut = { cut(): Position; readonly logFrom: Position | undefined };

/** Names of `values` that are in `names`. `cut` is asked for when it is finished. */
async function baseOf(values: Values, names: ReadonlySet<string>, { cut, logFrom }: Cut): Promise<Base> {
  const store = new MemoryStore('l1');
  for (const [key, value] of values) if (names.has(key)) store.put(key, value);
  const base = await store.openRecorder().openBase({ signal: new AbortController().signal });
  return {
    entries: unrecognized(base),
    retry: (entry, cause, run) => base.retry(entry, cause, run),
    async finish(run) {
      const end = await base.finish(run);
      const position = cut();
      return { ...end, logFrom: logFrom ?? position, cut: position };
    },
    [Symbol.asyncDispose]: () => base[Symbol.asyncDispose](),
  };
}

/** The revisions of a store made for the purpose say nothing. */
async function* unrecognized({ entries }: Base): AsyncGenerator<readonly Entry[]> {
  for await (const batch of entries) yield batch.map((entry) => ({ ...entry, fingerprint: undefined }));
}

type Wrap = (recorder: Recorder, store: ObservedStore) => Recorder;

function suiteOf(name: string, wrap: Wrap = (recorder) => recorder): ObservationSuite {
  return {
    name,
    connector: { checkEntry: checkMemoryEntry },
    seed: 1,
    async open() {
      const store = new ObservedStore();
      return {
        open: async () => wrap(store.openRecorder(), store),
        put: async (key, value) => store.put(key, value),
        restored: async (base, run) => await valuesOf(base, run),
        async forget() {
          store.kept = nothingKept(store.kept.count);
        },
        async [Symbol.asyncDispose]() {},
      };
    },
  };
}

registerObservationSuite({ ...suiteOf('memory'), seed: undefined });

function withLog(change: (log: ObservationLog, store: ObservedStore) => Partial<ObservationLog>): Wrap {
  return (recorder, store) => ({
    ...recorder,
    async openObservations(after, run) {
      const log = await openHonestly(recorder, after, run);
      return { ...log, ...change(log, store) };
    },
  });
}

async function openHonestly(recorder: Recorder, after: Position, run: Run): Promise<ObservationLog> {
  return await must(recorder.openObservations, 'observations').call(recorder, after, run);
}

function withObservation(change: (observation: Observation) => Partial<Observation>): Wrap {
  return withLog((log) => ({
    async observe(run) {
      const observation = await log.observe(run);
      return observation && { ...observation, ...change(observation) };
    },
  }));
}

type Liar = readonly [name: string, noticedBy: string, wrap: Wrap];

const liars: readonly Liar[] = [
  ['does not tell what is removed', 'what was put before', withObservation(() => ({ removed: [] }))],
  [
    'leaves an entry out',
    'what was put before',
    withObservation((observation) => ({ entries: withoutFirst(observation) })),
  ],
  [
    'tells what its connector does not know',
    'can be decoded',
    withObservation((observation) => ({ entries: withoutAttributes(observation) })),
  ],
  ['tells of nothing', 'where nothing happens', alwaysTelling],
  [
    'takes what it handed out for told',
    'left early',
    withLog((log) => ({
      async observe(run) {
        const observation = await log.observe(run);
        if (observation === undefined) return undefined;
        const told = await Array.fromAsync(observation.entries);
        const end = await observation.finish(run);
        return { ...observation, entries: each(told), finish: async () => end };
      },
    })),
  ],
  [
    'does not look at what is there again',
    'removed and put again',
    withLog((log, store) => {
      const put = store.put.bind(store);
      const gone = new Set<string>();
      store.put = (key, value) => {
        if (value === undefined) gone.add(key);
        else if (gone.delete(key)) return;
        put(key, value);
      };
      return log;
    }),
  ],
  [
    'begins with what is there at its start',
    'after a restart',
    (recorder, store) => ({
      ...recorder,
      async openObservations(after, run) {
        await openHonestly(recorder, after, run);
        store.kept.states.set(after.order, new Map(store.values));
        return await openHonestly(recorder, after, run);
      },
    }),
  ],
  [
    'takes back what it told',
    'goes back to',
    (recorder, store) => ({
      ...recorder,
      async openObservations(after, run) {
        store.kept.told.clear();
        return await openHonestly(recorder, after, run);
      },
    }),
  ],
  [
    'goes on from anywhere',
    'this host does not know',
    (recorder, store) => ({
      ...recorder,
      async openObservations({ order, resume }, run) {
        if (!store.kept.states.has(order)) store.kept.states.set(order, new Map());
        return await openHonestly(recorder, { lineage: 'l1', order, resume }, run);
      },
    }),
  ],
  [
    'says that its bases need no log',
    'taken meanwhile',
    (recorder) => ({
      ...recorder,
      async openBase(run) {
        const base = await recorder.openBase(run);
        return {
          ...base,
          async finish(inner) {
            const end = await base.finish(inner);
            return { ...end, logFrom: end.cut };
          },
        };
      },
    }),
  ],
  [
    'does not look at the signal',
    'ends with its signal',
    withLog((log) => ({ changed: () => log.changed({ signal: new AbortController().signal }) })),
  ],
];

/** Takes what it told for told, and tells it once more. */
function alwaysTelling(recorder: Recorder, store: ObservedStore): Recorder {
  const wrap = withLog((log) => ({
    async observe(run) {
      const observation = await log.observe(run);
      if (observation !== undefined) return observation;
      store.put('again', String(Math.random()));
      return await log.observe(run);
    },
  }));
  return wrap(recorder, store);
}

async function* withoutFirst({ entries }: Observation): AsyncGenerator<readonly Entry[]> {
  let first = true;
  for await (const batch of entries) {
    yield first ? batch.slice(1) : batch;
    first = false;
  }
}

async function* withoutAttributes({ entries }: Observation): AsyncGenerator<readonly Entry[]> {
  for await (const batch of entries) {
    yield batch.map((entry) => ({
      ...entry,
      describe: () => ({ ...entry.describe(), attributes: Buffer.of() }),
    }));
  }
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

for (const [name, noticedBy, wrap] of liars) {
  test(`a log that ${name} is noticed`, async (t) => {
    const check = observationChecks.find(({ title }) => title.includes(noticedBy));
    assert.ok(check !== undefined, `a check about “${noticedBy}”`);
    await assert.rejects(runObservationCheck(check, suiteOf('liar', wrap), t.signal), /^Error: seed 1: /);
  });
}

test('each promise is broken by some liar', () => {
  const unbroken = observationChecks.filter(({ title }) => !liars.some(([, noticedBy]) => title.includes(noticedBy)));
  assert.deepEqual(unbroken, []);
});
