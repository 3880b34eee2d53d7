import type { CommandSpec } from '../command.ts';

const group = 'Look after';

export const statusSpec = {
  name: 'status',
  group,
  says: 'tell how it runs now: what is recorded, how far behind, what can be restored, what is unhealthy',
  details: [
    'Nobody is asked for a passphrase. Without one this host’s own credential tells what it wrote itself.',
    'Each alarm says what to do. With --check nothing is printed but alarms, on standard error, and the exit status is 9 when there is one: for monitoring.',
  ],
  needs: 'manifest',
  arguments: {},
  options: { check: { kind: 'flag', says: 'be quiet; exit 9 when there is an alarm' } },
  result:
    'at, keyRole, up {processId, startedAt}, stores [{store, state, position, lagMs, lastBaseAt, nextBaseAt, window {from, to}, spooledBytes, trouble {code, message, hint}}], repository {id, url, formatVersion, reachable}, lastMark, alarms [{code, store, message, hint}]',
  examples: [
    { line: 'tidemark status', says: 'a look at all stores' },
    { line: 'tidemark status --check', says: 'for monitoring' },
  ],
} as const satisfies CommandSpec;

const TIME = 'a time such as 2026-11-20T14:05:00Z, "2026-11-20 14:05" or "5m ago"';

export const timelineSpec = {
  name: 'timeline',
  group,
  says: 'draw the history of every store, or of those named: bases, logs, gaps and marks',
  details: [
    'A column of the picture stands for a span of time. Of what happened in it a gap is shown before a base, and a base before the log.',
    'Of very many marks only some are listed, and all that have a name, are pinned or sealed; how many are left out is told.',
    'Where there is a gap in what is shown the exit status is 9.',
  ],
  needs: 'manifest',
  arguments: { stores: { kind: 'any', value: 'STORE', says: 'only these stores' } },
  options: {
    from: { kind: 'text', value: 'TIME', says: `begin at ${TIME}; without it where history begins` },
    to: { kind: 'text', value: 'TIME', says: 'end there; without it now' },
  },
  result:
    'from, to, timezone, stores [{store, exact, bases [{id, at, proven}], logs [{from, to, segments}], gaps [{from, to, reason}], windows [{from, to}]}], marks [mark], marksLeftOut, together {marks, first, last, longestPause {from, durationMs}, mostSkewMs}',
  examples: [
    { line: 'tidemark timeline', says: 'all that can be restored, and the holes in it' },
    { line: 'tidemark timeline orders --from "36h ago"', says: 'one store since yesterday' },
    { line: 'tidemark timeline --from 2026-11-20 --to 2026-11-21', says: 'one day' },
  ],
} as const satisfies CommandSpec;
