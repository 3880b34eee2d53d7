import type { AppContext } from '../../app/application.ts';
import { recallRepository } from '../../app/known-repository.ts';
import type { LiveStatus, StatusResult } from '../../app/results.ts';
import { awayStatus, status as readStatus } from '../../app/status.ts';
import { isTidemarkError } from '../../core/errors.ts';
import type { TidemarkError } from '../../core/errors.ts';
import { appContext, openApplication } from '../application.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { DONE, FINDINGS } from '../exit-status.ts';
import { alarmLines, statusText } from '../status-text.ts';
import type { statusSpec } from '../table/looking.ts';

export const status: Command<typeof statusSpec, StatusResult> = {
  async run(context, _args, { check }) {
    const result = await statusOf(context);
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

/** Where the repository is away, what records into it can tell all the same. */
async function statusOf(context: CommandContext): Promise<StatusResult> {
  try {
    await using application = await openApplication(context);
    return await readStatus(application, await liveStatus(application.stateFolder, context), context.run);
  } catch (error) {
    if (!isTidemarkError(error, 'REPOSITORY_NOT_FOUND') && !isTidemarkError(error, 'REPOSITORY_UNREACHABLE')) {
      throw error;
    }
    const away = await whileAway(context, await appContext(context), error);
    if (away === undefined) throw error;
    return away;
  }
}

async function whileAway(
  context: CommandContext,
  application: AppContext,
  error: TidemarkError,
): Promise<StatusResult | undefined> {
  const known = await recallRepository(application);
  const live = known && (await liveStatus(known.stateFolder, context));
  return live && awayStatus(application, { id: known.id, live, error });
}

async function liveStatus(stateFolder: string, { run }: CommandContext): Promise<LiveStatus | undefined> {
  const { askAgent } = await import('../../agent/socket-client.ts');
  const answer = await askAgent(stateFolder, { command: 'status' }, { onNews: () => undefined }, run);
  return answer as unknown as LiveStatus | undefined; // what this version's `up` answers
}
