import { chownSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuardedFolder, waitUntil } from '../../test/servers/guarded.ts';
import { serverOwner, startPostgres } from '../../test/servers/postgres.ts';
import type { PostgresServer } from '../../test/servers/postgres.ts';
import { orderOfTurn, spreadOf } from '../harness/statistics.ts';
import { UpProcess } from '../recording/up-process.ts';
import { runPgbench, startPgbench } from '../servers.ts';
import { PgBackRest } from './pgbackrest.ts';
import { compared, GIGABYTE, megabytes, say, seconds } from './rows.ts';
import type { Options, Part } from './rows.ts';

const STORE = 'orders';
/** Until what was committed last is in the repository. */
const SETTLE_MS = 3_000;
const RECOVERY_MS = 600_000;
const LOAD_SECONDS = 5;
/** Bases are small beside the log. */
const SIZE_BYTES = 500e6;
const SETTINGS = { max_slot_wal_keep_size: '20GB', synchronous_commit: 'off' } as const;

/** pgbench until there is so much of the log; each checkpoint makes it write whole pages again. Returns how much there is. */
async function writeLog(server: PostgresServer, sizeBytes: number, signal: AbortSignal): Promise<number> {
  const from = await server.value('SELECT pg_current_wal_insert_lsn()');
  for (;;) {
    signal.throwIfAborted();
    const written = Number(await server.value(`SELECT pg_current_wal_insert_lsn() - '${from}'::pg_lsn`));
    if (written >= sizeBytes) return written;
    await server.query('CHECKPOINT');
    await runPgbench(server, { clients: 8, seconds: LOAD_SECONDS });
    say(`restore: ${megabytes(written)} of log so far`);
  }
}

/** All of the log is in pgBackRest's repository. */
async function archiveAll(server: PostgresServer): Promise<void> {
  const last = await server.value('SELECT pg_walfile_name(pg_switch_wal())');
  await waitUntil(
    'the log is archived',
    async () => (await server.value('SELECT last_archived_wal FROM pg_stat_archiver')) >= last,
    RECOVERY_MS,
  );
}

/** Starts what was restored, waits until it can be written to, and looks at it. Its time to there. */
async function startRestored(folder: string, expected: string): Promise<number> {
  const startMs = performance.now();
  await using server = await startPostgres({ folder, settings: { archive_mode: 'off' } });
  const isPrimary = async (): Promise<boolean> => (await server.value('SELECT pg_is_in_recovery()')) === 'false';
  await waitUntil('its recovery has ended', isPrimary, RECOVERY_MS);
  const tookMs = performance.now() - startMs;
  const found = await server.value(COUNT);
  if (found !== expected) throw new Error(`${found} transactions were restored instead of ${expected}`);
  return tookMs;
}

const COUNT = 'SELECT count(*) FROM pgbench_history';
const HOWS = ['pgbackrest', 'tidemark'] as const;

type Prepared = {
  readonly peer: PgBackRest;
  readonly up: UpProcess;
  readonly folder: string;
  readonly expected: string;
  readonly logBytes: number;
};

async function prepare(stack: AsyncDisposableStack, { gigabytes, signal }: Options): Promise<Prepared> {
  const folder = stack.use(new GuardedFolder('bench')).path;
  const peer = new PgBackRest(join(folder, 'pgbackrest'), signal);
  await using server = await startPgbench({ sizeBytes: SIZE_BYTES, settings: { ...SETTINGS, ...peer.settings } });
  await peer.prepare(server);
  await peer.run('--type=full', 'backup');
  const home = join(folder, 'tidemark');
  mkdirSync(home);
  const up = stack.use(new UpProcess(home, { [STORE]: server.url }, { signal }));
  await up.start();
  const logBytes = await writeLog(server, gigabytes * GIGABYTE, signal);
  const expected = await server.value(COUNT);
  await archiveAll(server);
  await sleep(SETTLE_MS);
  await up.command('mark');
  await up.stop();
  return { peer, up, folder, expected, logBytes };
}

type Restored = { readonly restoreMs: number; readonly startMs: number };

async function restoreOnce(how: (typeof HOWS)[number], { peer, up, folder, expected }: Prepared): Promise<Restored> {
  const into = join(folder, 'into');
  mkdirSync(into);
  const owner = serverOwner();
  if (owner) chownSync(into, owner.uid, owner.gid);
  const target = join(into, STORE);
  try {
    if (how === 'tidemark') {
      const { wallMs } = await up.command('restore', '--to', 'latest', '--into', into, '--yes');
      const startMs = await startRestored(target, expected);
      return { restoreMs: wallMs, startMs };
    }
    mkdirSync(target, { mode: 0o700 });
    if (owner) chownSync(target, owner.uid, owner.gid);
    const { wallMs } = await peer.run(`--pg1-path=${target}`, 'restore');
    return { restoreMs: wallMs, startMs: await startRestored(target, expected) };
  } finally {
    rmSync(into, { recursive: true, force: true });
    if (how === 'tidemark') await up.command('restore', '--discard', '--yes');
  }
}

export async function postgresRestore(options: Options): Promise<Part> {
  const { rounds, signal } = options;
  await using stack = new AsyncDisposableStack();
  const prepared = await prepare(stack, options);
  say(`restore: ${megabytes(prepared.logBytes)} of log, ${prepared.expected} transactions`);
  const found: Record<(typeof HOWS)[number], Restored[]> = { pgbackrest: [], tidemark: [] };
  for (let round = 0; round < rounds; round++) {
    for (const how of orderOfTurn(HOWS, round)) {
      signal.throwIfAborted();
      const restored = await restoreOnce(how, prepared);
      found[how].push(restored);
      say(
        `restore, round ${round + 1} of ${rounds}: ${how} restore ${seconds(restored.restoreMs)}, start ${seconds(restored.startMs)}`,
      );
    }
  }
  const whole = (how: (typeof HOWS)[number]): readonly number[] =>
    found[how].map(({ restoreMs, startMs }) => restoreMs + startMs);
  const parts = HOWS.map((how) => {
    const median = (pick: (one: Restored) => number): string => seconds(spreadOf(found[how].map(pick)).median);
    return `${how} ${median(({ restoreMs }) => restoreMs)} and ${median(({ startMs }) => startMs)}`;
  });
  return {
    title: 'PostgreSQL: restore with its log',
    notes: [
      `A base of pgbench with 0.5 GB and ${megabytes(prepared.logBytes)} of log after it, to its end, until the server can be written to; pgBackRest 2.45 with 2 processes and asynchronous archive-get; ${rounds} rounds in changing order. Both restored every transaction.`,
      `The command, and the server’s start after it (in which pgBackRest’s log is replayed; ours was replayed, looked into and stopped before): ${parts.join('; ')}.`,
    ],
    rows: [
      compared({
        what: 'time: pgBackRest / tidemark (aim: 1.5)',
        ours: whole('tidemark'),
        theirs: whole('pgbackrest'),
        shown: seconds,
        kind: 'time',
        must: 1,
      }),
    ],
    samples: Object.fromEntries(
      HOWS.flatMap((how) => [
        [`${how}RestoreMs`, found[how].map(({ restoreMs }) => restoreMs)],
        [`${how}StartMs`, found[how].map(({ startMs }) => startMs)],
      ]),
    ),
  };
}
