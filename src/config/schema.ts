import { byName, choice, flag, keys, list, optional, required, text, withDefault } from '../core/option-schema.ts';
import type { Options, OptionType, ValueOf, ValuesOf } from '../core/option-schema.ts';
import {
  command,
  cron,
  duration,
  name,
  retention,
  secretCommand,
  secretEnv,
  secretFile,
  size,
  storeClass,
  storeName,
  timeZone,
} from '../core/option-types.ts';

/** The default schedule of bases: every night at three. */
const NIGHTLY = '0 3 * * *';

/** The long form of `repository`; the short one is its URL. */
export const repositoryOptions = keys(
  {
    url: required(
      text({ expects: 'the path of a folder', pattern: /./s }),
      'Where the repository is: the path of a folder.',
    ),
    passphraseFile: optional(secretFile(), 'The file that holds the passphrase.'),
    passphraseEnv: optional(secretEnv(), 'The environment variable that holds the passphrase.'),
    passphraseCommand: optional(
      secretCommand(),
      'A program and its arguments; the first line it prints is the passphrase.',
    ),
    limits: withDefault(
      keys({
        upload: optional(size({ atLeast: '1KiB' }), 'At most so much a second to the repository.'),
        download: optional(size({ atLeast: '1KiB' }), 'At most so much a second from the repository.'),
      }),
      {},
      'How fast the repository may be written and read.',
    ),
  },
  { expects: 'the path of a folder such as ./backups, or keys below' },
);

const dataSet = keys({
  prefix: optional(text({ expects: 'text' }), 'What the names or keys of this part begin with.'),
  class: required(storeClass(), 'How this part comes to be, as for a store.'),
  from: optional(storeName(), 'Of a derived part: the store that it is made from.'),
  rebuild: optional(command(), 'Of a derived part: the program, with its arguments, that makes it again.'),
  restore: optional(choice(['drop', 'keep', 'aside']), 'Of an ephemeral part: what a restore does with what is there.'),
});

/** What every store may say in its long form, of whatever kind. */
export const commonStoreOptions = {
  url: required(
    text({ expects: 'a kind and a place such as files:./data/uploads' }),
    'The kind of store and where it is, such as `files:./data/uploads`.',
  ),
  class: withDefault(
    storeClass(),
    'source',
    '`source`: the truth. `derived`: can be rebuilt from others. `ephemeral`: may be lost.',
  ),
  references: withDefault(
    list(storeName(), { expects: 'a list of stores such as [uploads]' }),
    [],
    'The stores that this one points into. It is read before them, so that what it names is there.',
  ),
  bases: optional(cron(), 'When bases of this store are taken; instead of the application’s schedule.'),
  seal: optional(
    keys({
      pause: required(command(), 'The program, with its arguments, after which nothing writes to the store.'),
      resume: required(command(), 'The program that ends the pause. It is called in every case.'),
      within: withDefault(
        duration({ atLeast: '1s' }),
        '10s',
        'How long the pause may last, and each program may take.',
      ),
    }),
    'How the store is held still for a sealed mark.',
  ),
  via: optional(
    command(),
    'What programs that must run beside the data are called with, such as [ssh, db1] or [kubectl, exec, -i, pod/db, --].',
  ),
  allowEmpty: withDefault(flag(), false, 'An empty or far smaller store than last time is no error.'),
  dataSets: withDefault(
    byName(dataSet, { expects: 'names with keys below', name: storeName() }),
    {},
    'Parts of the store with a class of their own.',
  ),
};

export type CommonStore = ValuesOf<typeof commonStoreOptions>;

/** A store of a kind whose own keys are these; of an unknown kind, whose keys can't be judged, without them. */
export function storeOptions(own: Options | undefined) {
  return keys({ ...own, ...commonStoreOptions }, { open: own === undefined });
}

/** Stores are looked at one by one, each by the keys of its kind: here they only have to have names. */
const anyStore: OptionType<unknown> = { expects: 'a store', jsonSchema: {}, read: (value) => value ?? {} };

/** The whole manifest with its short forms written out. */
export const manifestOptions = keys({
  application: required(name(), 'The application’s name. One repository belongs to one application.'),
  repository: required(repositoryOptions, 'Where backups are kept: the path of a folder, or its options.'),
  stores: required(
    byName(anyStore, {
      expects: 'at least one store such as uploads: files:./data/uploads',
      name: storeName(),
      least: 1,
    }),
    'The application’s datastores by name: a kind and a place, or options.',
  ),
  bases: withDefault(cron(), NIGHTLY, 'When bases are taken, as a cron schedule in `timezone`.'),
  timezone: withDefault(timeZone(), 'UTC', 'The zone of schedules and of times that are read and shown.'),
  marks: withDefault(
    keys({ every: withDefault(duration({ atLeast: '1s' }), '5s', 'How often.') }),
    {},
    'How often a mark is taken while `tidemark up` runs.',
  ),
  flush: withDefault(
    keys({
      after: withDefault(duration({ atLeast: '1s' }), '1s', 'At the latest after so long.'),
      size: withDefault(size({ atLeast: '64KiB' }), '8MiB', 'At the latest when so much has gathered.'),
    }),
    {},
    'When what changed is written to the repository while `tidemark up` runs.',
  ),
  retention: withDefault(retention(), {}, 'Which marks are kept; everything that a kept mark needs is kept.'),
});

export type Manifest = ValueOf<typeof manifestOptions>;
export type Repository = ValueOf<typeof repositoryOptions>;
