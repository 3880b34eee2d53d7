import type { CommandSpec } from '../command.ts';

const group = 'Keep';

export const verifySpec = {
  name: 'verify',
  group,
  says: 'prove that what was backed up can be restored',
  details: [
    'Without options it checks the structure: every object is there, of the right size, signed and linked, and what is stored of each entry can be decoded. With --data every byte is read, decrypted and compared. It needs a reader’s key and never answers from this host’s own caches.',
    'What it finds damaged stays an alarm of `status` and an error of `doctor`, and the next backup stores it anew.',
  ],
  needs: 'manifest',
  arguments: {},
  options: {
    data: { kind: 'flag', says: 'read every byte' },
    sample: { kind: 'percent', value: 'SHARE', says: 'read a random share of the bytes, such as 10%' },
  },
  result: 'checked {bases, segments, chunks, bytes}, damage [{object, kind, message, affects []}]',
  examples: [
    { line: 'tidemark verify', says: 'the structure, in seconds' },
    { line: 'tidemark verify --data', says: 'every byte' },
    { line: 'tidemark verify --sample 10%', says: 'another tenth each time' },
  ],
} as const satisfies CommandSpec;

export const forgetSpec = {
  name: 'forget',
  group,
  says: 'say which marks retention would take; take them with --apply',
  details: ['Nothing is freed by this: `tidemark sweep` does that.'],
  needs: 'manifest',
  arguments: {},
  options: { apply: { kind: 'flag', says: 'do it' } },
  result: 'kept [], removed [], condemned [], freedBytes, freeAfter, applied',
  examples: [
    { line: 'tidemark forget', says: 'see what would go' },
    { line: 'tidemark forget --apply', says: 'let it go' },
  ],
} as const satisfies CommandSpec;

export const sweepSpec = {
  name: 'sweep',
  group,
  says: 'free space that nothing needs any more, in two passes a lease apart',
  details: [
    'Without --apply it says what it would do. The first pass condemns, a later one frees what is still not needed: run it daily, or let --wait do both.',
  ],
  needs: 'manifest',
  arguments: {},
  options: {
    apply: { kind: 'flag', says: 'do it' },
    wait: { kind: 'flag', says: 'wait out the lease and do the second pass too' },
  },
  result: 'kept [], removed [], condemned [], freedBytes, freeAfter, applied',
  examples: [
    { line: 'tidemark sweep', says: 'see what could be freed' },
    { line: 'tidemark sweep --apply', says: 'condemn, and free what was condemned before' },
  ],
} as const satisfies CommandSpec;

export const statsSpec = {
  name: 'stats',
  group,
  says: 'tell how much the repository and its stores hold',
  needs: 'manifest',
  arguments: {},
  options: {},
  result: 'marks, bases, packs, chunks, bytes, storedBytes, stores [{store, bases, entries, bytes, storedBytes}]',
  examples: [{ line: 'tidemark stats', says: 'sizes, counts, and what deduplication saves' }],
} as const satisfies CommandSpec;

export const runsSpec = {
  name: 'runs',
  group,
  says: 'list past backups, restores and verifications',
  details: [
    'Newest first. A run that never said how it ended is running while it gives signs of life, and cut off afterwards.',
  ],
  needs: 'manifest',
  arguments: {},
  options: { last: { kind: 'count', value: 'COUNT', says: 'only the newest' } },
  result: 'runs [{id, command, startedAt, durationMs, outcome, code, host}]',
  examples: [{ line: 'tidemark runs --last 10', says: 'when, how long, how they ended' }],
} as const satisfies CommandSpec;

export const keysListSpec = {
  name: 'keys list',
  group,
  says: 'list the passphrases and credentials that open the repository',
  needs: 'manifest',
  arguments: {},
  options: {},
  result: 'keys [{id, kind, role, name, createdAt}]',
  examples: [{ line: 'tidemark keys list', says: 'what each is called and may do' }],
} as const satisfies CommandSpec;

export const keysAddSpec = {
  name: 'keys add',
  group,
  says: 'add another passphrase',
  details: ['It is asked for twice on a terminal. Afterwards each passphrase opens the repository by itself.'],
  needs: 'manifest',
  arguments: { name: { kind: 'one', value: 'NAME', says: 'what to call it' } },
  options: { newPassphraseFile: { kind: 'text', value: 'FILE', says: 'read the new passphrase from this file' } },
  result: 'key',
  examples: [{ line: 'tidemark keys add anna', says: 'a passphrase for another person' }],
} as const satisfies CommandSpec;

export const keysRemoveSpec = {
  name: 'keys remove',
  group,
  says: 'remove a passphrase',
  details: [
    'It asks first; in a pipe it needs --yes. The last one can’t be removed. Who has read the repository with it may have kept its keys.',
  ],
  needs: 'manifest',
  arguments: {
    key: { kind: 'one', value: 'KEY', says: 'its id or name; of one that can’t be read the id, or how it begins' },
  },
  options: { yes: { kind: 'flag', short: 'y', says: 'do not ask' } },
  result: 'key',
  examples: [{ line: 'tidemark keys remove anna', says: 'it opens nothing from now on' }],
} as const satisfies CommandSpec;
