import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openEmbedded } from '../src/connectors/embedded/connector.ts';
import { orderOfTurn, quantileOf, spreadOf } from './harness/statistics.ts';
import { describeMachine } from './harness/machine.ts';
import { runMain } from './harness/main.ts';
import { readRecorded, rollForwardRate } from './recording/read-back.ts';
import { UpProcess, write } from './recording/up-process.ts';
import { saveReport } from './report/report.ts';
import { plainTable } from './report/text.ts';
import type { Table } from './report/text.ts';

const HELP = `node bench/recording.ts [options]
  --rounds N    (default 7)
  --folder DIR  where everything lies (default: the temporary folder, on a disk)
  --files N     watched files (default 100000)
  --only NAME   load, latency, idle, roll-forward or files; may be repeated
  --no-save     print only`;

const FLUSH_MS = 1_000;
const LOAD_SECONDS = 5;
const POLL_MS = 100;

type Row = readonly string[];
type Scenario = (folder: string, options: Options) => Promise<readonly Row[]>;
type Options = { readonly rounds: number; readonly files: number; readonly signal: AbortSignal };

const fixed = (value: number, digits = 2): string => value.toFixed(digits);
const verdict = (isMet: boolean): string => (isMet ? 'yes' : 'NO');

/** The disk's own: of 4 KiB, appended. */
function fsyncP99Ms(folder: string): number {
  const path = join(folder, 'fsync');
  const file = openSync(path, 'w');
  const block = Buffer.alloc(4096);
  const times = Array.from({ length: 300 }, () => {
    const startMs = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    return performance.now() - startMs;
  });
  closeSync(file);
  rmSync(path);
  return quantileOf(times, 0.99);
}

async function measureLoad(folder: string, { rounds, signal }: Options): Promise<readonly Row[]> {
  const file = join(folder, 'store.db');
  using store = openEmbedded(file);
  store.put('a', 'b');
  const up = new UpProcess(folder, { store: 'embedded:./store.db' }, { signal });
  const rates: Record<string, number[]> = { alone: [], archived: [] };
  let mostLagMs = 0;
  await up.start();
  await up.stop();
  for (let round = 0; round < rounds; round++) {
    for (const how of orderOfTurn(['alone', 'archived'], round)) {
      if (how === 'archived') await up.start();
      const done = new AbortController();
      const watched = how === 'archived' ? mostLag(up, done.signal) : Promise.resolve(0);
      rates[how]?.push(Number(await write(['load', file, '50', String(LOAD_SECONDS)])));
      done.abort();
      mostLagMs = Math.max(mostLagMs, await watched);
      await up.stop();
    }
  }
  const [alone = [], archived = []] = [rates['alone'], rates['archived']];
  const ratios = spreadOf(archived.map((rate, round) => rate / (alone[round] ?? rate)));
  return [
    [
      'writer under full load, batches of 50: archived / alone',
      `${fixed(ratios.median)} (${fixed(ratios.min)} to ${fixed(ratios.max)}); ${Math.round(spreadOf(archived).median)} puts/s`,
      '≥ 0.9',
      verdict(ratios.median >= 0.9),
    ],
    ['most behind meanwhile', `${Math.round(mostLagMs)} ms`, '≤ 1,500 ms', verdict(mostLagMs <= 1_500)],
  ];
}

async function mostLag(up: UpProcess, done: AbortSignal): Promise<number> {
  let most = 0;
  while (!done.aborted) {
    const status = await up.status();
    most = Math.max(most, ...(status?.stores.map(({ lagMs = 0 }) => lagMs) ?? []));
    await sleep(POLL_MS);
  }
  return most;
}

async function measureLatency(folder: string, { rounds, signal }: Options): Promise<readonly Row[]> {
  const file = join(folder, 'store.db');
  using store = openEmbedded(file);
  store.put('a', 'b');
  const up = new UpProcess(folder, { store: 'embedded:./store.db' }, { signal });
  await up.start();
  const fsyncMs = fsyncP99Ms(folder);
  await write(['steady', file, '20', String(rounds * 4)]);
  await sleep(2 * FLUSH_MS);
  await up.stop();
  const { transactions } = await readRecorded(up, 'store', signal);
  const p99 = quantileOf(
    transactions.map(({ atMs, storedMs }) => storedMs - atMs),
    0.99,
  );
  const limitMs = FLUSH_MS + 3 * fsyncMs;
  return [
    [
      `from commit to repository, p99 of ${transactions.length} commits (the disk’s fsync p99: ${fixed(fsyncMs, 1)} ms)`,
      `${Math.round(p99)} ms`,
      `≤ flush + 3 × fsync p99 = ${Math.round(limitMs)} ms`,
      verdict(p99 <= limitMs),
    ],
  ];
}

async function measureIdle(folder: string, { signal }: Options): Promise<readonly Row[]> {
  const names = Array.from({ length: 10 }, (_, index) => `store${index}`);
  for (const name of names) {
    using store = openEmbedded(join(folder, `${name}.db`));
    store.put('a', 'b');
  }
  const stores = Object.fromEntries(names.map((name) => [name, `embedded:./${name}.db`]));
  const up = new UpProcess(folder, stores, { signal });
  await up.start();
  await up.stop();
  await up.start();
  await sleep(5_000);
  const { share, residentBytes } = await usageOver(up, 30);
  await up.stop();
  return [
    ['`up` idle with 10 stores: of a core', `${fixed(share * 100)} %`, '≤ 1 %', verdict(share <= 0.01)],
    ['its resident memory', `${Math.round(residentBytes / 2 ** 20)} MiB`, '≤ 150 MB', verdict(residentBytes <= 150e6)],
  ];
}

async function usageOver(up: UpProcess, seconds: number): Promise<{ share: number; residentBytes: number }> {
  const before = up.usage();
  await sleep(seconds * 1_000);
  const after = up.usage();
  return { share: (after.cpuSeconds - before.cpuSeconds) / seconds, residentBytes: after.residentBytes };
}

async function measureRollForward(folder: string, { rounds, signal }: Options): Promise<readonly Row[]> {
  const file = join(folder, 'store.db');
  using store = openEmbedded(file);
  store.put('a', 'b');
  const up = new UpProcess(folder, { store: 'embedded:./store.db' }, { signal });
  await up.start();
  await write(['load', file, '50', '20']);
  await sleep(2 * FLUSH_MS);
  await up.stop();
  const { rates, changes } = await rollForwardRate(up, { store: 'store', rounds }, signal);
  const spread = spreadOf(rates);
  return [
    [
      `roll forward of ${changes.toLocaleString('en')} changes, into the file beside, verified: changes a second`,
      `${Math.round(spread.median).toLocaleString('en')} (${Math.round(spread.min)} to ${Math.round(spread.max)})`,
      '≥ 100,000',
      verdict(spread.median >= 100_000),
    ],
  ];
}

async function measureFiles(folder: string, { files, signal }: Options): Promise<readonly Row[]> {
  const root = join(folder, 'tree');
  for (let index = 0; index < files; index++) {
    if (index % 50 === 0) mkdirSync(join(root, String(index / 50)), { recursive: true });
    writeFileSync(join(root, String(Math.floor(index / 50)), String(index)), `file ${index}`);
  }
  const log = join(folder, 'written.log');
  writeFileSync(log, '');
  const up = new UpProcess(folder, { tree: 'files:./tree' }, { signal });
  await up.start();
  await up.stop();
  await up.start();
  await sleep(10_000);
  const idle = await usageOver(up, 30);
  await write(['files', root, String(files), '1000', '30', log]);
  const { residentBytes } = up.usage();
  await sleep(4_000);
  await up.stop();
  const { names } = await readRecorded(up, 'tree', signal);
  const late = readFileSync(log, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [name = '', atMs] = line.split(' ');
      const storedMs = names.get(name.replaceAll('/', '\0'))?.find((timeMs) => timeMs >= Number(atMs));
      return (storedMs ?? Infinity) - Number(atMs);
    });
  const p99 = quantileOf(late, 0.99);
  return [
    [
      `${files.toLocaleString('en')} files watched, 1,000 changes a second: in the repository, p99 of ${late.length}`,
      `${Math.round(p99)} ms`,
      '< 3,000 ms',
      verdict(p99 < 3_000),
    ],
    ['its resident memory', `${Math.round(residentBytes / 1e6)} MB`, '≤ 250 MB', verdict(residentBytes <= 250e6)],
    ['idle, with a mark every 5 s: of a core', `${fixed(idle.share * 100)} %`, '≤ 2 %', verdict(idle.share <= 0.02)],
  ];
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  load: measureLoad,
  latency: measureLatency,
  idle: measureIdle,
  'roll-forward': measureRollForward,
  files: measureFiles,
};

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      rounds: { type: 'string', default: '7' },
      files: { type: 'string', default: '100000' },
      folder: { type: 'string', default: tmpdir() },
      only: { type: 'string', multiple: true, default: Object.keys(SCENARIOS) },
      save: { type: 'boolean', default: true },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const options = { rounds: Number(values.rounds), files: Number(values.files), signal };
  const rows: Row[] = [];
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    if (!values.only.includes(name)) continue;
    const folder = mkdtempSync(join(values.folder, 'tidemark-bench-'));
    using cleanUp = new DisposableStack();
    cleanUp.defer(() => rmSync(folder, { recursive: true, force: true }));
    const found = await scenario(folder, options);
    rows.push(...found);
    for (const row of found) console.log(row.join(' | '));
  }
  const columns = ['what', 'measured', 'must', 'met'];
  const table: Table = { title: 'Recording', columns, rows };
  console.log(plainTable(table));
  if (!values.save) return;
  saveReport({
    name: 'recording',
    title: 'Recording',
    notes: [
      'The compiled `tidemark up` with its default manifest, the repository and the stores on one disk, the writer in a process of its own.',
      `Pairs in changing order, ${values.rounds} rounds; medians and ranges.`,
    ],
    machine: describeMachine(),
    tables: [table],
    samples: rows,
  });
}

await runMain(main);
