import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '../../src/core/must.ts';
import { GuardedFolder } from '../../test/servers/guarded.ts';
import { startRedis } from '../../test/servers/redis.ts';
import type { RedisServer } from '../../test/servers/redis.ts';
import { orderOfTurn, spreadOf } from '../harness/statistics.ts';
import { UpProcess } from '../recording/up-process.ts';
import { runRedisBenchmark, startFilledRedis } from '../servers.ts';
import { behindOf, watchServer } from './behind.ts';
import type { Reached } from './behind.ts';
import { beside, bounded, compared, count, GIGABYTE, megabytes, milliseconds, say, seconds } from './rows.ts';
import type { Options, Part } from './rows.ts';

const STORE = 'cache';
const EVERY_MS = 50;
/** Until what was written last is in the repository. */
const SETTLE_MS = 2_500;
const SET_BYTES = 100;
const KEYS = 1_000_000;

/** Asks on a connection of its own how far a server's log is. */
class OffsetProbe implements Disposable {
  readonly #socket: Socket;
  #text = '';

  private constructor(socket: Socket) {
    this.#socket = socket.setEncoding('latin1');
    socket.on('data', (piece: string) => (this.#text += piece));
  }

  static async open({ port }: RedisServer): Promise<OffsetProbe> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new OffsetProbe(socket);
  }

  async ask(): Promise<Reached> {
    const atMs = Date.now();
    this.#text = '';
    this.#socket.write('INFO replication\r\n');
    for (;;) {
      const offset = /master_repl_offset:(\d+)\r[\s\S]*repl_backlog_histlen:\d+\r\n\r\n/.exec(this.#text)?.[1];
      if (offset !== undefined) return { atMs, at: BigInt(offset) };
      await once(this.#socket, 'data');
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

type Load = { readonly rate: number; readonly behindMs: readonly number[]; readonly cpuSeconds: number };

const HOWS = ['replica', 'tidemark', 'alone'] as const;

/** The same load on a fresh master, with one that follows it or none. */
async function loadMaster(how: (typeof HOWS)[number], requests: number, signal: AbortSignal): Promise<Load> {
  await using stack = new AsyncDisposableStack();
  const master = stack.use(await startRedis());
  const load = { requests, valueBytes: SET_BYTES, keys: KEYS };
  if (how === 'replica') stack.use(await startRedis({ replicaOf: master }));
  if (how !== 'tidemark') return { rate: await runRedisBenchmark(master, load), behindMs: [], cpuSeconds: 0 };
  const folder = stack.use(new GuardedFolder('bench'));
  const up = stack.use(new UpProcess(folder.path, { [STORE]: master.url }, { signal }));
  await up.start();
  using probe = await OffsetProbe.open(master);
  const done = new AbortController();
  const before = up.usage();
  const watching = watchServer(() => probe.ask(), { everyMs: EVERY_MS, done: done.signal });
  const rate = await runRedisBenchmark(master, load);
  done.abort();
  const reached = await watching;
  await master.call('set', 'last', 'one');
  await sleep(SETTLE_MS);
  const cpuSeconds = up.usage().cpuSeconds - before.cpuSeconds;
  await up.stop();
  return { rate, behindMs: await behindOf(up, reached, { store: STORE, signal }), cpuSeconds };
}

export const redisRecorder =
  (requests: number) =>
  async ({ rounds, signal }: Options): Promise<Part> => {
    const rates: Record<string, number[]> = { replica: [], tidemark: [], alone: [] };
    const most: number[] = [];
    const cpu: number[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const how of orderOfTurn(HOWS, round)) {
        signal.throwIfAborted();
        const { rate, behindMs, cpuSeconds } = await loadMaster(how, requests, signal);
        must(rates[how], 'a list').push(rate);
        if (how === 'tidemark') {
          most.push(Math.max(...behindMs));
          cpu.push(cpuSeconds);
        }
        const told = how === 'tidemark' ? `, most behind ${milliseconds(Math.max(...behindMs))}` : '';
        say(`recorder, round ${round + 1} of ${rounds}: ${how} ${count(rate)} SETs/s${told}`);
      }
    }
    const { replica = [], tidemark = [], alone = [] } = rates;
    return {
      title: 'Redis: recorder under load',
      notes: [
        `\`redis-benchmark -P 16 -c 50 -t set -r ${count(KEYS)} -d ${SET_BYTES} -n ${count(requests)}\` on a fresh master, which one native replica follows, or \`tidemark up\`, or nobody; ${rounds} rounds in changing order.`,
        `Behind: the master’s offset each ${EVERY_MS} ms, and how long after that the repository held it. \`up\` took ${spreadOf(cpu).median.toFixed(1)} s of processor time for a load.`,
      ],
      rows: [
        compared({
          what: 'SETs a second: recorded / with a native replica',
          ours: tidemark,
          theirs: replica,
          shown: count,
          kind: 'rate',
          must: 0.93,
        }),
        bounded({ what: 'most behind meanwhile', values: most, most: 1_500, shown: milliseconds, by: 'worst' }),
        beside('SETs a second of a master that nobody follows', alone, count),
      ],
      samples: { replica, tidemark, alone, mostBehindMs: most, upCpuSeconds: cpu },
    };
  };

/** The first base of a large data set, and a load after it. */
export async function redisMemory({ gigabytes, signal }: Options): Promise<Part> {
  await using stack = new AsyncDisposableStack();
  const startMs = performance.now();
  const master = stack.use(await startFilledRedis({ sizeBytes: gigabytes * GIGABYTE }));
  say(`memory: filled in ${seconds(performance.now() - startMs)}`);
  const folder = stack.use(new GuardedFolder('bench'));
  const up = stack.use(new UpProcess(folder.path, { [STORE]: master.url }, { signal }));
  const upMs = performance.now();
  await up.start();
  const baseMs = performance.now() - upMs;
  const base = up.usage();
  say(`memory: its first base in ${seconds(baseMs)}, peak ${megabytes(base.peakBytes)}`);
  await runRedisBenchmark(master, { requests: 1_000_000, valueBytes: SET_BYTES, keys: KEYS });
  const after = up.usage();
  await up.stop();
  const { used_memory: used, ...keyspace } = { ...(await master.info('memory')), ...(await master.info('keyspace')) };
  const keys = Number(/keys=(\d+)/.exec(keyspace['db0'] ?? '')?.[1]);
  return {
    title: 'Redis: memory of `up`',
    notes: [
      `${gigabytes} GB of keys and values of all types (${count(keys)} keys with the load’s, ${megabytes(Number(used))} in the server); the peak of the process (VmHWM) over its first base, which took ${seconds(baseMs)} and ${base.cpuSeconds.toFixed(1)} s of processor time, and 1,000,000 SETs after it. One round: it hardly differs.`,
    ],
    rows: [
      bounded({
        what: `resident memory at its peak, ${gigabytes} GB data set`,
        values: [after.peakBytes],
        most: 250e6,
        shown: megabytes,
        by: 'worst',
      }),
    ],
    samples: { basePeakBytes: [base.peakBytes], peakBytes: [after.peakBytes], baseMs: [baseMs] },
  };
}
