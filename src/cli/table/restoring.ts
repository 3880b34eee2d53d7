import type { CommandSpec } from '../command.ts';

const group = 'Restore and look';

const MARK = 'latest, a mark’s id or name, or a time such as 2026-11-20T14:05:00Z, "2026-11-20 14:05" or "5m ago"';
const TARGET = `${MARK}; of one store also a position of its own, such as a revision`;

const restoreOptions = {
  to: { kind: 'text', value: 'TARGET', says: TARGET },
  perStore: {
    kind: 'flag',
    says: 'to a time: each store as near to it as its own log allows, instead of all to one mark',
  },
  into: {
    kind: 'list',
    value: 'DIR|STORE=URL',
    says: 'restore into DIR/STORE, or one store to a place of its own; may be repeated',
  },
  only: {
    kind: 'list',
    value: 'PATTERN',
    says: 'only what matches, in gitignore’s syntax; \\xHH for a byte; the rest stays as it is; may be repeated',
  },
  replace: {
    kind: 'list',
    value: 'STORE',
    says: 'this store may be replaced though it can’t be exchanged; may be repeated',
  },
  standby: {
    kind: 'flag',
    says: 'leave a server that goes on following the repository, where the store’s engine can',
  },
} as const;

const PER_STORE =
  'A time means the newest complete mark at or before it, to which all stores were in step. With --per-store each store goes to its own newest commit at or before the time: nearer, but no longer in step; without a mark in the result, `nearest` says how near.';

const LATEST =
  'latest and times go by the complete marks that have all stores of the manifest. A store of the manifest that no such mark has yet is named in a warning. Of stores that are named they go by all marks that have these, also by those that are partial for others, which is told.';

const stores = { kind: 'any', value: 'STORE', says: 'only these stores' } as const;

export const planSpec = {
  name: 'plan',
  group,
  says: 'say what a restore would do, take and lose; write nothing',
  details: [
    PER_STORE,
    LATEST,
    'When something is in the way of the restore, or of what it needs something is missing in the repository, it says so and ends with status 9.',
  ],
  needs: 'manifest',
  arguments: { stores },
  options: restoreOptions,
  result:
    'mark, at, distanceMs, estimateMs, stores [{store, order, base, baseAt, segments, logBytes, nearest {at, distanceMs, covered}, position, exact, into, inOneStep, replaces, downloadBytes, needBytes, freeBytes, engineVersion, lostAfterMs, newerMs}], sideEffects [], blockers []',
  examples: [
    { line: 'tidemark plan --to latest', says: 'the newest complete mark' },
    {
      line: 'tidemark plan --to "2026-11-20 14:05" --per-store orders',
      says: 'one store, to its last commit before a minute',
    },
    { line: 'tidemark plan --to "1h ago" --into /srv/check', says: 'an hour ago, into another folder' },
  ],
} as const satisfies CommandSpec;

export const restoreSpec = {
  name: 'restore',
  group,
  says: 'bring stores back to a mark: beside, verified, then exchanged',
  details: [
    PER_STORE,
    LATEST,
    'It plans and asks first; in a pipe it needs --yes. Every store is restored beside what is there and verified, then all are exchanged, and what was there is kept aside.',
    'A restore that was cut off is finished by --resume, where it may what it might when it began; with --replace STORE also replace what a server holds by now. --undo puts back what the last restore kept aside.',
    '--discard deletes for ever what all restores of this host kept aside, or those of the stores that are named; it asks first, and in a pipe it needs --yes. Where a restore is unfinished, it drops only what that one has written, and needs no --yes.',
    'An exchange that was cut off and can’t be finished, because a server does not come back or what was to come in is gone, is given up with --discard STORE: no data is deleted, and it says what is where.',
  ],
  needs: 'manifest',
  arguments: { stores },
  options: {
    ...restoreOptions,
    yes: { kind: 'flag', short: 'y', says: 'do not ask' },
    skipDamaged: {
      kind: 'flag',
      says: 'leave out what is damaged in the repository, name it, and end with status 5',
    },
    resume: { kind: 'flag', says: 'finish a restore that was cut off' },
    undo: { kind: 'flag', says: 'put back what the last restore kept aside' },
    discard: {
      kind: 'flag',
      says: 'delete what all restores of this host kept aside, or what an unfinished one has written',
    },
  },
  result:
    'mark, at, stores [{store, into, position, exact, nearest {at, distanceMs, covered}, bytes, reusedBytes, entries, segments, verified, keptAside, notes [], noteCount, damaged [], damagedCount, skipped [], skippedCount}]; with --undo and --discard: stores [{store, into, givenUp, state, keptAside}]',
  examples: [
    { line: 'tidemark restore --to latest', says: 'everything, where it was' },
    { line: "tidemark restore --to before-upgrade uploads --only 'photos/'", says: 'one folder of one store' },
    { line: 'tidemark restore --to latest --into /srv/copy', says: 'into /srv/copy/STORE, the live data untouched' },
    {
      line: 'tidemark restore --repository /mnt/backups --to latest --into . --yes',
      says: 'on a new machine, with nothing else left',
    },
    { line: 'tidemark restore --undo', says: 'the last restore was a mistake' },
  ],
} as const satisfies CommandSpec;

export const logFileSpec = {
  name: 'log-file',
  group,
  says: 'give a server a file of its log; called by one that was restored with --standby',
  details: [
    'It ends with status 0 when the file is there, and with 1 when the repository does not have it yet or can’t be read: the server asks again.',
  ],
  needs: 'manifest',
  arguments: {
    store: { kind: 'one', value: 'STORE', says: 'the store' },
    lineage: { kind: 'one', value: 'LINEAGE', says: 'which of its histories' },
    name: { kind: 'one', value: 'NAME', says: 'what the server calls the file' },
    path: { kind: 'one', value: 'PATH', says: 'where it wants it' },
  },
  options: {},
  result: 'found',
  examples: [
    {
      line: 'tidemark log-file orders 7301-1-ab 000000010000000000000003 pg_wal/RECOVERYXLOG',
      says: 'what a restore_command does',
    },
  ],
} as const satisfies CommandSpec;

export const lsSpec = {
  name: 'ls',
  group,
  says: 'list what a store held',
  needs: 'manifest',
  arguments: {
    target: { kind: 'one', value: 'TARGET', says: TARGET },
    store: { kind: 'one', value: 'STORE', says: 'the store' },
    path: { kind: 'optional', value: 'PATH', says: 'a folder in it; \\xHH for a byte that is not UTF-8' },
  },
  options: { recursive: { kind: 'flag', short: 'r', says: 'also what its folders hold' } },
  result: 'entries [{name, nameBase64, type, size, mode, mtime, target}]',
  examples: [
    { line: 'tidemark ls latest uploads', says: 'the store’s own folder' },
    { line: 'tidemark ls latest uploads --recursive', says: 'everything in it' },
    { line: 'tidemark ls "2026-11-20 14:05" uploads photos/2026', says: 'a folder as it was then' },
  ],
} as const satisfies CommandSpec;

export const catSpec = {
  name: 'cat',
  group,
  says: 'print one file as a store held it',
  needs: 'manifest',
  arguments: {
    target: { kind: 'one', value: 'TARGET', says: TARGET },
    store: { kind: 'one', value: 'STORE', says: 'the store' },
    path: { kind: 'one', value: 'PATH', says: 'the file; \\xHH for a byte that is not UTF-8' },
  },
  options: {},
  result: 'none: the bytes of the file are the output',
  examples: [{ line: 'tidemark cat latest uploads notes.txt > notes.txt', says: 'one file, without a restore' }],
} as const satisfies CommandSpec;

export const diffSpec = {
  name: 'diff',
  group,
  says: 'list what changed between two marks',
  details: [
    '+ is added, - is removed, M has another content, T is of another type, U the same content and other attributes (mode, owner, time, …).',
  ],
  needs: 'manifest',
  arguments: {
    from: { kind: 'one', value: 'FROM', says: MARK },
    to: { kind: 'one', value: 'TO', says: 'the later one, in the same forms' },
    stores,
  },
  options: {},
  result:
    'from mark, to mark, differences [{store, name, nameBase64, type, typeBefore, change, sizeBefore, sizeAfter}]',
  examples: [{ line: 'tidemark diff before-upgrade latest uploads', says: 'what changed in one store since' }],
} as const satisfies CommandSpec;

export const findSpec = {
  name: 'find',
  group,
  says: 'find names over all marks',
  details: [
    'An entry that is the same in several marks is listed once, with all of them. A folder that matches stands for what it holds.',
  ],
  needs: 'manifest',
  arguments: {
    patterns: { kind: 'some', value: 'PATTERN', says: 'what to look for, in gitignore’s syntax; \\xHH for a byte' },
  },
  options: {
    store: { kind: 'list', value: 'STORE', says: 'only in this store; may be repeated' },
    mark: { kind: 'list', value: 'MARK', says: 'only in this mark; may be repeated' },
  },
  result: 'found [{store, name, nameBase64, type, size, mode, mtime, target, marks []}]',
  examples: [
    { line: "tidemark find '*.pdf'", says: 'every mark that holds one, and where' },
    { line: 'tidemark find /photos/cat.jpg --store uploads', says: 'which marks still have a lost file' },
  ],
} as const satisfies CommandSpec;
