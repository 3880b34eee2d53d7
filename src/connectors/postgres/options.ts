import { byName, choice, optional, text, wholeNumber, withDefault } from '../../core/option-schema.ts';
import type { ValuesOf } from '../../core/option-schema.ts';
import { passwordSources, path, secretFile } from '../../core/option-types.ts';

/** What the manifest may say about a PostgreSQL server, besides its URL and what all stores have. */
export const postgresOptions = {
  ...passwordSources(),
  caFile: optional(
    path({ expects: 'the path of a file' }),
    'The certificates of those whom to believe who the server is; without it, those that Node brings.',
  ),
  certFile: optional(path({ expects: 'the path of a file' }), 'The certificate to show to the server, with keyFile.'),
  keyFile: optional(secretFile(), 'The private key to certFile.'),
  slot: optional(
    text({ expects: 'a name made of a-z, 0-9 and _, at most 63', pattern: /^[a-z0-9_]{1,63}$/ }),
    'The replication slot that keeps the server’s log until it is stored. Without it, one of its own that begins with tidemark_.',
  ),
  from: withDefault(
    choice(['primary', 'standby']),
    'primary',
    'Whether to record from the primary, or from a standby. What is recorded from a standby is as late as that is.',
  ),
  dataDirectory: optional(
    path({ expects: 'the path of a folder' }),
    'Where the server keeps its data on this host: what a restore puts in place.',
  ),
  owner: optional(
    text({ expects: 'the name of a user, or UID:GID', pattern: /^[^\s:]+(?::[0-9]+)?$/ }),
    'Who owns a restored data directory, which is who the server runs as. Without it, who owns the one that is there, else postgres.',
  ),
  binFolder: optional(
    path({ expects: 'the path of a folder' }),
    'The folder with postgres, psql and their kin. Without it, where the packages of the systems put them.',
  ),
  endRecovery: withDefault(
    choice(['promote', 'pause']),
    'promote',
    'Whether a restored server can be written to at once, or only read until it is promoted.',
  ),
  tablespaces: withDefault(
    byName(path({ expects: 'the path of a folder' }), {
      expects: 'folders by OID or path',
      name: text({ expects: 'an OID or an absolute path', pattern: /^(?:[0-9]+|\/.*)$/s }),
    }),
    {},
    'Folders for restored tablespaces, by their OID or by where they were. The others go into a folder beside the data directory.',
  ),
  readAllEvery: withDefault(
    wholeNumber(1, 10_000),
    30,
    'Of so many bases one reads all, where the others read what has changed: what the disk has lost of the rest is found then.',
  ),
  strategy: withDefault(
    choice(['physical', 'sql']),
    'physical',
    'physical: the data files and the log, to be restored to any moment. sql: plain SQL, as it was when it was dumped.',
  ),
};

export type PostgresOptions = ValuesOf<typeof postgresOptions>;
