import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import type { ClientConfig } from 'pg';
import type { TidemarkError } from '../../core/errors.ts';
import { fromSystem } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import { untilAborted } from '../../flow/until-aborted.ts';
import { Inbox } from '../../io/inbox.ts';
import { serverError, unreachable } from './errors.ts';
import { addressName, placeName } from './place.ts';
import type { PostgresPlace, ServerAddress } from './place.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const QUERY_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_AFTER_MS = 10_000;

/** A role or database may have limits of its own, which would end long work; and no standby is waited for. */
const SETTINGS = '-c statement_timeout=0 -c lock_timeout=0 -c synchronous_commit=local -c client_encoding=UTF8';

/** It is told each second that we are there: one that waits less would take a slow answer for a dead host. */
const SENDER_SETTINGS = '-c wal_sender_timeout=60s';

/** All values are as the server writes them. */
export type Row = Readonly<Record<string, string | null>>;

export type Parameter = string | number | null;

/** A connection for SQL, or for the commands of replication. One command at a time. */
export interface Session extends AsyncDisposable {
  readonly address: ServerAddress;
  /** False once it is lost: open another one. */
  readonly isOpen: boolean;
  /** @throws what `serverError` makes of the server's word, STORE_UNREACHABLE */
  query(text: string, run: Run, values?: readonly Parameter[]): Promise<readonly Row[]>;
}

export type ConnectOptions = {
  /** What the server shows as the connection's name. */
  readonly name: string;
  /** The server gives the connection up when nothing of what it sends is taken for so long. */
  readonly unreadMs?: number;
};

/** The timeline of one that is promoted is in the names of its log's files at once, and only later in its control file. */
const ROLE = `
SELECT pg_catalog.pg_is_in_recovery() AS standby,
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())
    ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::pg_catalog.bit(32)::pg_catalog.int4
  END AS timeline`;

/**
 * Connects to the one of the place's servers that has the wanted role; of several, such as a primary that does not know yet that another one was
 * promoted, to the one of the latest timeline. @throws STORE_UNREACHABLE
 */
export async function connectSql(place: PostgresPlace, options: ConnectOptions, run: Run): Promise<Session> {
  const troubles: TidemarkError[] = [];
  await using left = new AsyncDisposableStack();
  let best: { readonly session: Session; readonly timeline: number } | undefined;
  for (const address of place.addresses) {
    try {
      const session = await connect(place, { ...options, address, replication: false }, run);
      left.defer(async () => {
        if (session !== best?.session) await session[Symbol.asyncDispose]();
      });
      const [row] = await session.query(ROLE, run);
      const isStandby = row?.['standby'] === 't';
      const timeline = Number(row?.['timeline']);
      if (isStandby !== (place.options.from === 'standby')) troubles.push(wrongRole(address, isStandby));
      else if (best === undefined || timeline > best.timeline) best = { session, timeline };
    } catch (error) {
      run.signal.throwIfAborted();
      troubles.push(serverError(addressName(address), error));
    }
  }
  if (best !== undefined) return best.session;
  const [first] = troubles;
  if (first !== undefined && troubles.length === 1) throw first;
  const told = troubles.map(({ message }) => message).join('; ');
  throw unreachable(`none of the servers of ${placeName(place)} can be used: ${told}`, {
    cause: first,
    hint: first?.hint,
  });
}

/** Connects to one server of a place, whatever its role. @throws STORE_UNREACHABLE */
export async function connectTo(
  place: PostgresPlace,
  options: ConnectOptions & { readonly address: ServerAddress },
  run: Run,
): Promise<Session> {
  return await connect(place, { ...options, replication: false }, run);
}

/** Connects for `START_REPLICATION`, `BASE_BACKUP` and their like. @throws STORE_UNREACHABLE */
export async function connectReplication(
  place: PostgresPlace,
  options: ConnectOptions & { readonly address: ServerAddress },
  run: Run,
): Promise<ClientSession> {
  return await connect(place, { ...options, replication: true }, run);
}

function wrongRole(address: ServerAddress, isStandby: boolean): TidemarkError {
  const server = addressName(address);
  return isStandby
    ? unreachable(`${server} is a standby`, {
        hint: 'Name the primary, or set `from: standby` to record from a standby.',
      })
    : unreachable(`${server} is a primary`, { hint: 'Name a standby, or remove `from: standby`.' });
}

type Connecting = ConnectOptions & { readonly address: ServerAddress; readonly replication: boolean };

async function connect(place: PostgresPlace, options: Connecting, run: Run): Promise<ClientSession> {
  const { address, name, replication, unreadMs } = options;
  run.signal.throwIfAborted();
  const ssl = await tlsOf(place, address);
  const intake = replication && ssl === false ? new Intake() : undefined;
  const config: ClientConfig & { readonly replication?: string } = {
    host: address.host,
    port: address.port,
    user: place.user,
    database: place.database,
    password: () => passwordOf(place, address, run),
    ssl,
    ...(intake && { stream: () => intake.socket }),
    application_name: name,
    options: [
      SETTINGS,
      ...(replication ? [SENDER_SETTINGS] : []),
      ...(unreadMs === undefined ? [] : [`-c tcp_user_timeout=${unreadMs}`]),
    ].join(' '),
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    // What streams is read from the socket itself, which this does not bound.
    query_timeout: QUERY_TIMEOUT_MS,
    ...(replication && { replication: 'true' }),
    types: { getTypeParser: () => (value: string | Buffer) => value.toString() },
  };
  const session = new ClientSession(new pg.Client(config), address, intake);
  try {
    await session.connect(run);
    return session;
  } catch (error) {
    session.destroy();
    run.signal.throwIfAborted();
    throw serverError(addressName(address), error);
  }
}

async function passwordOf(place: PostgresPlace, address: ServerAddress, run: Run): Promise<string> {
  const password = await place.password(run);
  if (password !== undefined) return password;
  throw unreachable(`${addressName(address)} asks for a password`, {
    disposition: 'stop',
    hint: 'Name its source in the manifest: passwordFile, passwordEnv or passwordCommand.',
  });
}

async function tlsOf({ sslMode, options }: PostgresPlace, { host }: ServerAddress): Promise<ConnectionOptions | false> {
  if (sslMode === 'disable' || host.startsWith('/')) return false;
  const [ca, cert, key] = [await read(options.caFile), await read(options.certFile), await read(options.keyFile)];
  return {
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    // As libpq has it: who names an authority wants it to be asked.
    rejectUnauthorized: sslMode !== 'require' || ca !== undefined,
    ...(sslMode !== 'verify-full' && { checkServerIdentity: () => undefined }),
  };
}

async function read(path: string | undefined): Promise<Buffer | undefined> {
  try {
    return path === undefined ? undefined : await readFile(path);
  } catch (error) {
    throw fromSystem(error, 'STORE_UNREACHABLE', `${path} can’t be read`);
  }
}

/** Memory for what a socket brings, which pg has copies of until it is taken. */
class Intake {
  readonly socket: Socket;
  readonly #inbox = new Inbox();
  #isTaken = false;

  constructor() {
    const callback = (sizeBytes: number, slab: Uint8Array): true => {
      if (this.#isTaken) this.#inbox.filled(sizeBytes);
      else this.socket.emit('data', Buffer.from(slab.subarray(0, sizeBytes)));
      return true;
    };
    this.socket = new Socket({ onread: { buffer: () => this.#inbox.room(), callback } });
  }

  take(): Inbox {
    this.#isTaken = true;
    return this.#inbox;
  }
}

/** A session over pg's client. */
export class ClientSession implements Session {
  readonly address: ServerAddress;
  readonly #client: pg.Client;
  readonly #intake: Intake | undefined;
  #isOpen = false;

  /** `intake`: of the client's socket. */
  constructor(client: pg.Client, address: ServerAddress, intake: Intake | undefined) {
    this.#client = client;
    this.address = address;
    this.#intake = intake;
    // Whoever waits for an answer gets the error as well; while nobody does it is only remembered.
    client.on('error', () => {
      this.#isOpen = false;
    });
    client.on('end', () => {
      this.#isOpen = false;
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  async connect(run: Run): Promise<void> {
    await untilAborted(this.#client.connect(), run);
    this.#isOpen = true;
  }

  async query(text: string, run: Run, values?: readonly Parameter[]): Promise<readonly Row[]> {
    run.signal.throwIfAborted();
    try {
      const asked = this.#client.query<Row>(values === undefined ? { text } : { text, values: [...values] });
      const { rows } = await untilAborted(asked, run);
      return rows;
    } catch (error) {
      const isAnswer = error instanceof pg.DatabaseError;
      // An answer that nobody waits for any more would be taken for the next one's.
      if (!isAnswer) this.destroy();
      run.signal.throwIfAborted();
      throw isAnswer ? error : serverError(addressName(this.address), error);
    }
  }

  /** The socket under the session, which is of no use any more: what it brings from now on comes to an inbox. */
  takeSocket(): { readonly socket: Socket; readonly inbox: Inbox } {
    const socket = must(this.#socket(), 'pg’s socket');
    socket.removeAllListeners('data');
    if (this.#intake !== undefined) return { socket, inbox: this.#intake.take() };
    const inbox = new Inbox();
    // What is decrypted comes in pieces of its own.
    socket.on('data', (piece: Buffer) => inbox.put(piece));
    return { socket, inbox };
  }

  /** Without a word to the server. */
  destroy(): void {
    this.#isOpen = false;
    this.#socket()?.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return this.destroy();
    this.#isOpen = false;
    this.#client.end().catch(() => undefined);
    // Nothing is waited for: a server that stands still never closes its end.
    this.#socket()?.destroySoon();
  }

  /** pg's typings do not have it. */
  #socket(): Socket | undefined {
    const connection: unknown = 'connection' in this.#client ? this.#client.connection : undefined;
    const isConnection = connection instanceof EventEmitter && 'stream' in connection;
    return isConnection && connection.stream instanceof Socket ? connection.stream : undefined;
  }
}
