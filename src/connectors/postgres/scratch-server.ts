import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import { excerpt } from '../../core/printable.ts';
import type { Clock, Run } from '../../core/run.ts';
import { untilAborted } from '../../flow/until-aborted.ts';
import type { Owner } from './owner.ts';

/** What this restore puts into the data directory for the time of the recovery. */
export const WORK = 'tidemark_restore';
const PORT = 5432;
const STOP_TIMEOUT_MS = 120_000;
const LOG_KEPT = 64 * 1024;

export type ScratchOptions = {
  readonly folder: string;
  readonly binFolder: string;
  readonly owner: Owner;
  /** Parameters of the server, over ours. */
  readonly settings: Readonly<Record<string, string>>;
  readonly clock: Clock;
};

/** Who looks into a server, and with which parameters of a session, as `PGOPTIONS` has them. */
export type Login = { readonly user: string; readonly options: string };

/**
 * Parameters under which a copy of a server touches nothing but its own folder: no network, no archive, no replication in either direction,
 * no libraries, no jobs. It need not survive a crash, because then it is made anew.
 */
const PRIVATE: Readonly<Record<string, string>> = {
  listen_addresses: '',
  port: String(PORT),
  unix_socket_directories: WORK,
  unix_socket_permissions: '0700',
  hba_file: `${WORK}/hba.conf`,
  ident_file: `${WORK}/ident.conf`,
  archive_mode: 'off',
  autovacuum: 'off',
  max_logical_replication_workers: '0',
  restart_after_crash: 'off',
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  checkpoint_timeout: '1d',
  max_wal_size: '4GB',
  logging_collector: 'off',
  log_destination: 'stderr',
  log_line_prefix: '',
  log_min_messages: 'warning',
  log_checkpoints: 'off',
  lc_messages: 'C',
  dynamic_shared_memory_type: 'mmap',
  huge_pages: 'off',
  hot_standby: 'off',
  allow_in_place_tablespaces: 'on',
};

/** A server that runs privately on a data directory in the making, as its owner. Dispose stops it. */
export class ScratchServer implements AsyncDisposable {
  readonly #options: ScratchOptions;
  readonly #work: string;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #log = '';
  #wasStarted = false;
  readonly #listeners = new Set<() => void>();

  constructor(options: ScratchOptions) {
    this.#options = options;
    this.#work = join(options.folder, WORK);
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** It was started, and is not there any more. */
  get hasEnded(): boolean {
    return this.#wasStarted && this.#child === undefined;
  }

  /** The folder for what a recovery needs, beside the server's own settings. */
  static prepare(folder: string, owner: Owner): string {
    const work = join(folder, WORK);
    mkdirSync(work, { mode: 0o700, recursive: true });
    chownSync(work, owner.uid, owner.gid);
    return work;
  }

  start(): void {
    const { folder, binFolder, owner, settings } = this.#options;
    ScratchServer.prepare(folder, owner);
    // What is set in it is meant for the real server.
    const own = join(folder, 'postgresql.auto.conf');
    if (existsSync(own)) renameSync(own, join(this.#work, 'postgresql.auto.conf'));
    const parameters = { ...PRIVATE, shared_buffers: sharedBuffers(), ...settings };
    this.#put('postgresql.conf', Object.entries(parameters).map(setting).join(''));
    this.#put('hba.conf', 'local all all trust\n');
    this.#put('ident.conf', '');
    const isRoot = process.getuid?.() === 0;
    const child = spawn(join(binFolder, 'postgres'), ['-D', folder, `--config-file=${WORK}/postgresql.conf`], {
      cwd: folder,
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(isRoot ? owner : {}),
    });
    this.#child = child;
    this.#wasStarted = true;
    const guardian = child.pid === undefined ? undefined : startGuardian(child.pid, folder);
    guardian?.once('error', () => child.kill('SIGQUIT'));
    child.stderr?.on('data', (piece: Buffer) => {
      this.#log = (this.#log + piece.toString()).slice(-LOG_KEPT);
      for (const listener of this.#listeners) listener();
    });
    this.#ended = new Promise((resolve) => {
      const finish = (): void => {
        this.#child = undefined;
        guardian?.kill('SIGKILL');
        for (const listener of this.#listeners) listener();
        resolve();
      };
      child.once('error', finish);
      child.once('close', finish);
    });
  }

  /** Resolves when it takes connections. @throws RESTORE_FAILED when it ends instead */
  async ready(run: Run): Promise<void> {
    const heard = Promise.withResolvers<void>();
    const look = (): void => {
      if (this.#child === undefined) heard.reject(this.failure('ended before it took connections'));
      else if (READY.test(this.#log)) heard.resolve();
    };
    this.#listeners.add(look);
    try {
      look();
      await untilAborted(heard.promise, run);
    } finally {
      this.#listeners.delete(look);
    }
  }

  /** One that can be read while it recovers waits for ever where its log says that the server before it had more of something. @throws RESTORE_FAILED */
  assertGoesOn(): void {
    if (!/recovery has paused/.test(this.#log)) return;
    throw this.failure(
      'has come to where the other one was given more than it has itself',
      'Restore with `endRecovery: promote`, or to a moment with a base from after that.',
    );
  }

  failure(what: string, hint?: string): TidemarkError {
    const told = /^(?:FATAL|PANIC|ERROR|WARNING|HINT|DETAIL|postgres):/;
    const lines = this.#log.split('\n').filter((line) => told.test(line));
    const said = lines.slice(-SHOWN_LINES).map((line) => excerpt(line, 200));
    return new TidemarkError('RESTORE_FAILED', [`the restored server ${what}`, ...said].join('; '), { hint });
  }

  /** Rows as text. @throws pg's errors */
  async query(database: string, login: Login, sql: string, run: Run): Promise<readonly (readonly string[])[]> {
    const socket = this.socketFolder();
    const client = new pg.Client({
      host: socket.path,
      port: PORT,
      ...login,
      database,
      connectionTimeoutMillis: 60_000,
    });
    client.on('error', () => undefined);
    try {
      await untilAborted(client.connect(), run);
      const { rows } = await untilAborted(client.query<string[]>({ text: sql, rowMode: 'array' }), run);
      return rows.map((row) => row.map(String));
    } finally {
      socket.close();
      const ended = client.end().catch(() => undefined);
      // One that hangs is ended with the server.
      if (!run.signal.aborted) await ended;
    }
  }

  /** The folder of its socket, under a short name: the system limits the length of a socket's path. Also for other processes of this user. */
  socketFolder(): { readonly path: string; readonly port: number; close(): void } {
    const folder = openSync(this.#work, 'r');
    return { path: `/proc/${process.pid}/fd/${folder}`, port: PORT, close: () => closeSync(folder) };
  }

  /** Ends it in an orderly way, and takes away what this restore put there. @throws RESTORE_FAILED when it does not end so */
  async stop(run: Run): Promise<void> {
    must(this.#child, 'a running server').kill('SIGINT');
    const { clock, folder } = this.#options;
    const timeout = new AbortController();
    const timer = clock.sleep(STOP_TIMEOUT_MS, { signal: AbortSignal.any([timeout.signal, run.signal]) }).then(
      () => this.#child?.kill('SIGQUIT'),
      () => (run.signal.aborted ? this.#child?.kill('SIGQUIT') : undefined),
    );
    await this.#ended;
    timeout.abort();
    await timer;
    run.signal.throwIfAborted();
    if (!/database system is shut down/.test(this.#log)) throw this.failure('did not stop in an orderly way');
    const own = join(this.#work, 'postgresql.auto.conf');
    if (existsSync(own)) renameSync(own, join(folder, 'postgresql.auto.conf'));
    rmSync(this.#work, { recursive: true, force: true });
    for (const name of ['postmaster.opts', 'backup_label.old']) rmSync(join(folder, name), { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child?.kill('SIGQUIT');
    await this.#ended;
  }

  #put(name: string, content: string): void {
    const path = join(this.#work, name);
    writeFileSync(path, content, { mode: 0o600 });
    chmodSync(path, 0o600);
    chownSync(path, this.#options.owner.uid, this.#options.owner.gid);
  }
}

/** Waits at a pipe that only this process holds. */
const GUARD = 'read -r _; [ "/proc/$1/cwd" -ef "$2" ] && kill -QUIT "$1"';

/** Ends the server of a folder when this process is gone without having done so, however that went. */
function startGuardian(serverPid: number, folder: string): ChildProcess {
  return spawn('/bin/sh', ['-c', GUARD, 'sh', String(serverPid), folder], {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['pipe', 'ignore', 'ignore'],
    // What ends this process by its group must not end the guardian first.
    detached: true,
  });
}

const SHOWN_LINES = 4;
const READY = /database system is ready to accept (?:read[- ]only )?connections/;

/** One setting as a line of a configuration file. */
export function setting([name, value]: readonly [string, string]): string {
  return `${name} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'\n`;
}

/** An eighth of what is free, for pages are written again and again during a recovery. */
function sharedBuffers(): string {
  const megabytes = Math.floor(freemem() / 8 / (1 << 20));
  return `${Math.min(Math.max(megabytes, 16), 1024)}MB`;
}
