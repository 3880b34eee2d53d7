import type { LiveStatus, StatusResult } from '../../app/results.ts';
import { status as readStatus } from '../../app/status.ts';
import { openApplication } from '../application.ts';
import type { Command } from '../command.ts';
import { DONE, FINDINGS } from '../exit-status.ts';
import { alarmLines, statusText } from '../status-text.ts';
import type { statusSpec } from '../table/looking.ts';

export const status: Command<typeof statusSpec, StatusResult> = {
  async run(context, _args, { check }) {
    await using application = await openApplication(context);
    const { askAgent } = await import('../../agent/socket-client.ts');
    const { stateFolder } = application;
    const asked = await askAgent(stateFolder, { command: 'status' }, { onNews: () => undefined }, context.run);
    const live = asked as unknown as LiveStatus | undefined; // what this version's `up` answers
    const result = await readStatus(application, live, context.run);
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
