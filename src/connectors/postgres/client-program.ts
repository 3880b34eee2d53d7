import type { StreamOptions } from '../../io/program.ts';
import type { Run } from '../../core/run.ts';
import { findClientProgram } from './binaries.ts';
import type { PostgresPlace } from './place.ts';

/** Where programs of the system are, and the only words that are parsed. */
const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', PGCONNECT_TIMEOUT: '30' };

/** What a client's program of PostgreSQL is run with against a server. Its password goes by environment. */
export type ClientCall = Pick<StreamOptions, 'command' | 'via' | 'environment' | 'secrets'>;

/** `program`: `psql`, `pg_dump` or `pg_dumpall`. The database is the place's own where none is named. */
export async function clientCall(
  place: PostgresPlace,
  program: string,
  args: readonly string[],
  run: Run,
): Promise<ClientCall> {
  const { addresses, user, via, options, sslMode } = place;
  const isFar = via.length > 0;
  const found = isFar ? undefined : findClientProgram(program, options.binFolder);
  const hosts = addresses.map(({ host }) => host).join(',');
  const ports = addresses.map(({ port }) => port).join(',');
  const connection = ['--host', hosts, '--port', ports, '--username', user, '--no-password'];
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
    environment: ENVIRONMENT,
    secrets: {
      ...(password !== undefined && { PGPASSWORD: password }),
      PGSSLMODE: sslMode,
      // Files of this host mean nothing on another one.
      ...(isFar ? {} : { ...defaultRoot, ...certificates }),
    },
  };
}

const SYSTEM_ROOT = '/etc/ssl/certs/ca-certificates.crt';
