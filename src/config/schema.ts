import * as z from 'zod';
import {
  command,
  cron,
  duration,
  flag,
  name,
  retention,
  secretCommand,
  secretEnv,
  secretFile,
  size,
  STORE_NAME_PATTERN,
  storeClass,
  timeZone,
} from '../core/option-types.ts';

/** The default schedule of bases: every night at three. */
const NIGHTLY = '0 3 * * *';

export const storeName = z
  .string()
  .regex(STORE_NAME_PATTERN)
  .meta({ expects: 'a name made of a-z, 0-9, - and _, at most 63' });

const transferLimits = z.strictObject({
  upload: size({ atLeast: '1KiB' }).optional().describe('At most so much a second to the repository.'),
  download: size({ atLeast: '1KiB' }).optional().describe('At most so much a second from the repository.'),
});

/** The long form of `repository`; the short one is its URL. */
export const repositoryOptions = z.strictObject({
  url: z
    .string()
    .min(1)
    .max(4096)
    .meta({ expects: 'the path of a folder' })
    .describe('Where the repository is: the path of a folder.'),
  passphraseFile: secretFile().optional().describe('The file that holds the passphrase.'),
  passphraseEnv: secretEnv().optional().describe('The environment variable that holds the passphrase.'),
  passphraseCommand: secretCommand()
    .optional()
    .describe('A program and its arguments; the first line it prints is the passphrase.'),
  limits: transferLimits.prefault({}).describe('How fast the repository may be written and read.'),
});

const dataSet = z.strictObject({
  prefix: z
    .string()
    .max(4096)
    .meta({ expects: 'text' })
    .optional()
    .describe('What the names or keys of this part begin with.'),
  class: storeClass().describe('How this part comes to be, as for a store.'),
  from: storeName.optional().describe('Of a derived part: the store that it is made from.'),
  rebuild: command().optional().describe('Of a derived part: the program, with its arguments, that makes it again.'),
  restore: z
    .enum(['drop', 'keep', 'aside'])
    .optional()
    .describe('Of an ephemeral part: what a restore does with what is there.'),
});

/** What every store in its long form may say, of whatever kind. */
export const commonStoreOptions = z.strictObject({
  url: z
    .string()
    .min(1)
    .max(4096)
    .meta({ expects: 'a kind and a place such as files:./data/uploads' })
    .describe('The kind of store and where it is, such as `files:./data/uploads`.'),
  class: storeClass()
    .default('source')
    .describe('`source`: the truth. `derived`: can be rebuilt from others. `ephemeral`: may be lost.'),
  references: z
    .array(storeName)
    .default([])
    .meta({ expects: 'a list of stores such as [uploads]' })
    .describe('The stores that this one points into. It is read before them, so that what it names is there.'),
  bases: cron().optional().describe('When bases of this store are taken; instead of the application’s schedule.'),
  allowEmpty: flag().default(false).describe('An empty or far smaller store than last time is no error.'),
  dataSets: z
    .record(storeName, dataSet)
    .default({})
    .meta({ expects: 'names with keys below' })
    .describe('Parts of the store with a class of their own.'),
});

/** The whole manifest with its short forms written out. `stores` are looked at one by one, each by the keys of its kind. */
export const manifestOptions = z.strictObject({
  application: name().describe('The application’s name. One repository belongs to one application.'),
  repository: repositoryOptions
    .meta({ expects: 'the path of a folder such as ./backups, or keys below' })
    .describe('Where backups are kept: the path of a folder, or its options.'),
  stores: z
    .record(storeName, z.unknown())
    .meta({ expects: 'at least one store such as uploads: files:./data/uploads' })
    .refine((stores) => Object.keys(stores).length > 0)
    .describe('The application’s datastores by name: a kind and a place, or options.'),
  bases: cron().default(NIGHTLY).describe('When bases are taken, as a cron schedule in `timezone`.'),
  timezone: timeZone().default('UTC').describe('The zone of schedules and of times that are read and shown.'),
  marks: z
    .strictObject({ every: duration({ atLeast: '1s' }).prefault('5s').describe('How often.') })
    .prefault({})
    .describe('How often a mark is taken while `tidemark up` runs.'),
  flush: z
    .strictObject({
      after: duration({ atLeast: '1s' }).prefault('1s').describe('At the latest after so long.'),
      size: size({ atLeast: '64KiB' }).prefault('8MiB').describe('At the latest when so much has gathered.'),
    })
    .prefault({})
    .describe('When what changed is written to the repository while `tidemark up` runs.'),
  retention: retention().prefault({}).describe('Which marks are kept; everything that a kept mark needs is kept.'),
});

/** Keys that later versions will know; said to be missing instead of unknown. */
export const laterKeys: readonly string[] = ['via', 'seal'];
