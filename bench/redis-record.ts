import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openClient } from '../src/connectors/redis/resp-client.ts';
import type { RedisClient } from '../src/connectors/redis/resp-client.ts';
import { parseInfo } from '../src/connectors/redis/link/replication-info.ts';
import { freePort } from '../test/servers/free-port.ts';
import { describeMachine } from './harness/machine.ts';
import { runMain } from './harness/main.ts';
import { orderOfTurn, spreadOf } from './harness/statistics.ts';
import { UpProcess } from './recording/up-process.ts';
import { saveReport } from './report/report.ts';
import { plainTable } from './report/text.ts';
import type { Table } from './report/text.ts';

const HELP = `node bench/redis-record.ts [options]
  --rounds N    (default 7)
  --seconds N   of load a round and kind, about (default 6)
  --folder DIR  where everything lies (default: the temporary folder, on a disk)
  --large N     GB of the data set of the memory scenario (default 4)
  --only NAME   load or large; may be repeated
  --no-save     print only`;

const POLL_MS = 50;
const KINDS = ['replica', 'recorder'] as const;
type Kind = (typeof KINDS)[number];
type Row = readonly string[];
type Options = {
  readonly rounds: number;
  readonly seconds: number;
  readonly largeGB: number;
  readonly signal: AbortSignal;
};

const fixed = (value: number, digits = 2): string => value.toFixed(digits);
const verdict = (isMet: boolean): string => (isMet ? 'yes' : 'NO');

/** A Redis of its own that saves nothing. */
class Redis implements AsyncDisposable {
  readonly port: number;
  readonly client: RedisClient;
  readonly #child: ChildProcess;

  static async start(folder: string, args: readonly string[], signal: AbortSignal): Promise<Redis> {
    const port = await freePort();
    mkdirSync(folder, { recursive: true });
    const settings = [
      '--port',
      `${port}`,
      '--dir',
      folder,
      '--save',
      '',
      '--bind',
      '127.0.0.1',
      '--repl-diskless-sync-delay',
      '0',
    ];
    const child = spawn('redis-server', [...settings, '--enable-debug-command', 'yes', ...args], { stdio: 'ignore' });
    for (;;) {
      signal.throwIfAborted();
      try {
        const client = await openClient(
          { host: '127.0.0.1', port, password: async () => undefined },
          { signal },
          { silenceMs: 120_000 },
        );
        return new Redis(port, client, child);
      } catch {
        await sleep(20);
      }
    }
  }

  private constructor(port: number, client: RedisClient, child: ChildProcess) {
    this.port = port;
    this.client = client;
    this.#child = child;
  }

  async info(section: string): Promise<ReadonlyMap<string, string>> {
    return parseInfo(await this.client.call(['INFO', section], { signal: AbortSignal.timeout(60_000) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
  }
}

/** Requests a second that the load generator saw. */
async function load(port: number, requests: number): Promise<number> {
  const words = ['-p', `${port}`, '-t', 'set', '-P', '16', '-r', '1000000', '-n', `${requests}`, '--csv'];
  const child = spawn('redis-benchmark', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  await once(child, 'close');
  const rate = /"SET","([\d.]+)"/.exec(text)?.[1];
  if (rate === undefined) throw new Error(`redis-benchmark says ${text}`);
  return Number(rate);
}

type Watched = { readonly behindMs: number; readonly lagMs: number; readonly residentBytes: number };

/**
 * `behindMs`: from when the master was at an offset until it heard that all up to there is in the repository. `lagMs`: what the agent says of itself.
 */
async function mostBehind(up: UpProcess, master: Redis, done: AbortSignal): Promise<Watched> {
  let [behindMs, lagMs, residentBytes] = [0, 0, 0];
  const passed: { readonly offset: number; readonly atMs: number }[] = [];
  while (!done.aborted) {
    const fields = await master.info('replication');
    const nowMs = performance.now();
    passed.push({ offset: Number(fields.get('master_repl_offset')), atMs: nowMs });
    const heard = Number(/offset=(\d+)/.exec(fields.get('slave0') ?? '')?.[1] ?? 0);
    while (passed.length > 1 && (passed[0]?.offset ?? Infinity) <= heard) passed.shift();
    behindMs = Math.max(behindMs, nowMs - (passed[0]?.atMs ?? nowMs));
    const status = await up.status();
    lagMs = Math.max(lagMs, ...(status?.stores.map((store) => store.lagMs ?? 0) ?? []));
    residentBytes = Math.max(residentBytes, up.usage().residentBytes);
    await sleep(POLL_MS);
  }
  return { behindMs, lagMs, residentBytes };
}

async function measureLoad(folder: string, { rounds, seconds, signal }: Options): Promise<readonly Row[]> {
  await using master = await Redis.start(join(folder, 'master'), [], signal);
  const up = new UpProcess(join(folder, 'up'), { store: `redis://127.0.0.1:${master.port}` }, { signal });
  const requests = Math.round((await load(master.port, 300_000)) * seconds * 0.6);
  const rates: Record<Kind, number[]> = { replica: [], recorder: [] };
  let [mostBehindMs, mostLagMs, mostBytes] = [0, 0, 0];
  for (let round = 0; round < rounds; round++) {
    for (const kind of orderOfTurn(KINDS, round)) {
      await master.client.call(['FLUSHALL'], { signal });
      if (kind === 'replica') {
        await using replica = await Redis.start(
          join(folder, 'replica'),
          ['--replicaof', `127.0.0.1 ${master.port}`],
          signal,
        );
        while ((await replica.info('replication')).get('master_link_status') !== 'up') await sleep(20);
        rates.replica.push(await load(master.port, requests));
        continue;
      }
      await up.start();
      const done = new AbortController();
      const watched = mostBehind(up, master, done.signal);
      rates.recorder.push(await load(master.port, requests));
      done.abort();
      const { behindMs, lagMs, residentBytes } = await watched;
      mostBehindMs = Math.max(mostBehindMs, behindMs);
      mostLagMs = Math.max(mostLagMs, lagMs);
      mostBytes = Math.max(mostBytes, residentBytes);
      await up.stop();
    }
  }
  const ratios = spreadOf(rates.recorder.map((rate, round) => rate / (rates.replica[round] ?? rate)));
  const { median } = spreadOf(rates.recorder);
  return [
    [
      'SETs a second at the master, redis-benchmark -P 16: with a recorder / with a native replica',
      `${fixed(ratios.median)} (${fixed(ratios.min)} to ${fixed(ratios.max)}); ${Math.round(median).toLocaleString('en')} with the recorder`,
      '≥ 0.93',
      verdict(ratios.median >= 0.93),
    ],
    [
      'most behind meanwhile, from the master’s write to the repository (as its agent says)',
      `${Math.round(mostBehindMs)} ms (${Math.round(mostLagMs)} ms)`,
      '≤ 1,500 ms',
      verdict(Math.max(mostBehindMs, mostLagMs) <= 1_500),
    ],
    ['its resident memory', `${Math.round(mostBytes / 1e6)} MB`, '≤ 250 MB', verdict(mostBytes <= 250e6)],
  ];
}

async function measureLarge(folder: string, { largeGB, signal }: Options): Promise<readonly Row[]> {
  await using master = await Redis.start(join(folder, 'master'), ['--rdbcompression', 'no'], signal);
  const keys = Math.round((largeGB * 1e9) / 10_000);
  await master.client.call(['DEBUG', 'POPULATE', `${keys}`, 'key', '9900'], { signal });
  const up = new UpProcess(join(folder, 'up'), { store: `redis://127.0.0.1:${master.port}` }, { signal });
  const startMs = performance.now();
  let mostBytes = 0;
  const watching = setInterval(() => {
    try {
      mostBytes = Math.max(mostBytes, up.usage().residentBytes);
    } catch {
      // It has not begun yet.
    }
  }, POLL_MS);
  await up.start();
  clearInterval(watching);
  const seconds = (performance.now() - startMs) / 1_000;
  await up.stop();
  const used = Number((await master.info('memory')).get('used_memory'));
  return [
    [
      `the recorder’s resident memory, first base of ${fixed(used / 1e9, 1)} GB, in ${fixed(seconds, 0)} s`,
      `${Math.round(mostBytes / 1e6)} MB`,
      '≤ 250 MB',
      verdict(mostBytes <= 250e6),
    ],
  ];
}

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      rounds: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '6' },
      large: { type: 'string', default: '4' },
      folder: { type: 'string', default: tmpdir() },
      only: { type: 'string', multiple: true, default: ['load', 'large'] },
      save: { type: 'boolean', default: true },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const options = {
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    largeGB: Number(values.large),
    signal,
  };
  const rows: Row[] = [];
  for (const [name, scenario] of Object.entries({ load: measureLoad, large: measureLarge })) {
    if (!values.only.includes(name)) continue;
    const folder = mkdtempSync(join(values.folder, 'tidemark-bench-'));
    using cleanUp = new DisposableStack();
    cleanUp.defer(() => rmSync(folder, { recursive: true, force: true }));
    const found = await scenario(folder, options);
    rows.push(...found);
    for (const row of found) console.log(row.join(' | '));
  }
  const table: Table = { title: 'Recording Redis', columns: ['what', 'measured', 'must', 'met'], rows };
  console.log(plainTable(table));
  if (!values.save) return;
  saveReport({
    name: 'redis-record',
    title: 'Recording Redis',
    notes: [
      'The compiled `tidemark up` with its default manifest; repository, spool and servers on one machine and disk.',
      `Pairs in changing order, ${values.rounds} rounds; medians and ranges.`,
    ],
    machine: describeMachine(),
    tables: [table],
    samples: rows,
  });
}

await runMain(main);
