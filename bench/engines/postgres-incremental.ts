import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../src/core/must.ts';
import { GuardedFolder } from '../../test/servers/guarded.ts';
import type { PostgresServer } from '../../test/servers/postgres.ts';
import { UpProcess } from '../recording/up-process.ts';
import { startPgbench, touchPages } from '../servers.ts';
import { compared, GIGABYTE, megabytes, say, seconds } from './rows.ts';
import type { Options, Part } from './rows.ts';

const STORE = 'orders';
const CHANGED_SHARE = 0.02;
const SETTINGS = { autovacuum: 'off', max_slot_wal_keep_size: '20GB' } as const;

type Found = { readonly wallMs: number[]; readonly cpuMs: number[]; readonly readBytes: number[] };
const HOWS = ['whole', 'changed'] as const;

/** Second bases of PostgreSQL 17 with `summarize_wal` off, then on. */
export async function postgresIncremental({ rounds, gigabytes, signal }: Options): Promise<Part> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(new GuardedFolder('bench')).path;
  const options = { version: '17', settings: SETTINGS, initdb: ['--data-checksums'] } as const;
  const server = stack.use(await startPgbench({ ...options, sizeBytes: gigabytes * GIGABYTE }));
  const home = join(folder, 'tidemark');
  mkdirSync(home);
  const up = new UpProcess(home, { [STORE]: server.url }, { signal });
  await up.command('backup');
  const empty = (): Found => ({ wallMs: [], cpuMs: [], readBytes: [] });
  const found = { whole: empty(), changed: empty() };
  const touchedBytes: number[] = [];
  for (const how of HOWS) {
    if (how === 'changed') {
      await server.query('ALTER SYSTEM SET summarize_wal = on');
      await server.query('SELECT pg_reload_conf()');
      // What changed before it was on is not noted.
      await up.command('backup');
    }
    for (let round = 0; round < rounds; round++) {
      signal.throwIfAborted();
      touchedBytes.push((await touchPages(server, CHANGED_SHARE, round + 1)).bytes);
      const before = readBytesOf(server);
      const { wallMs, userMs, systemMs } = await up.command('backup');
      const readBytes = readBytesOf(server) - before;
      found[how].wallMs.push(wallMs);
      found[how].cpuMs.push(userMs + systemMs);
      found[how].readBytes.push(readBytes);
      say(
        `incremental, round ${round + 1} of ${rounds}: ${how}, ${seconds(wallMs)}, processor ${seconds(userMs + systemMs)}, ` +
          `${megabytes(readBytes)} read by the server`,
      );
    }
  }
  return partOf(found, { gigabytes, rounds, touchedBytes: touchedBytes.reduce((sum, bytes) => sum + bytes, 0) });
}

function partOf(
  { whole, changed }: Readonly<Record<(typeof HOWS)[number], Found>>,
  { gigabytes, rounds, touchedBytes }: { gigabytes: number; rounds: number; touchedBytes: number },
): Part {
  const row = (what: string, name: keyof Found, shown: typeof seconds): ReturnType<typeof compared> =>
    compared({ what, ours: changed[name], theirs: whole[name], shown, kind: 'time' });
  return {
    title: 'PostgreSQL 17: second base, of what has changed',
    notes: [
      `${gigabytes} GB of pgbench, of which one transaction touched rows on about 2 % of the pages (${megabytes(touchedBytes / 2 / rounds)}); ` +
        `\`tidemark backup\` with \`summarize_wal\` on, beside the same with it off; ${rounds} rounds each. Read by the server: all that it and its processes took from files.`,
    ],
    rows: [
      row('time: all read / what has changed', 'wallMs', seconds),
      row('processor time besides the server’s', 'cpuMs', seconds),
      row('read by the server', 'readBytes', megabytes),
    ],
    samples: Object.fromEntries(
      Object.entries({ whole, changed }).flatMap(([how, of]) =>
        Object.entries(of).map(([name, values]) => [`${how}${name[0]?.toUpperCase()}${name.slice(1)}`, values]),
      ),
    ),
  };
}

/** From files, by the server and by all its processes that have ended. */
function readBytesOf(server: PostgresServer): number {
  const text = readFileSync(`/proc/${must(server.pid, 'a server')}/io`, 'utf8');
  return Number(must(/^rchar: ([0-9]+)$/m.exec(text)?.[1], 'bytes read'));
}
