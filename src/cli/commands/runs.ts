import type { RunResult, RunsResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import { formatDuration } from '../format.ts';
import type { Printer, Style } from '../printer.ts';
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
    if (list.length === 0) {
      printer.line('There was no run yet.');
      return;
    }
    printer.table(
      [
        { title: 'started' },
        { title: 'command' },
        { title: 'took', align: 'right' },
        { title: 'outcome' },
        { title: 'host' },
      ],
      list.map((item) => [
        printer.time(item.startedAt),
        printable(item.command),
        formatDuration(item.durationMs),
        outcomeText(item, printer),
        printable(item.host ?? ''),
      ]),
    );
  },
};

const STYLES: Readonly<Record<string, Style>> = { done: 'green', running: 'cyan', incomplete: 'yellow' };

function outcomeText({ outcome, code }: RunResult, printer: Printer): string {
  const text = printer.paint(STYLES[outcome] ?? 'red', printable(outcome));
  return code === undefined ? text : `${text}: ${printable(code)}`;
}
