import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TidemarkError } from '../../core/errors.ts';
import type { LogReader } from '../../core/restorer.ts';
import type { Clock, Run } from '../../core/run.ts';
import type { BaseFacts } from './base-facts.ts';
import { formatLsn, parseLsn } from './lsn.ts';
import type { WalPlace } from './lsn.ts';
import { putOwned } from './owner.ts';
import type { Owner } from './owner.ts';
import { ScratchServer, WORK } from './scratch-server.ts';
import type { Login } from './scratch-server.ts';
import { parseHistory, parseHistoryName } from './wal/history.ts';
import { headerBytesAt } from './wal/page-header.ts';
import { parseSegmentName, segmentName, startOf } from './wal/shape.ts';
import { historyAhead, Timelines } from './wal/timelines.ts';
import { WalFeed } from './wal-feed.ts';

/** How much of the log waits for the server: what is fetched ahead of it takes room. */
const WAITING_BYTES = 64 * 1024 * 1024;
const POLL_MS = 10;

export type RecoveryOptions = {
  /** The data directory as the base has it. */
  readonly folder: string;
  readonly facts: BaseFacts;
  readonly owner: Owner;
  readonly clock: Clock;
  readonly to: WalPlace;
  readonly binFolder: string;
  /** Who may look into the databases, tried in turn, and `postgres` after them. */
  readonly users: readonly string[];
  /** Once it is recovered and before it is stopped. */
  readonly use?: ((server: ScratchServer, login: Login) => Promise<void>) | undefined;
  /** It stays a server that reads only, and that goes on when it is promoted. */
  readonly pause: boolean;
};

/**
 * Recovers a data directory by a private server to the end of the log, looks into each of its databases, and leaves it as a server leaves it
 * that was stopped in an orderly way. Fetching and replaying overlap. @throws RESTORE_FAILED unless the recovery ends exactly there
 */
export async function recover(log: LogReader, options: RecoveryOptions, run: Run): Promise<void> {
  const { folder, owner, to, facts, clock, pause } = options;
  const work = ScratchServer.prepare(folder, owner);
  const walFolder = join(work, 'wal');
  mkdirSync(walFolder, { mode: 0o700 });
  chownSync(walFolder, owner.uid, owner.gid);
  putOwned(join(folder, pause ? 'standby.signal' : 'recovery.signal'), '', owner);
  await using server = new ScratchServer({
    ...options,
    settings: {
      ...roomy(facts.control.settings),
      // The least that it takes.
      min_wal_size: `${(2 * facts.shape.segmentBytes) / (1 << 20)}MB`,
      restore_command: restoreCommand(fileOf(facts.checkpoint, facts)),
      recovery_target_timeline: String(to.timeline),
      ...(pause ? { hot_standby: 'on' } : {}),
    },
  });
  await using feed = new WalFeed({ facts, to, folder: walFolder, owner, durable: false });
  const timelines = new Timelines(facts.timeline, facts.history);
  const history = await historyAhead(log, { timelines, from: facts.timeline, to: to.timeline }, run);
  if (history !== undefined) putOwned(join(walFolder, history.name), history.bytes, owner);
  server.start();
  let hasCheckpoint = false;
  for await (const { name } of feed.files(log, run)) {
    // Up to there it wants a later file before the earlier ones.
    hasCheckpoint ||= name.endsWith(fileOf(facts.checkpoint, facts));
    while (hasCheckpoint && server.isRunning && isAhead(walFolder, facts)) {
      server.assertGoesOn();
      await clock.sleep(POLL_MS, run);
    }
    if (server.hasEnded) throw server.failure('ended in the middle of its recovery');
  }
  writeFileSync(join(work, 'end'), '');
  await server.ready(run);
  if (pause) await untilReplayed(server, feed.end, options, run);
  else assertEnded(folder, feed.end, options);
  const login = await lookInto(server, options, run);
  await options.use?.(server, login);
  await server.stop(run);
}

/** What a server may have been given more of after the base was taken, which whoever goes on from its log must not fall below. */
const ROOM: Readonly<Record<string, number>> = {
  max_connections: 500,
  max_worker_processes: 64,
  max_wal_senders: 64,
  max_prepared_transactions: 500,
  max_locks_per_transaction: 64,
};

function roomy(settings: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const room = Object.entries(ROOM).map(([name, least]): [string, string] => [
    name,
    String(Math.max(least, Number(settings[name]))),
  ]);
  // A server that does not keep these times removes those that the log brings once it is recovered.
  return { ...settings, ...Object.fromEntries(room), track_commit_timestamp: 'on' };
}

/** Whether more than enough waits for the server. What lies before the place where it begins it never takes. */
function isAhead(walFolder: string, facts: BaseFacts): boolean {
  const { segmentBytes } = facts.shape;
  const from = startOf(facts.redo, segmentBytes);
  const checkpoint = fileOf(facts.checkpoint, facts);
  const waiting = readdirSync(walFolder).filter((name) => {
    const segment = parseSegmentName(name, segmentBytes);
    return segment !== undefined && segment.start >= from && !name.endsWith(checkpoint);
  });
  return waiting.length > Math.max(1, WAITING_BYTES / segmentBytes);
}

/** What the names of the files of all timelines have in common that hold a place. */
function fileOf(lsn: bigint, { shape }: BaseFacts): string {
  return segmentName(0, lsn, shape.segmentBytes).slice(8);
}

/**
 * Gives a file as soon as it is there, and says that there is none once the log has ended. Ends the recovery when this process is gone.
 * That of the target's timeline is there before the server starts. The file with the checkpoint is asked for twice: first of all, and in its turn.
 */
function restoreCommand(checkpoint: string): string {
  const file = `${WORK}/wal/%f`;
  return [
    `case %f in *.history) cp ${file} "%p" 2>/dev/null; exit;; *.*) exit 1;; *${checkpoint}) by=cp;; *) by=mv;; esac`,
    `until $by ${file} "%p" 2>/dev/null`,
    `do if [ -d /proc/self ] && [ ! -d /proc/${process.pid} ]; then exit 255; fi`,
    `if [ -e ${WORK}/end ] && [ ! -e ${file} ]; then exit 1; fi`,
    'sleep 0.02',
    'done',
  ].join('; ');
}

/** The server writes into the history of the timeline that it begins where it found the end of the one before. */
function assertEnded(folder: string, end: bigint, { to, facts }: RecoveryOptions): void {
  const wal = join(folder, 'pg_wal');
  const timelines = readdirSync(wal).map((name) => parseHistoryName(name) ?? 0);
  const newest = Math.max(...timelines);
  const name = readdirSync(wal).find((found) => parseHistoryName(found) === newest);
  const last = name === undefined ? undefined : parseHistory(readFileSync(join(wal, name)))?.at(-1);
  if (newest > to.timeline && last?.from === to.timeline && isSamePlace(last.at, end, facts)) return;
  const told = last === undefined ? 'nowhere' : `at ${last.from}/${formatLsn(last.at)}`;
  throw new TidemarkError('RESTORE_FAILED', `the recovery ended ${told} instead of ${to.timeline}/${formatLsn(end)}`);
}

/** A place at the start of a page is also the one behind the page's header. */
function isSamePlace(left: bigint, right: bigint, { shape }: BaseFacts): boolean {
  const behindHeader = (lsn: bigint): bigint =>
    lsn === startOf(lsn, shape.pageBytes) ? lsn + BigInt(headerBytesAt(lsn, shape)) : lsn;
  return behindHeader(left) === behindHeader(right);
}

async function untilReplayed(server: ScratchServer, end: bigint, options: RecoveryOptions, run: Run): Promise<void> {
  const login = await knownUser(server, options, run);
  for (;;) {
    const [[text = ''] = []] = await server.query(FIRST_DATABASE, login, 'SELECT pg_last_wal_replay_lsn()', run);
    const replayed = parseLsn(text);
    if (replayed !== undefined && isSamePlace(replayed, end, options.facts)) return;
    if (replayed !== undefined && replayed > end) throw server.failure(`has replayed up to ${text}`);
    if (server.hasEnded) throw server.failure('ended in the middle of its recovery');
    server.assertGoesOn();
    await options.clock.sleep(POLL_MS, run);
  }
}

/** Every server has it. */
export const FIRST_DATABASE = 'template1';

/** But for those that nobody can get into: the server did not come to the end of dropping one with that limit. */
const DATABASES = `
SELECT datname FROM pg_catalog.pg_database
WHERE datallowconn AND datconnlimit OPERATOR(pg_catalog.<>) -2 AND pg_catalog.has_database_privilege(oid, 'CONNECT')`;

/** Each database can be connected to, and its catalogue be read. Returns who did it. */
async function lookInto(server: ScratchServer, options: RecoveryOptions, run: Run): Promise<Login> {
  const login = await knownUser(server, options, run);
  for (const [database = ''] of await server.query(FIRST_DATABASE, login, DATABASES, run)) {
    await server.query(database, login, 'SELECT count(*) FROM pg_catalog.pg_class', run).catch((error: unknown) => {
      run.signal.throwIfAborted();
      const told = error instanceof Error ? error.message : String(error);
      throw new TidemarkError('RESTORE_FAILED', `the restored database ${database} can’t be read: ${told}`, {
        cause: error,
      });
    });
  }
  return login;
}

/** Looking changes nothing, and what a database or a role would load into each session need not be on this host. */
const READ_ONLY = '-c default_transaction_read_only=on -c statement_timeout=0 -c local_preload_libraries=';
/** What only a superuser may say. */
const NOTHING_RUNS = '-c session_preload_libraries=';
const NO_TRIGGERS = '-c event_triggers=off';
const FIRST_WITH_LOGIN_TRIGGERS = 17;
const NOT_PERMITTED = '42501';
/** What is to be looked into, or taken out, may be nobody else’s to see. */
const SUPERUSERS = 'SELECT rolname FROM pg_catalog.pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1';

async function knownUser(server: ScratchServer, { users, facts }: RecoveryOptions, run: Run): Promise<Login> {
  const told: unknown[] = [];
  const known = [...new Set([...users, 'postgres'])];
  const hasTriggers = facts.shape.majorVersion >= FIRST_WITH_LOGIN_TRIGGERS;
  const superuser = [READ_ONLY, NOTHING_RUNS, ...(hasTriggers ? [NO_TRIGGERS] : [])].join(' ');
  for (const login of [superuser, READ_ONLY].flatMap((options) => known.map((user) => ({ user, options })))) {
    try {
      const [first] = await server.query(FIRST_DATABASE, login, SUPERUSERS, run);
      return first?.[0] === undefined ? login : { user: first[0], options: superuser };
    } catch (error) {
      run.signal.throwIfAborted();
      if (!(error instanceof Error && 'code' in error && error.code === NOT_PERMITTED)) told.push(error);
    }
  }
  const message = `none of the users ${known.join(', ')} can look into the restored server`;
  throw new TidemarkError('RESTORE_FAILED', message, {
    cause: told.at(-1),
    hint: 'Name a superuser of the server in the URL of the store.',
  });
}

/** Adds settings to those that the server has made itself. */
export function appendSettings(folder: string, lines: string, owner: Owner): void {
  const path = join(folder, 'postgresql.auto.conf');
  const before = existsSync(path) ? readFileSync(path, 'utf8') : '';
  putOwned(path, `${before}${lines}`, owner);
}
