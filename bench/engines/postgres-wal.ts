import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { parseLsn } from '../../src/connectors/postgres/lsn.ts';
import { must } from '../../src/core/must.ts';
import { GuardedFolder, waitUntil } from '../../test/servers/guarded.ts';
import { findProgram } from '../../test/servers/needs.ts';
import type { PostgresServer } from '../../test/servers/postgres.ts';
import { fsyncP99Ms } from '../harness/machine.ts';
import { orderOfTurn, quantileOf, spreadOf } from '../harness/statistics.ts';
import { UpProcess } from '../recording/up-process.ts';
import { runPgbench, startPgbench } from '../servers.ts';
import { behindOf, watchServer } from './behind.ts';
import type { Reached } from './behind.ts';
import { beside, bounded, compared, count, milliseconds, say } from './rows.ts';
import type { Options, Part } from './rows.ts';

const STORE = 'orders';
const CLIENTS = 8;
const FLUSH_MS = 1_000;
const EVERY_MS = 50;
/** Until what was committed last is in the repository. */
const SETTLE_MS = 2_500;
/** It fits into shared buffers, so that the log is what is measured. */
const SIZE_BYTES = 300e6;

/** Commits on a connection of its own, and says where the log was right after: at or behind the commit. */
class CommitProbe implements AsyncDisposable {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async open(server: PostgresServer): Promise<CommitProbe> {
    const client = new pg.Client({
      host: server.socketFolder,
      port: server.port,
      user: 'postgres',
      database: 'postgres',
    });
    await client.connect();
    await client.query('CREATE TABLE IF NOT EXISTS probe (n bigint)');
    return new CommitProbe(client);
  }

  async ask(): Promise<Reached> {
    await this.#client.query('INSERT INTO probe VALUES (1)');
    const atMs = Date.now();
    const { rows } = await this.#client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn() AS lsn');
    return { atMs, at: must(parseLsn(rows[0]?.lsn ?? ''), 'a place in the log') };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end();
  }
}

async function dropSlots(server: PostgresServer): Promise<void> {
  await waitUntil(
    'slots are free',
    async () => (await server.value('SELECT count(*) FROM pg_replication_slots WHERE active')) === '0',
  );
  await server.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
}

async function withReceiver<T>(server: PostgresServer, folder: string, work: () => Promise<T>): Promise<T> {
  const program = findProgram('pg_receivewal') ?? 'pg_receivewal';
  const place = ['-h', server.socketFolder, '-p', String(server.port), '-U', 'postgres', '--slot=bench'];
  await once(spawn(program, [...place, '--create-slot'], { stdio: 'inherit' }), 'exit');
  mkdirSync(folder);
  const child = spawn(program, [...place, '-D', folder], { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    await waitUntil(
      'pg_receivewal streams',
      async () => (await server.value('SELECT count(*) FROM pg_stat_replication')) === '1',
    );
    return await work();
  } finally {
    child.kill('SIGINT');
    if (child.exitCode === null) await once(child, 'exit');
  }
}

type Load = { readonly rate: number; readonly behindMs: readonly number[]; readonly cpuSeconds: number };
const HOWS = ['pg_receivewal', 'tidemark', 'alone'] as const;

async function loadServer(
  how: (typeof HOWS)[number],
  server: PostgresServer,
  { seconds, signal }: { seconds: number; signal: AbortSignal },
): Promise<Load> {
  const load = async (): Promise<{ readonly rate: number; readonly reached: readonly Reached[] }> => {
    await using probe = await CommitProbe.open(server);
    await server.query('CHECKPOINT');
    const done = new AbortController();
    const watching = watchServer(() => probe.ask(), { everyMs: EVERY_MS, done: done.signal });
    const { transactionsPerSecond: rate } = await runPgbench(server, { clients: CLIENTS, seconds });
    done.abort();
    return { rate, reached: await watching };
  };
  using folder = new GuardedFolder('bench');
  if (how === 'alone') return { rate: (await load()).rate, behindMs: [], cpuSeconds: 0 };
  try {
    if (how === 'pg_receivewal') {
      const { rate } = await withReceiver(server, join(folder.path, 'wal'), load);
      return { rate, behindMs: [], cpuSeconds: 0 };
    }
    await using up = new UpProcess(folder.path, { [STORE]: server.url }, { signal });
    await up.start();
    const before = up.usage();
    const { rate, reached } = await load();
    const cpuSeconds = up.usage().cpuSeconds - before.cpuSeconds;
    await server.query('INSERT INTO probe VALUES (2)');
    await sleep(SETTLE_MS);
    await up.stop();
    return { rate, behindMs: await behindOf(up, reached, { store: STORE, signal }), cpuSeconds };
  } finally {
    await dropSlots(server);
  }
}

export const postgresWal =
  (seconds: number) =>
  async ({ rounds, signal }: Options): Promise<Part> => {
    await using server = await startPgbench({ sizeBytes: SIZE_BYTES, settings: { max_slot_wal_keep_size: '20GB' } });
    const fsyncMs = fsyncP99Ms();
    const rates: Record<string, number[]> = { pg_receivewal: [], tidemark: [], alone: [] };
    const behind: number[][] = [];
    const cpu: number[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const how of orderOfTurn(HOWS, round)) {
        signal.throwIfAborted();
        const { rate, behindMs, cpuSeconds } = await loadServer(how, server, { seconds, signal });
        must(rates[how], 'a list').push(rate);
        const told =
          how === 'tidemark'
            ? `, most behind ${milliseconds(Math.max(...behindMs))}, ${cpuSeconds.toFixed(1)} s of processor time`
            : '';
        if (how === 'tidemark') {
          behind.push([...behindMs]);
          cpu.push(cpuSeconds);
        }
        say(`wal, round ${round + 1} of ${rounds}: ${how} ${count(rate)} tps${told}`);
      }
    }
    const { pg_receivewal: receivewal = [], tidemark = [], alone = [] } = rates;
    const commits = behind.flat();
    const p99 = behind.map((values) => quantileOf(values, 0.99));
    const limitMs = FLUSH_MS + 3 * fsyncMs;
    return {
      title: 'PostgreSQL: WAL under load',
      notes: [
        `\`pgbench -c ${CLIENTS} -j 2 -T ${seconds}\` on 0.3 GB, with fsync, after a checkpoint; followed by \`pg_receivewal --slot\`, or \`tidemark up\`, or nobody; ${rounds} rounds in changing order. \`up\` took ${spreadOf(cpu).median.toFixed(1)} s of processor time meanwhile.`,
        `${count(commits.length)} commits, one each ${EVERY_MS} ms on a connection of its own: from when it returned to when the repository held it. The disk’s fsync p99: ${fsyncMs.toFixed(1)} ms.`,
      ],
      rows: [
        compared({
          what: 'tps: recorded / with pg_receivewal',
          ours: tidemark,
          theirs: receivewal,
          shown: count,
          kind: 'rate',
          must: 0.93,
        }),
        bounded({
          what: 'from commit to repository, p99 (flush + 3 × fsync p99)',
          values: p99,
          most: limitMs,
          shown: milliseconds,
          by: 'median',
        }),
        bounded({
          what: 'most behind meanwhile',
          values: behind.map((values) => Math.max(...values)),
          most: 1_500,
          shown: milliseconds,
          by: 'worst',
        }),
        beside('tps of a server that nobody follows', alone, count),
      ],
      samples: {
        pg_receivewal: receivewal,
        tidemark,
        alone,
        commitP99Ms: p99,
        upCpuSeconds: cpu,
        fsyncP99Ms: [fsyncMs],
      },
    };
  };
