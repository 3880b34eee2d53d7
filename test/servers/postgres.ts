import { execFile } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Certificates, KeyPair } from './certificates.ts';
import { freePort } from './free-port.ts';
import { GuardedFolder, GuardedProcess, waitUntil } from './guarded.ts';
import type { Owner } from './guarded.ts';
import { findProgram } from './needs.ts';
import { postgresBinaries } from './postgres-binaries.ts';
import type { PostgresVersion } from './postgres-binaries.ts';
import { makeDataFolder } from './postgres-template.ts';

const run = promisify(execFile);

export type PostgresOptions = {
  /** Debian's 15 when not given, or that of `folder`. */
  readonly version?: PostgresVersion;
  /** Parameters of `postgresql.conf`; they win over ours. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Lines of `pg_hba.conf` for connections over TCP, instead of trust for everybody; the socket is always open to `postgres`. */
  readonly hba?: string;
  /** More arguments of `initdb`, such as `--data-checksums`. */
  readonly initdb?: readonly string[];
  /** A data directory that is there, such as a restored one. It is kept, and must belong to `serverOwner()`. */
  readonly folder?: string;
  readonly port?: number;
  /** `server` is shown instead of the right certificate. Clients' certificates are checked against our authority when `hba` says so. */
  readonly tls?: { readonly certificates: Certificates; readonly server?: KeyPair };
  /** Made a streaming standby of this one, and caught up when the promise resolves. `slot` must be there. */
  readonly standbyOf?: { readonly primary: PostgresServer; readonly slot?: string };
};

export type Row = Readonly<Record<string, unknown>>;
type Parameters = Readonly<Record<string, string>>;
type Parts = {
  readonly port: number;
  readonly folder: string;
  readonly binFolder: string;
  readonly version: PostgresVersion;
  /** Given at its start: what belongs to the run and not to the data. */
  readonly parameters: Parameters;
};
export type StopMode = 'smart' | 'fast' | 'immediate';

const STOP_SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

/** Who servers of PostgreSQL run as, since it refuses root: `postgres`, or `nobody` where there is none; undefined when tests do not run as root. */
export function serverOwner(): Owner | undefined {
  if (process.geteuid?.() !== 0) return undefined;
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  const user = ['postgres', 'nobody'].map((name) => users.find((line) => line.startsWith(`${name}:`)));
  const [, , uid, gid] = (user[0] ?? user[1] ?? '').split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

/** A real PostgreSQL on 127.0.0.1, with the superuser `postgres`. `fsync` is off unless settings say otherwise: killing it loses nothing all the same. */
export class PostgresServer implements AsyncDisposable {
  readonly port: number;
  /** Its data directory. */
  readonly folder: string;
  /** Of `postgres` and `initdb`; `/usr/lib/postgresql/15/bin` has the client programs. */
  readonly binFolder: string;
  readonly version: PostgresVersion;
  /** Of the superuser and the database `postgres`. */
  readonly url: string;
  readonly #parameters: Parameters;
  readonly #scratch: GuardedFolder;
  #process: GuardedProcess | undefined;

  constructor({ port, folder, binFolder, version, parameters }: Parts, scratch: GuardedFolder) {
    this.port = port;
    this.folder = folder;
    this.binFolder = binFolder;
    this.version = version;
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    this.#parameters = parameters;
    this.#scratch = scratch;
  }

  /** The folder of its Unix socket, for `host=`. */
  get socketFolder(): string {
    return this.#scratch.path;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get isRunning(): boolean {
    return this.#process?.isRunning ?? false;
  }

  /** The end of its log. */
  log(): string {
    return this.#process?.log() ?? '';
  }

  /** Resolves when it answers queries, on a standby as well. */
  async start(): Promise<void> {
    const parameters: Parameters = {
      ...this.#parameters,
      port: String(this.port),
      listen_addresses: '127.0.0.1',
      unix_socket_directories: this.socketFolder,
    };
    const settings = Object.entries(parameters).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const started = new GuardedProcess({
      command: [join(this.binFolder, 'postgres'), '-D', this.folder, ...settings],
      folder: this.#scratch.path,
      logFile: join(this.#scratch.path, 'server.log'),
      owner: serverOwner(),
    });
    this.#process = started;
    await waitUntil('PostgreSQL answers', async () => {
      if (!started.isRunning) return true;
      return (await this.query('SELECT 1')).length === 1;
    });
    if (!started.isRunning) throw new Error(`PostgreSQL ended at once: ${started.log()}`);
  }

  /** As superuser over the socket, on a connection of its own. The rows of the last statement. */
  async query(sql: string, database = 'postgres'): Promise<readonly Row[]> {
    const client = new pg.Client({ host: this.socketFolder, port: this.port, user: 'postgres', database });
    client.on('error', () => undefined);
    await client.connect();
    try {
      // Several statements in one text have several results, which its types do not say.
      const result = (await client.query(sql)) as pg.QueryResult<Row> | readonly pg.QueryResult<Row>[];
      return (
        (Array.isArray(result) ? (result as readonly pg.QueryResult<Row>[]).at(-1) : (result as pg.QueryResult<Row>))
          ?.rows ?? []
      );
    } finally {
      await client.end();
    }
  }

  /** The only value of the only row, as text. */
  async value(sql: string, database = 'postgres'): Promise<string> {
    const [row] = await this.query(sql, database);
    return String(Object.values(row ?? {})[0]);
  }

  /** A program of Debian's client package against this server, such as `pgbench` or `psql`; its standard output. */
  async runClient(program: string, args: readonly string[]): Promise<string> {
    const environment = { ...process.env, PGHOST: this.socketFolder, PGPORT: String(this.port), PGUSER: 'postgres' };
    const { stdout } = await run(findProgram(program) ?? program, args, { env: environment, maxBuffer: 1024 ** 3 });
    return stdout;
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    await this.#process?.stop(STOP_SIGNALS[mode]);
  }

  /** All of its processes at once, as a machine that loses its power would (but for what the system has not written yet). */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  async pause(): Promise<void> {
    await this.#process?.pause();
  }

  async resume(): Promise<void> {
    await this.#process?.resume();
  }

  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.resume();
    await this.stop('immediate');
    await removeSharedMemory(this.folder);
    this.#scratch[Symbol.dispose]();
  }
}

/** A killed server leaves a piece of the system's shared memory, which its next start on the same folder would remove. */
async function removeSharedMemory(folder: string): Promise<void> {
  const path = join(folder, 'postmaster.pid');
  if (!existsSync(path)) return;
  const [, id] = (readFileSync(path, 'utf8').split('\n')[6] ?? '').trim().split(/\s+/);
  if (id !== undefined) await run('ipcrm', ['-m', id]).catch(() => undefined);
}

/** Starts one. It ends when it is disposed, and at the latest with this process. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const owner = serverOwner();
  const scratch = new GuardedFolder('postgres', owner);
  try {
    const folder = options.folder ?? join(scratch.path, 'data');
    const version = options.version ?? options.standbyOf?.primary.version ?? versionOf(folder) ?? '15';
    const binFolder = await postgresBinaries(version);
    const isThere = existsSync(join(folder, 'PG_VERSION'));
    if (options.standbyOf) await copyFromPrimary(folder, options.standbyOf, owner);
    else if (!isThere) await makeDataFolder(folder, binFolder, { owner, initdb: options.initdb ?? [] });
    const settings = { ...(options.standbyOf ? {} : OUR_SETTINGS), ...options.settings };
    if (!isThere) appendFileSync(join(folder, 'postgresql.conf'), configurationText(settings));
    if (!isThere || options.hba !== undefined) writeFileSync(join(folder, 'pg_hba.conf'), accessText(options.hba));
    const parameters = { ...(isThere ? options.settings : {}), ...tlsParameters(scratch.path, options, owner) };
    const port = options.port ?? (await freePort());
    return await started(new PostgresServer({ port, folder, binFolder, version, parameters }, scratch), options);
  } catch (error) {
    scratch[Symbol.dispose]();
    throw error;
  }
}

async function started(server: PostgresServer, { standbyOf }: PostgresOptions): Promise<PostgresServer> {
  try {
    await server.start();
    if (standbyOf) await untilCaughtUp(server, standbyOf.primary);
    return server;
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

/** Resolves when the standby has applied all that its primary had flushed when this was called. */
export async function untilCaughtUp(standby: PostgresServer, primary: PostgresServer): Promise<void> {
  const position = await primary.value('SELECT pg_current_wal_flush_lsn()');
  const hasIt = `SELECT COALESCE(pg_last_wal_replay_lsn() >= '${position}', false)`;
  await waitUntil('the standby has caught up', async () => (await standby.value(hasIt)) === 'true');
}

/** Makes a standby a primary, on a timeline of its own, and waits until that is on the disk. */
export async function promote(standby: PostgresServer): Promise<void> {
  await standby.query('SELECT pg_promote(true)');
  await standby.query('CHECKPOINT');
}

/** Makes a primary that failed a standby of the one that was promoted instead of it, and starts it. It had `wal_log_hints` or checksums. */
export async function rewind(failed: PostgresServer, promoted: PostgresServer): Promise<void> {
  const source = `host=${promoted.socketFolder} port=${promoted.port} user=postgres dbname=postgres application_name=standby`;
  const owner = serverOwner();
  const args = ['-D', failed.folder, `--source-server=${source}`, '--write-recovery-conf', '--no-sync'];
  await run(join(failed.binFolder, 'pg_rewind'), args, owner ?? {});
  await failed.start();
  await untilCaughtUp(failed, promoted);
}

const OUR_SETTINGS: Parameters = {
  fsync: 'off',
  // In the data directory, so that a killed server leaves nothing in /dev/shm.
  dynamic_shared_memory_type: 'mmap',
  shared_buffers: '32MB',
  wal_level: 'replica',
};

function configurationText(settings: Parameters): string {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
  return lines.join('');
}

const OPEN_ACCESS = 'host all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust';

function accessText(hba = OPEN_ACCESS): string {
  return `local all postgres trust\nlocal replication postgres trust\n${hba}\n`;
}

function versionOf(folder: string): PostgresVersion | undefined {
  const path = join(folder, 'PG_VERSION');
  // What is not one of ours is refused where its binaries are looked for.
  return existsSync(path) ? (readFileSync(path, 'utf8').trim() as PostgresVersion) : undefined;
}

function tlsParameters(folder: string, { tls }: PostgresOptions, owner: Owner | undefined): Parameters {
  if (!tls) return {};
  const { cert, key } = tls.server ?? tls.certificates;
  // It wants to own its key.
  const ownKey = join(folder, 'server.key');
  copyFileSync(key, ownKey);
  chmodSync(ownKey, 0o600);
  if (owner) chownSync(ownKey, owner.uid, owner.gid);
  return { ssl: 'on', ssl_cert_file: cert, ssl_key_file: ownKey, ssl_ca_file: tls.certificates.ca };
}

type Standby = NonNullable<PostgresOptions['standbyOf']>;

/** A base backup by hand, which every version can: PostgreSQL's own program refuses servers that are newer than it. */
async function copyFromPrimary(folder: string, { primary, slot }: Standby, owner: Owner | undefined): Promise<void> {
  const isOld = Number(primary.version) < 15;
  const client = new pg.Client({
    host: primary.socketFolder,
    port: primary.port,
    user: 'postgres',
    database: 'postgres',
  });
  await client.connect();
  try {
    await client.query(isOld ? "SELECT pg_start_backup('copy', true, false)" : "SELECT pg_backup_start('copy', true)");
    // A file that vanishes while it is copied is one that recovery does not need.
    await run('cp', ['-a', primary.folder, folder]).catch((error: unknown) => {
      if (!String(error).includes('No such file')) throw error;
    });
    const stop = isOld ? 'SELECT labelfile FROM pg_stop_backup(false)' : 'SELECT labelfile FROM pg_backup_stop()';
    const { rows } = await client.query<{ labelfile: string }>(stop);
    await run('rm', [
      '-rf',
      join(folder, 'postmaster.pid'),
      join(folder, 'postmaster.opts'),
      join(folder, 'pg_replslot'),
    ]);
    mkdirSync(join(folder, 'pg_replslot'), { mode: 0o700 });
    writeFileSync(join(folder, 'backup_label'), rows[0]?.labelfile ?? '');
  } finally {
    await client.end();
  }
  writeFileSync(join(folder, 'standby.signal'), '');
  const settings = {
    primary_conninfo: `host=${primary.socketFolder} port=${primary.port} user=postgres application_name=standby`,
    ...(slot === undefined ? {} : { primary_slot_name: slot }),
  };
  appendFileSync(join(folder, 'postgresql.conf'), configurationText(settings));
  if (owner) await run('chown', ['-R', `${owner.uid}:${owner.gid}`, folder]);
}
