import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../src/core/must.ts';
import { GuardedFolder } from '../../test/servers/guarded.ts';
import { findProgram } from '../../test/servers/needs.ts';
import type { PostgresServer } from '../../test/servers/postgres.ts';
import { measure } from '../harness/measure.ts';
import type { Sample } from '../harness/measure.ts';
import { orderOfTurn, spreadOf } from '../harness/statistics.ts';
import { UpProcess } from '../recording/up-process.ts';
import { startPgbench, touchPages } from '../servers.ts';
import { PgBackRest, sizeOf } from './pgbackrest.ts';
import { beside, bounded, compared, count, GIGABYTE, megabytes, say, seconds } from './rows.ts';
import type { Options, Part, Row } from './rows.ts';

const STORE = 'orders';
const TICKS_A_SECOND = 100;
const CHANGED_SHARE = 0.02;
/** What is stored hardly differs from round to round. */
const MOST_SECOND_ROUNDS = 3;
const SETTINGS = { autovacuum: 'off', max_slot_wal_keep_size: '20GB' } as const;

type Prepared = { readonly server: PostgresServer; readonly peer: PgBackRest; readonly folder: string };

async function prepare(stack: AsyncDisposableStack, { gigabytes, signal }: Options): Promise<Prepared> {
  const folder = stack.use(new GuardedFolder('bench')).path;
  const peer = new PgBackRest(join(folder, 'pgbackrest'), signal);
  const settings = { ...SETTINGS, ...peer.settings };
  const startMs = performance.now();
  const server = stack.use(await startPgbench({ sizeBytes: gigabytes * GIGABYTE, settings }));
  await peer.prepare(server);
  say(`${gigabytes} GB of pgbench made in ${seconds(performance.now() - startMs)}`);
  return { server, peer, folder };
}

/** Of a server and of all its processes that have ended. */
function cpuSecondsOf(server: PostgresServer): number {
  const stat = readFileSync(`/proc/${must(server.pid, 'a server')}/stat`, 'utf8');
  const fields = stat.split(') ')[1]?.split(' ') ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_A_SECOND;
}

/** Everything into a folder of its own, which is removed. */
async function inFresh<T>(parent: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = join(parent, 'fresh');
  mkdirSync(folder);
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** PostgreSQL's own program, into a raw tar in `into`, or nowhere. */
async function baseBackup(
  server: PostgresServer,
  into: string | undefined,
  options: { folder: string; signal: AbortSignal },
): Promise<Sample> {
  const program = findProgram('pg_basebackup') ?? 'pg_basebackup';
  const args = [
    program,
    '-Ft',
    '-X',
    'none',
    '-c',
    'fast',
    '-h',
    server.socketFolder,
    '-p',
    String(server.port),
    '-U',
    'postgres',
    '-D',
  ];
  const argv = into === undefined ? ['sh', '-c', '"$@" - > /dev/null', 'sh', ...args] : [...args, into];
  return await measure({ argv, cwd: '/', env: {} }, { signal: options.signal, scratch: options.folder });
}

const HOWS = ['pgbackrest', 'tidemark', 'pg_basebackup'] as const;
type Samples = Readonly<Record<(typeof HOWS)[number], Sample[]>>;

export async function postgresBase(options: Options): Promise<Part> {
  const { rounds, gigabytes, signal } = options;
  await using stack = new AsyncDisposableStack();
  const { server, peer, folder } = await prepare(stack, options);
  const samples: Samples = { pgbackrest: [], tidemark: [], pg_basebackup: [] };
  const stored: Record<string, number> = {};
  for (let round = 0; round < rounds; round++) {
    for (const how of orderOfTurn(HOWS, round)) {
      signal.throwIfAborted();
      const sample = await inFresh(folder, async (fresh) => {
        if (how === 'pg_basebackup') return await baseBackup(server, join(fresh, 'tar'), { folder, signal });
        if (how === 'pgbackrest') return await peer.run('--type=full', 'backup');
        const up = new UpProcess(fresh, { [STORE]: server.url }, { signal });
        const backup = await up.command('backup');
        stored[how] = sizeOf(up.repository);
        return backup;
      });
      if (how === 'pgbackrest') await peer.run('expire');
      samples[how].push(sample);
      const { wallMs, userMs, systemMs, peakRssBytes } = sample;
      say(
        `base, round ${round + 1} of ${rounds}: ${how} ${seconds(wallMs)}, processor ${seconds(userMs + systemMs)}, ${megabytes(peakRssBytes)}`,
      );
    }
  }
  stored['pgbackrest'] = sizeOf(join(peer.repository, 'backup'));
  const limit = await componentLimit({ server, folder, signal });
  const bytes = Number(await server.value('SELECT sum(pg_database_size(oid)) FROM pg_database'));
  const wall = (how: (typeof HOWS)[number]): readonly number[] => samples[how].map(({ wallMs }) => wallMs);
  const cpu = (how: (typeof HOWS)[number]): readonly number[] =>
    samples[how].map(({ userMs, systemMs }) => userMs + systemMs);
  const rss = samples.tidemark.map(({ peakRssBytes }) => peakRssBytes);
  const cpuText = HOWS.map((how) => `${how} ${seconds(spreadOf(cpu(how)).median)}`).join(', ');
  return {
    title: 'PostgreSQL: base',
    notes: [
      `${megabytes(bytes)} of pgbench (--gigabytes ${gigabytes}) on a disk, in the file cache; \`tidemark backup\` into a new local repository; pgBackRest 2.45 with zst, 2 processes, aes-256-cbc, asynchronous archiving, type full; \`pg_basebackup -Ft -X none\`, which neither compresses nor encrypts nor proves; ${rounds} rounds in changing order.`,
      `Processor time besides the server’s: ${cpuText}. Stored: tidemark ${megabytes(stored['tidemark'] ?? 0)}, pgBackRest ${megabytes(stored['pgbackrest'])}.`,
      limit.note,
    ],
    rows: [
      compared({
        what: 'time: pgBackRest / tidemark',
        ours: wall('tidemark'),
        theirs: wall('pgbackrest'),
        shown: seconds,
        kind: 'time',
        must: 2,
      }),
      compared({
        what: 'time: pg_basebackup -Ft / tidemark (aim: 0.9)',
        ours: wall('tidemark'),
        theirs: wall('pg_basebackup'),
        shown: seconds,
        kind: 'time',
      }),
      beside('the component limit: server and pipeline on the same cores', [limit.ms], seconds),
      bounded({ what: 'resident memory at its peak', values: rss, most: 400e6, shown: megabytes, by: 'worst' }),
    ],
    samples: {
      ...Object.fromEntries(
        HOWS.flatMap((how) => [
          [`${how}WallMs`, wall(how)],
          [`${how}CpuMs`, cpu(how)],
        ]),
      ),
      tidemarkPeakBytes: rss,
      componentLimitMs: [limit.ms],
    },
  };
}

type Limit = { readonly ms: number; readonly note: string };

/** What the server needs to send it all, and our pipeline for the same files, each alone: together they can't be faster than their processor time on two cores. */
async function componentLimit({
  server,
  folder,
  signal,
}: {
  server: PostgresServer;
  folder: string;
  signal: AbortSignal;
}): Promise<Limit> {
  const before = cpuSecondsOf(server);
  const sent = await baseBackup(server, undefined, { folder, signal });
  const serverMs = (cpuSecondsOf(server) - before) * 1_000;
  const pipeline = await inFresh(folder, async (fresh) => {
    const data = existsSync(join(server.folder, 'base')) ? join(server.folder, 'base') : server.folder;
    return await new UpProcess(fresh, { data: `files:${data}` }, { signal }).command('backup');
  });
  const pipelineMs = pipeline.userMs + pipeline.systemMs;
  const ms = Math.max(sent.wallMs, pipeline.wallMs, (serverMs + pipelineMs) / 2);
  return {
    ms,
    note:
      `The server alone (\`pg_basebackup -D - > /dev/null\`): ${seconds(sent.wallMs)}, ${seconds(serverMs)} of processor time; our pipeline alone ` +
      `(\`tidemark backup\` of the same files as files): ${seconds(pipeline.wallMs)}, ${seconds(pipelineMs)}. The limit is the larger of these, and of half of both processor times.`,
  };
}

export async function postgresSecondBase(options: Options): Promise<Part> {
  const { gigabytes, signal } = options;
  const rounds = Math.min(options.rounds, MOST_SECOND_ROUNDS);
  await using stack = new AsyncDisposableStack();
  const { server, peer, folder } = await prepare(stack, options);
  const home = join(folder, 'tidemark');
  mkdirSync(home);
  const up = new UpProcess(home, { [STORE]: server.url }, { signal });
  await up.command('backup');
  const full = await grown(join(peer.repository, 'backup'), () => peer.run('--type=full', 'backup'));
  const found = {
    changed: [] as number[],
    added: [] as number[],
    wallMs: [] as number[],
    incrAdded: [] as number[],
    incrWallMs: [] as number[],
  };
  for (let round = 0; round < rounds; round++) {
    const { bytes } = await touchPages(server, CHANGED_SHARE, round + 1);
    const ours = await grown(up.repository, () => up.command('backup'));
    const theirs = await grown(join(peer.repository, 'backup'), () => peer.run('--type=incr', 'backup'));
    found.changed.push(bytes);
    found.added.push(ours.bytes);
    found.wallMs.push(ours.sample.wallMs);
    found.incrAdded.push(theirs.bytes);
    found.incrWallMs.push(theirs.sample.wallMs);
    say(
      `second-base, round ${round + 1} of ${rounds}: ${count(bytes / 8_192)} pages (${megabytes(bytes)}) changed; tidemark ${megabytes(ours.bytes)} in ${seconds(ours.sample.wallMs)}, ` +
        `pgBackRest incr ${megabytes(theirs.bytes)} in ${seconds(theirs.sample.wallMs)}`,
    );
  }
  return {
    title: 'PostgreSQL: second base',
    notes: [
      `${gigabytes} GB of pgbench, of which one transaction touched rows on about 2 % of the pages; changed are those whose last change, by their own header, is newer (${megabytes(spreadOf(found.changed).median)}). Stored is what the repository grew by, compressed and encrypted, ours with the log that the base needs, pgBackRest’s without; ${rounds} rounds, each on the one before.`,
    ],
    rows: [
      storedRow(found),
      beside('pgBackRest incr: stored', found.incrAdded, megabytes),
      beside('pgBackRest full: stored', [full.bytes], megabytes),
      compared({
        what: 'time: pgBackRest incr / tidemark',
        ours: found.wallMs,
        theirs: found.incrWallMs,
        shown: seconds,
        kind: 'time',
      }),
    ],
    samples: { ...found, fullBytes: [full.bytes], fullWallMs: [full.sample.wallMs] },
  };
}

function storedRow({
  changed,
  added,
}: {
  readonly changed: readonly number[];
  readonly added: readonly number[];
}): Row {
  const shares = spreadOf(added.map((bytes, round) => bytes / (changed[round] ?? bytes)));
  const range = `${shares.median.toFixed(2)} (${shares.min.toFixed(2)} to ${shares.max.toFixed(2)})`;
  const text = megabytes(spreadOf(added).median);
  return [
    'stored / changed pages',
    text,
    megabytes(spreadOf(changed).median),
    range,
    '≤ 1.3',
    shares.median <= 1.3 ? 'yes' : 'NO',
  ];
}

async function grown(
  repository: string,
  work: () => Promise<Sample>,
): Promise<{ readonly bytes: number; readonly sample: Sample }> {
  const before = existsSync(repository) ? sizeOf(repository) : 0;
  const sample = await work();
  return { bytes: sizeOf(repository) - before, sample };
}
