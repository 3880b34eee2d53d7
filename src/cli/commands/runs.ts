import type { RunsResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import { formatDuration } from '../format.ts';
import type { runsSpec } from '../table/keeping.ts';
import { listPastRuns } from '../../app/maintain.ts';
import { openApplication } from '../application.ts';

export const runs: Command<typeof runsSpec, RunsResult> = {
  async run(context, _args, { last }) {
    await using application = await openApplication(context);
    const { runs: past } = await listPastRuns(application, context.run);
    return { result: { runs: last === undefined ? past : past.slice(0, last) } };
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
