import type { RunsResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import { formatDuration } from '../format.ts';
import type { runsSpec } from '../table/keeping.ts';
import { notYet } from './not-yet.ts';

export const runs: Command<typeof runsSpec, RunsResult> = {
  async run() {
    return notYet('runs');
  },
  print({ runs: list }, printer) {
    printer.table(
      [
        { title: 'run' },
        { title: 'command' },
        { title: 'started' },
        { title: 'took', align: 'right' },
        { title: 'outcome' },
      ],
      list.map(({ id, command, startedAt, durationMs, outcome }) => [
        id,
        printable(command),
        printer.time(startedAt),
        formatDuration(durationMs),
        printable(outcome),
      ]),
    );
  },
};
