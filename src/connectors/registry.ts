import { isTidemarkError } from '../core/errors.ts';
import type { Options } from '../core/option-schema.ts';

/**
 * What is known of a kind of datastore without loading its code. `keys` are what the manifest may say about such a store besides
 * its URL and what all stores have; the connector's options are what comes out of them.
 */
export type ConnectorKind = {
  readonly name: string;
  readonly schemes: readonly string[];
  readonly summary: string;
  /** What follows the scheme: `path` is relative to the manifest's folder and made absolute. */
  readonly target: 'path' | 'server';
  readonly example: string;
  loadKeys(): Promise<Options>;
  /** What is wrong with what follows the scheme, without repeating it, as it may hold a password. Absent where every text will do. */
  targetMistake?(scheme: string, target: string): Promise<string | undefined>;
};

export const connectorKinds: readonly ConnectorKind[] = [
  {
    name: 'embedded',
    schemes: ['embedded'],
    summary: 'an ordered key-value store in a file, without a server',
    target: 'path',
    example: 'embedded:./data/catalog.db',
    loadKeys: async () => (await import('./embedded/options.ts')).embeddedOptions,
  },
  {
    name: 'files',
    schemes: ['files'],
    summary: 'a folder of files',
    target: 'path',
    example: 'files:./data/uploads',
    loadKeys: async () => (await import('./files/options.ts')).filesOptions,
  },
  {
    name: 'postgres',
    schemes: ['postgres', 'postgresql'],
    summary: 'a PostgreSQL server, 13 or newer, with its log',
    target: 'server',
    example: 'postgres://backup@db1/orders',
    loadKeys: async () => (await import('./postgres/options.ts')).postgresOptions,
    targetMistake: async (_, target) => mistakeOf((await import('./postgres/place.ts')).parseServerUrl, target),
  },
  {
    name: 'redis',
    schemes: ['redis', 'rediss'],
    summary: 'a Redis server, 7 or newer, with its stream of commands',
    target: 'server',
    example: 'rediss://cache:6379',
    loadKeys: async () => (await import('./redis/options.ts')).redisOptions,
    targetMistake: async (...place) => mistakeOf((await import('./redis/place.ts')).parseTarget, ...place),
  },
];

function mistakeOf<Words extends readonly string[]>(
  parse: (...words: Words) => unknown,
  ...words: Words
): string | undefined {
  try {
    parse(...words);
    return undefined;
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return `${error.message}. ${error.hint}`;
  }
}

/** Schemes that a manifest may name one day; said to be missing instead of unknown. */
export const laterSchemes: readonly string[] = ['etcd', 'consul', 'mysql', 'mariadb', 'sqlite', 'db2'];

export function connectorKind(scheme: string): ConnectorKind | undefined {
  return connectorKinds.find((kind) => kind.schemes.includes(scheme));
}

export function supportedSchemes(): readonly string[] {
  return connectorKinds.flatMap((kind) => kind.schemes);
}
