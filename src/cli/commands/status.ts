import type { StatusResult } from '../../app/results.ts';
import { status as readStatus } from '../../app/status.ts';
import { openApplication } from '../application.ts';
import type { Command } from '../command.ts';
import { DONE, FINDINGS } from '../exit-status.ts';
import { alarmLines, statusText } from '../status-text.ts';
import type { statusSpec } from '../table/looking.ts';

export const status: Command<typeof statusSpec, StatusResult> = {
  async run(context, _args, { check }) {
    await using application = await openApplication(context);
    const result = await readStatus(application, context.run);
    return { result, quiet: check, status: check && result.alarms.length > 0 ? FINDINGS : DONE };
  },
  isReport: () => true,
  print(result, printer) {
    for (const line of statusText(result, printer)) printer.line(line);
  },
  printTrouble(result, printer) {
    for (const line of alarmLines(result, printer)) printer.line(line);
  },
};
