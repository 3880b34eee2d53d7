import type { CommandSpec } from '../command.ts';

const group = 'Back up';

export const backupSpec = {
  name: 'backup',
  group,
  says: 'take a base of every store, or of those named, and a mark over all',
  details: [
    'Stores are read in the order of their references. A store that is not named enters the mark with its newest base; one that has none makes the mark partial.',
    'A store that can’t be opened, or has collapsed, is left out and makes the mark partial; the others are backed up.',
    'A file that can’t be read is left out; one that never stands still is kept as it was read last. Both are reported and make the exit status 3. Sockets, fifos and devices are only reported.',
  ],
  needs: 'manifest',
  arguments: { stores: { kind: 'any', value: 'STORE', says: 'only these stores' } },
  options: {
    name: { kind: 'text', value: 'NAME', says: 'a name for the mark: a-z, 0-9 and -; named marks are kept for ever' },
    tag: { kind: 'list', value: 'TAG', says: 'a tag for the mark; may be repeated' },
    dryRun: { kind: 'flag', says: 'read everything, write nothing, and tell what would be stored' },
    allowEmpty: {
      kind: 'list',
      value: 'STORE',
      says: 'this store may be empty or far smaller than last time; may be repeated',
    },
    takeOver: {
      kind: 'list',
      value: 'STORE',
      says: 'go on with this store although another application backed it up so far: for one that was renamed; may be repeated',
    },
    oneFileSystem: { kind: 'flag', says: 'leave out other file systems that are mounted inside a store' },
  },
  result:
    'mark {id, name, tags, class, at, skewMs, state, partial [], pinned}, stores [{store, base, position, exact, entries, bytes, newBytes, storedBytes, skipped [], skippedCount, incompleteCount}], failed [{store, code, message, hint}], dryRun',
  examples: [
    { line: 'tidemark backup', says: 'all stores' },
    { line: 'tidemark backup --name before-upgrade', says: 'with a name to restore to' },
    { line: 'tidemark backup uploads --tag nightly --json', says: 'one store, with a tag, for a program' },
    { line: 'tidemark backup --dry-run', says: 'see what would be stored' },
  ],
} as const satisfies CommandSpec;

export const marksSpec = {
  name: 'marks',
  group,
  says: 'list the moments that can be restored',
  details: [
    'The head stands for all that the repository holds: --expect-head notices when something of it was taken back.',
  ],
  needs: 'manifest',
  arguments: {},
  options: {
    tag: { kind: 'list', value: 'TAG', says: 'only marks with this tag; may be repeated, then all must be there' },
    last: { kind: 'count', value: 'COUNT', says: 'only the newest' },
  },
  result: 'marks [mark], head',
  examples: [
    { line: 'tidemark marks', says: 'all of them, oldest first' },
    { line: 'tidemark marks --tag nightly --last 7', says: 'the newest seven with a tag' },
    { line: 'tidemark marks --repository /mnt/backups', says: 'what a repository holds, without a manifest' },
  ],
} as const satisfies CommandSpec;

export const pinSpec = {
  name: 'pin',
  group,
  says: 'keep a mark for ever',
  needs: 'manifest',
  arguments: { mark: { kind: 'one', value: 'MARK', says: 'the mark’s id or name, or latest' } },
  options: {},
  result: 'mark',
  examples: [{ line: 'tidemark pin latest', says: 'no retention takes it from now on' }],
} as const satisfies CommandSpec;

export const unpinSpec = {
  name: 'unpin',
  group,
  says: 'leave a mark to retention again',
  needs: 'manifest',
  arguments: { mark: { kind: 'one', value: 'MARK', says: 'the mark’s id or name, or latest' } },
  options: {},
  result: 'mark',
  examples: [{ line: 'tidemark unpin before-upgrade', says: 'it goes when retention says so' }],
} as const satisfies CommandSpec;
