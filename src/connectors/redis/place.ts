import { TidemarkError } from '../../core/errors.ts';
import type { AskPassword, StorePlace } from '../../core/connector.ts';
import type { TlsFiles } from '../../io/tls.ts';
import type { RedisOptions } from './options.ts';

const DEFAULT_PORT = 6379;
const DEFAULT_SENTINEL_PORT = 26379;

/** Where something listens. An IPv6 address is without its brackets. */
export type Address = { readonly host: string; readonly port: number };

/** How a server is spoken to: `tls` where it speaks TLS, `user` where not as `default`. */
export type RedisServer = Address & {
  readonly tls?: TlsFiles | undefined;
  readonly user?: string | undefined;
  readonly password: AskPassword;
  /** The password is for another server, and is given to this one only when it asks. */
  readonly login?: 'whenAsked' | undefined;
};

/** Who knows where the master is. */
export type SentinelPlace = { readonly addresses: readonly Address[]; readonly masterName: string };

/** A Redis server, or a master that Sentinel watches, as the manifest has it. */
export type RedisPlace = RedisServer & {
  readonly sentinel?: SentinelPlace | undefined;
  readonly expiry: RedisOptions['expiry'];
  readonly source: RedisOptions['source'];
};

type ServerUrl = Address & { readonly user?: string | undefined; readonly database?: number | undefined };

const TARGET = /^\/\/(?:([^@/]*)@)?(\[[0-9a-fA-F:.]+\]|[^\s:/@[\]]+)(?::(\d{1,5}))?\/?(\d{1,9})?$/;

/**
 * Takes apart what follows the scheme. @throws CONFIG_INVALID, without repeating the target, which may hold a password
 */
export function parseTarget(scheme: string, target: string): ServerUrl {
  // Whatever is wrong besides, a secret where none may be is told first.
  if (/^\/\/[^/]*:[^/]*@/.test(target)) {
    throw new TidemarkError('CONFIG_INVALID', `the ${scheme}: URL of a store holds a password`, {
      hint: 'A secret is never in the manifest; use passwordFile, passwordEnv or passwordCommand to say where it is.',
    });
  }
  const [, user, host, port, database] = TARGET.exec(target) ?? [];
  const portNumber = port === undefined ? DEFAULT_PORT : Number(port);
  if (host === undefined || !isPort(portNumber)) {
    throw new TidemarkError('CONFIG_INVALID', `expected ${scheme}://[user@]host[:port] as the URL of a store`, {
      hint: `Write it as in ${scheme}://cache:6379.`,
    });
  }
  return {
    host: bareHost(host),
    port: portNumber,
    user: user === undefined || user === '' ? undefined : decodeUser(user),
    database: database === undefined ? undefined : Number(database),
  };
}

/** A store as the manifest has it. @throws CONFIG_INVALID */
export function resolvePlace(store: StorePlace): {
  readonly options: RedisPlace;
  readonly warnings: readonly string[];
} {
  const { scheme, target, password } = store;
  const { host, port, user, database } = parseTarget(scheme, target);
  // The manifest's schema has checked them: they are what `redisOptions` yields.
  const options = store.options as RedisOptions;
  const warnings: string[] = [];
  if (database !== undefined) {
    warnings.push(`the database ${database} in its URL changes nothing: all databases of a server are one history`);
  }
  const { caFile, certFile, keyFile, serverName, expiry, source } = options;
  if (scheme !== 'rediss' && [caFile, certFile, keyFile, serverName].some((key) => key !== undefined)) {
    warnings.push('its TLS settings change nothing, since its URL begins with redis: and not with rediss:');
  }
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new TidemarkError('CONFIG_INVALID', 'of certFile and keyFile one is missing', {
      hint: 'Name both, or neither.',
    });
  }
  const addresses = options.sentinels.map((text) => parseAddress(text, DEFAULT_SENTINEL_PORT));
  const sentinel = addresses.length === 0 ? undefined : { addresses, masterName: options.masterName ?? host };
  const tls = scheme === 'rediss' ? { caFile, certFile, keyFile, serverName } : undefined;
  return { options: { host, port, user, password, tls, sentinel, expiry, source }, warnings };
}

/**
 * The server that `--into` names, with the store's own settings. Another server than the store's gets its password only where a user is named, or when it asks for
 * one, and its certificate has its own name. @throws CONFIG_INVALID, USAGE for no server
 */
export function placeAt(place: RedisPlace, url: string): RedisPlace {
  const [, scheme, target] = /^(rediss?):(.*)$/s.exec(url) ?? [];
  if (scheme === undefined || target === undefined) {
    throw new TidemarkError('USAGE', 'expected the URL of a Redis server, such as redis://cache:6379');
  }
  const { host, port, user } = parseTarget(scheme, target);
  const isSameHost = host === place.host && place.sentinel === undefined;
  const isNamed = user !== undefined || (isSameHost && port === place.port);
  const serverName = isSameHost ? place.tls?.serverName : undefined;
  return {
    ...place,
    host,
    port,
    user: user ?? place.user,
    login: isNamed ? undefined : 'whenAsked',
    tls: scheme === 'rediss' ? { ...place.tls, serverName } : undefined,
    sentinel: undefined,
  };
}

/** `host:port` for messages, with brackets where the host has colons. */
export function shownAddress({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function parseAddress(text: string, defaultPort: number): Address {
  const [, host = '', port] = /^(\[.*\]|[^:]*)(?::(\d+))?$/.exec(text) ?? [];
  const portNumber = port === undefined ? defaultPort : Number(port);
  if (host === '' || !isPort(portNumber)) {
    throw new TidemarkError('CONFIG_INVALID', `${text} is no host and port of a Sentinel`);
  }
  return { host: bareHost(host), port: portNumber };
}

function isPort(port: number): boolean {
  return port > 0 && port < 65_536;
}

function bareHost(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1) : host;
}

function decodeUser(user: string): string {
  try {
    return decodeURIComponent(user);
  } catch {
    // It has a % that stands for itself.
    return user;
  }
}
