import type { CommandSpec } from '../command.ts';

const group = 'Run';

export const upSpec = {
  name: 'up',
  group,
  says: 'record every store without end: bases on schedule, logs, marks',
  details: [
    'A store without a base gets one at once. Then what changes in it is in the repository a second later, and a mark over all stores is taken every few seconds: the application can be restored to any of them.',
    'What fails is tried again, and the other stores go on meanwhile. Ctrl-C ends it once everything received is in the repository; a second one ends it at once, and nothing that was in the repository is lost.',
  ],
  needs: 'manifest',
  arguments: {},
  options: {},
  result: 'stores [], lastMark',
  examples: [{ line: 'tidemark up', says: 'until it is stopped' }],
} as const satisfies CommandSpec;
