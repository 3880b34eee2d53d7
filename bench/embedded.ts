import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseArgs } from 'node:util';
import { openEmbedded } from '../src/connectors/embedded/connector.ts';
import { describeMachine } from './harness/machine.ts';
import { runMain } from './harness/main.ts';
import { orderOfTurn, spreadOf } from './harness/statistics.ts';
import { saveReport } from './report/report.ts';
import { plainTable } from './report/text.ts';
import type { Table } from './report/text.ts';

const HELP = `node bench/embedded.ts [options]
  --rounds N    (default 7)
  --folder DIR  where the files lie (default: the temporary folder, on a disk)
  --no-save     print only`;

/** What both can do. A batch is one transaction; keys are numbers. */
interface KeyValueStore extends Disposable {
  put(keys: readonly string[], value: Uint8Array): void;
  get(key: string): Uint8Array | undefined;
  /** So many entries from a key on; how many there were. */
  range(from: string, limit: number): number;
}

interface Workload {
  readonly name: string;
  /** Operations of one sample. */
  readonly count: number;
  run(store: KeyValueStore, count: number, offset: number): void;
}

interface Sample {
  readonly workload: string;
  readonly store: string;
  readonly round: number;
  readonly perSecond: number;
}

const VALUE = new Uint8Array(100).fill(120);
const KEYS = 100_000;
const MUST = 0.9;

/** Spread over the keys, the same for both. */
function keyOf(index: number): string {
  return `key/${String((index * 7_919) % KEYS).padStart(8, '0')}`;
}

function keysOf(offset: number, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => keyOf(offset + index));
}

/** The least that an application would write against the same tables: an entry, and a change with the value before it. */
function openBare(path: string): KeyValueStore {
  const database = new DatabaseSync(path);
  database.exec(`
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL, expires_at INTEGER)
      STRICT, WITHOUT ROWID;
    CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
    CREATE TABLE changes (revision INTEGER PRIMARY KEY, begin INTEGER, at_ms INTEGER NOT NULL, key BLOB NOT NULL, value BLOB, previous BLOB,
      expires_at INTEGER) STRICT;
  `);
  const begin = database.prepare('BEGIN IMMEDIATE');
  const commit = database.prepare('COMMIT');
  const one = database.prepare('SELECT key, value, revision, created, expires_at FROM entries WHERE key = ?');
  const change = database.prepare(
    'INSERT INTO changes (revision, begin, at_ms, key, value, previous, expires_at) VALUES (?, ?, ?, ?, ?, ?, NULL)',
  );
  const upsert = database.prepare(
    `INSERT INTO entries (key, value, revision, created) VALUES (?1, ?2, ?3, ?3)
      ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision`,
  );
  const head = database.prepare('SELECT coalesce(max(revision), 0) AS head FROM changes');
  const page = database.prepare(
    'SELECT key, value, revision, created, expires_at FROM entries WHERE key >= ? ORDER BY key LIMIT ?',
  );
  return {
    put(keys, value) {
      begin.run();
      const first = Number(head.get()?.['head']) + 1;
      for (const [index, key] of keys.entries()) {
        const bytes = Buffer.from(key);
        const previous = one.get(bytes)?.['value'];
        const revision = first + index;
        const before = previous instanceof Uint8Array ? previous : null;
        change.run(revision, index === 0 ? null : first, Date.now(), bytes, value, before);
        upsert.run(bytes, value, revision);
      }
      commit.run();
    },
    get(key) {
      const value = one.get(Buffer.from(key))?.['value'];
      return value instanceof Uint8Array ? value : undefined;
    },
    range(from, limit) {
      let count = 0;
      for (const row of page.iterate(Buffer.from(from), limit)) count += row['value'] === null ? 0 : 1;
      return count;
    },
    [Symbol.dispose]: () => database.close(),
  };
}

function openTidemark(path: string): KeyValueStore {
  const store = openEmbedded(path);
  return {
    put(keys, value) {
      const [only] = keys;
      if (keys.length === 1 && only !== undefined) store.put(only, value);
      else {
        store.transaction((transaction) => {
          for (const key of keys) transaction.put(key, value);
        });
      }
    },
    get: (key) => store.get(key),
    range(from, limit) {
      let count = 0;
      for (const { value } of store.range({ from, limit })) count += value.byteLength === 0 ? 0 : 1;
      return count;
    },
    [Symbol.dispose]: () => store[Symbol.dispose](),
  };
}

const STORES = [
  { name: 'node:sqlite', open: openBare },
  { name: 'tidemark', open: openTidemark },
] as const;

const BATCH = 50;
const RANGE = 100;

const WORKLOADS: readonly Workload[] = [
  {
    name: 'durable puts',
    count: 10_000,
    run(store, count, offset) {
      for (let index = 0; index < count; index++) store.put([keyOf(offset + index)], VALUE);
    },
  },
  {
    name: `puts batched by ${BATCH}`,
    count: 20_000,
    run(store, count, offset) {
      for (let index = 0; index < count; index += BATCH) store.put(keysOf(offset + index, BATCH), VALUE);
    },
  },
  {
    name: 'reads',
    count: 100_000,
    run(store, count, offset) {
      let found = 0;
      for (let index = 0; index < count; index++) found += store.get(keyOf(offset + index)) === undefined ? 0 : 1;
      if (found !== count) throw new Error(`${count - found} keys are missing`);
    },
  },
  {
    name: `entries in ranges of ${RANGE}`,
    count: 200_000,
    run(store, count, offset) {
      for (let index = 0; index < count; index += RANGE) {
        const found = store.range(`key/${String((offset + index) % (KEYS - RANGE)).padStart(8, '0')}`, RANGE);
        if (found !== RANGE) throw new Error(`${found} entries in a range`);
      }
    },
  },
];

function tableOf(samples: readonly Sample[]): Table {
  const rateOf = (workload: string, store: string): number[] =>
    samples.filter((one) => one.workload === workload && one.store === store).map(({ perSecond }) => perSecond);
  const rows = WORKLOADS.map(({ name }) => {
    const [bare, ours] = [rateOf(name, 'node:sqlite'), rateOf(name, 'tidemark')];
    const ratios = spreadOf(ours.map((rate, round) => rate / (bare[round] ?? rate)));
    const count = (rates: readonly number[]): string => Math.round(spreadOf(rates).median).toLocaleString('en');
    const range = `${ratios.min.toFixed(2)} to ${ratios.max.toFixed(2)}`;
    return [name, count(bare), count(ours), ratios.median.toFixed(2), range, ratios.median >= MUST ? 'yes' : 'NO'];
  });
  const columns = ['a second', 'node:sqlite', 'tidemark', 'ratio', 'rounds', `must: ≥ ${MUST}`];
  return { title: 'Against node:sqlite with the same tables', columns, rows };
}

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      rounds: { type: 'string', default: '7' },
      folder: { type: 'string', default: tmpdir() },
      save: { type: 'boolean', default: true },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const folder = mkdtempSync(join(values.folder, 'tidemark-bench-'));
  using cleanUp = new DisposableStack();
  cleanUp.defer(() => rmSync(folder, { recursive: true, force: true }));
  const stores = STORES.map(({ name, open }) => ({ name, store: cleanUp.use(open(join(folder, `${name}.db`))) }));
  for (const { store } of stores) {
    for (let index = 0; index < KEYS; index += 1_000) store.put(keysOf(index, 1_000), VALUE);
  }
  const samples: Sample[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const { name, count, run } of WORKLOADS) {
      for (const { name: store, store: opened } of orderOfTurn(stores, round)) {
        signal.throwIfAborted();
        const startMs = performance.now();
        run(opened, count, round * 13_007);
        samples.push({ workload: name, store, round, perSecond: (count / (performance.now() - startMs)) * 1_000 });
      }
    }
  }
  const table = tableOf(samples);
  console.log(plainTable(table));
  if (!values.save) return;
  saveReport({
    name: 'embedded',
    title: 'Embedded store',
    notes: [
      `Values of ${VALUE.byteLength} bytes under ${KEYS.toLocaleString('en')} keys, ${values.rounds} rounds in changing order; medians.`,
      'node:sqlite: the least that an application would write against the same tables, with the value before each change.',
      'Every commit is synced to the disk.',
    ],
    machine: describeMachine(),
    tables: [table],
    samples,
  });
}

await runMain(main);
