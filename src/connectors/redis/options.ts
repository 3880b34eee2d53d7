import { choice, list, optional, text, withDefault } from '../../core/option-schema.ts';
import type { ValuesOf } from '../../core/option-schema.ts';
import { passwordSources, path, secretFile } from '../../core/option-types.ts';

/** `redis:6379`, `10.0.0.1:6379`, `[::1]:6379`. */
const SERVER = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:/@[\]]+)(?::\d{1,5})?$/;

/** What the manifest may say about a Redis server, besides its URL and what all stores have. */
export const redisOptions = {
  ...passwordSources(),
  sentinels: withDefault(
    list(text({ expects: 'a host and a port such as sentinel-1:26379', pattern: SERVER }), {
      expects: 'a list of hosts and ports such as [sentinel-1:26379, sentinel-2:26379]',
      most: 100,
    }),
    [],
    'Sentinels that know where the master is; then the host of the URL is only a name. They take the same TLS settings, and the same password where they ask for one.',
  ),
  masterName: optional(
    text({ expects: 'the name of a master that Sentinel watches', pattern: /^[^\s]+$/ }),
    'What Sentinel calls the master; the host of the URL where it is absent.',
  ),
  caFile: optional(
    path({ expects: 'the path of a file' }),
    'Certificates, in PEM, of who signed the server’s; the system’s own where it is absent.',
  ),
  certFile: optional(
    path({ expects: 'the path of a file' }),
    'A certificate, in PEM, to show to a server that asks for one.',
  ),
  keyFile: optional(secretFile(), 'The private key, in PEM, of certFile.'),
  serverName: optional(
    text({ expects: 'a host name', pattern: /^[^\s:/@]+$/ }),
    'The name that the server’s certificate must have; the host’s where it is absent.',
  ),
  expiry: withDefault(
    choice(['remaining', 'absolute']),
    'remaining',
    'What a restore does with keys that expire: `remaining` gives them the time that they had left at the moment that is restored; `absolute` lets them expire when they would have.',
  ),
  source: withDefault(
    choice(['psync', 'scan']),
    'psync',
    '`psync`: as a replica, exact to the command. `scan`: where the server permits no replicas, each key as it is read, without a log.',
  ),
};

export type RedisOptions = ValuesOf<typeof redisOptions>;
