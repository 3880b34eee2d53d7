import { TidemarkError } from '../../core/errors.ts';
import type { AskPassword, StorePlace } from '../../core/connector.ts';
import type { PostgresOptions } from './options.ts';

const DEFAULT_PORT = 5432;
const DEFAULT_USER = 'postgres';
const MOST_PORT = 65_535;

const EXAMPLE = 'Write it as postgres://USER@HOST:PORT/DATABASE.';

/** How the server has to prove who it is: not at all, only encrypted, by a known authority, or by its name as well. */
export type SslMode = 'disable' | 'require' | 'verify-ca' | 'verify-full';

const SSL_MODES: readonly SslMode[] = ['disable', 'require', 'verify-ca', 'verify-full'];

/** `host` is a name, an address, or the folder of a socket. */
export type ServerAddress = { readonly host: string; readonly port: number };

/** What a URL says. Several addresses are one server and its standbys: the one that has the wanted role is used. */
export type ServerUrl = {
  readonly addresses: readonly ServerAddress[];
  readonly user: string;
  readonly database: string;
  readonly sslMode: SslMode;
};

/** A PostgreSQL server as the manifest has it. */
export type PostgresPlace = ServerUrl & {
  readonly password: AskPassword;
  readonly options: PostgresOptions;
  readonly via: readonly string[];
  /** Of `via` on this host. */
  readonly environment?: StorePlace['environment'];
};

/** @throws CONFIG_INVALID, never with what stands in the URL before the `@` */
export function resolvePlace(place: StorePlace): PostgresPlace {
  // The schema of this connector's options yielded them.
  const options = place.options as unknown as PostgresOptions;
  if ((options.certFile === undefined) !== (options.keyFile === undefined)) {
    throw invalid('certFile and keyFile go together', 'Name both, or neither.');
  }
  const { password, via, environment } = place;
  return { ...parseServerUrl(place.target), password, options, via, environment };
}

/** `target` is what follows `postgres:`. @throws CONFIG_INVALID */
export function parseServerUrl(target: string): ServerUrl {
  const match = /^\/\/(?:([^@/?#]*)@)?([^@/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/s.exec(target);
  if (match === null) throw invalid('this is no URL of a PostgreSQL server', EXAMPLE);
  const [, account = '', hosts = '', database = '', query = ''] = match;
  if (account.includes(':')) {
    throw invalid(
      'a password does not belong in the URL',
      'Take it out, and name its source: passwordFile, passwordEnv or passwordCommand.',
    );
  }
  const { host, port, sslmode, ...unknown } = parametersOf(query);
  const [stranger] = Object.keys(unknown);
  if (stranger !== undefined) {
    throw invalid(
      `the URL's parameter ${JSON.stringify(stranger)} is unknown`,
      'Known are host, port and sslmode; the rest are keys of the store.',
    );
  }
  const written = (hosts === '' ? (host ?? 'localhost') : hosts).split(',');
  const ports = port?.split(',') ?? [];
  if (ports.length > 1 && ports.length !== written.length) {
    throw invalid('the URL has not a port for each host', EXAMPLE);
  }
  const addresses = written.map((one, index) => addressOf(decode(one), ports[index] ?? ports[0]));
  const user = decode(account) || DEFAULT_USER;
  return { addresses, user, database: decode(database) || user, sslMode: sslModeOf(sslmode, addresses) };
}

/** How a server is named to people. */
export function placeName({ addresses, database }: ServerUrl): string {
  return `postgres://${addresses.map(addressName).join(',')}/${database}`;
}

export function addressName({ host, port }: ServerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function parametersOf(query: string): Readonly<Record<string, string>> {
  const parameters: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(query)) {
    if (name in parameters) throw invalid(`the URL's parameter ${JSON.stringify(name)} stands there twice`, EXAMPLE);
    parameters[name] = value;
  }
  return parameters;
}

/** `port`: where it says none itself. */
function addressOf(written: string, port: string | undefined): ServerAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|(\/.*?|[^:[\]]+))(?::([0-9]+))?$/s.exec(written);
  const host = match?.[1] ?? match?.[2];
  const number = match?.[3] ?? (port || String(DEFAULT_PORT));
  if (host === undefined || !/^[0-9]{1,5}$/.test(number) || Number(number) < 1 || Number(number) > MOST_PORT) {
    throw invalid('the URL has no host or port, or one that can’t be', EXAMPLE);
  }
  return { host, port: Number(number) };
}

function decode(written: string): string {
  try {
    return decodeURIComponent(written);
  } catch {
    throw invalid('the URL has a % that means nothing', 'A % itself is written %25.');
  }
}

function isLocal({ host }: ServerAddress): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function sslModeOf(written: string | undefined, addresses: readonly ServerAddress[]): SslMode {
  if (written === undefined) return addresses.every(isLocal) ? 'disable' : 'verify-full';
  const mode = SSL_MODES.find((known) => known === written);
  if (mode !== undefined) return mode;
  throw invalid(
    `sslmode=${JSON.stringify(written)} is not supported`,
    `It is one of ${SSL_MODES.join(', ')}: either encrypted or not, never by chance.`,
  );
}

function invalid(message: string, hint: string): TidemarkError {
  return new TidemarkError('CONFIG_INVALID', message, { hint });
}
