import type { CommandSpec } from '../command.ts';

const group = 'Run';

export const upSpec = {
  name: 'up',
  group,
  says: 'record every store without end: bases on schedule, logs, marks',
  details: [
    'A store without a base gets one at once. Then what changes in it is in the repository a second later, and a mark over all stores is taken every few seconds: the application can be restored to any of them.',
    'Where a passphrase is at hand retention is applied each hour, and a sample of the repository is verified each day.',
    'What fails is tried again, and the other stores go on meanwhile. Where the changes of a store could not be followed, a gap is noted, a new base begins, and the exit status is 3.',
    'Ctrl-C ends it once everything received is in the repository; a second one ends it at once, and nothing that was in the repository is lost.',
  ],
  needs: 'manifest',
  arguments: {},
  options: {},
  result: 'stores [], lastMark, gaps',
  examples: [{ line: 'tidemark up', says: 'until it is stopped' }],
} as const satisfies CommandSpec;

export const markSpec = {
  name: 'mark',
  group,
  says: 'take a mark over all stores now',
  details: [
    'It is complete, and in the repository, when the command ends. A store that `up` does not record at the moment makes it partial.',
    'A sealed mark agrees exactly: while it is taken nothing can be written, because embedded stores are locked and the others are paused by the programs of their `seal:` in the manifest. Everything is released in every case.',
  ],
  needs: 'manifest',
  arguments: {
    name: { kind: 'optional', value: 'NAME', says: 'a name: a-z, 0-9 and -; named marks are kept for ever' },
  },
  options: {
    tag: { kind: 'list', value: 'TAG', says: 'a tag for the mark; may be repeated' },
    sealed: { kind: 'flag', says: 'hold all stores still meanwhile' },
  },
  result: 'mark {id, name, tags, class, at, skewMs, state, partial [], pinned}',
  examples: [
    { line: 'tidemark mark before-upgrade', says: 'with a name to restore to' },
    { line: 'tidemark mark --sealed', says: 'at which all stores agree exactly' },
  ],
} as const satisfies CommandSpec;
