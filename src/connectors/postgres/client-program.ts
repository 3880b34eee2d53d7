import type { StreamOptions } from '../../io/program.ts';
import type { Run } from '../../core/run.ts';
import { findClientProgram } from './binaries.ts';
import { connectSql } from './connection.ts';
import type { Session } from './connection.ts';
import type { PostgresPlace, ServerAddress } from './place.ts';

/** Where programs of the system are, and the only words that are parsed. */
const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', PGCONNECT_TIMEOUT: '30' };

/** Over what a role or a database has for its sessions. */
const OPTIONS =
  '-c client_min_messages=warning -c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0';

/** What a client's program of PostgreSQL is run with against a server. Its password goes by environment. */
export type ClientCall = Pick<StreamOptions, 'command' | 'via' | 'environment' | 'secrets'>;

/**
 * `program`: `psql`, `pg_dump` or `pg_dumpall`. The database is the place's own where none is named. Of several servers it is the one that is
 * connected to for SQL as well: the program itself would take the first that answers. @throws STORE_UNREACHABLE
 */
export async function clientCall(
  place: PostgresPlace,
  program: string,
  args: readonly string[],
  run: Run,
): Promise<ClientCall> {
  const { user, via, options, sslMode } = place;
  const { host, port, majorVersion } = await chosenServer(place, run);
  const isFar = via.length > 0;
  const found = isFar ? undefined : findClientProgram(program, options.binFolder, majorVersion);
  const connection = ['--host', host, '--port', String(port), '--username', user, '--no-password'];
  const password = await place.password(run);
  const certificates = {
    ...(options.caFile !== undefined && { PGSSLROOTCERT: options.caFile }),
    ...(options.certFile !== undefined && { PGSSLCERT: options.certFile }),
    ...(options.keyFile !== undefined && { PGSSLKEY: options.keyFile }),
  };
  // libpq knows no certificates of the system by itself before version 16.
  const defaultRoot =
    sslMode.startsWith('verify') && options.caFile === undefined ? { PGSSLROOTCERT: SYSTEM_ROOT } : {};
  return {
    command: [found ?? program, ...connection, ...args],
    via,
    // What brings it there finds its keys and its configuration by them.
    environment: isFar ? { ...ENVIRONMENT, ...place.environment, LC_ALL: 'C' } : ENVIRONMENT,
    secrets: {
      ...(password !== undefined && { PGPASSWORD: password }),
      PGSSLMODE: sslMode,
      PGOPTIONS: OPTIONS,
      // Files of this host mean nothing on another one.
      ...(isFar ? {} : { ...defaultRoot, ...certificates }),
    },
  };
}

/** A database by its name alone: one that has `=` in it, or begins as a URL does, programs would take for more than a name. */
export function databaseArguments(name: string): readonly string[] {
  return ['--dbname', `dbname='${name.replaceAll(/[\\']/g, '\\$&')}'`];
}

async function chosenServer(
  place: PostgresPlace,
  run: Run,
): Promise<ServerAddress & { readonly majorVersion: number }> {
  await using sql = await connectSql(place, { name: 'tidemark' }, run);
  return { ...sql.address, majorVersion: await majorVersionOf(sql, run) };
}

export async function majorVersionOf(sql: Session, run: Run): Promise<number> {
  const [row] = await sql.query("SELECT pg_catalog.current_setting('server_version_num') AS version", run);
  return Math.trunc(Number(row?.['version']) / 10_000);
}

const SYSTEM_ROOT = '/etc/ssl/certs/ca-certificates.crt';
