import type { AppContext } from '../../app/application.ts';
import { recallRepository } from '../../app/known-repository.ts';
import type { LiveStatus, StatusResult } from '../../app/results.ts';
import { awayStatus, status as readStatus } from '../../app/status.ts';
import { isTidemarkError, TidemarkError } from '../../core/errors.ts';
import { appContext, openApplication } from '../application.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { DONE, FINDINGS } from '../exit-status.ts';
import { alarmLines, statusText } from '../status-text.ts';
import type { statusSpec } from '../table/looking.ts';

const ANSWER_MS = 10_000;

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
  const limit = AbortSignal.timeout(ANSWER_MS);
  const signal = AbortSignal.any([run.signal, limit]);
  try {
    const answer = await askAgent(stateFolder, { command: 'status' }, { onNews: () => undefined }, { signal });
    return answer as unknown as LiveStatus | undefined; // what this version's `up` answers
  } catch (error) {
    if (run.signal.aborted || !limit.aborted) throw error;
    throw new TidemarkError('FAILED', `\`tidemark up\` runs, but did not answer within ${ANSWER_MS / 1000} s`, {
      hint: 'See whether its process is stopped or its host has no time for it.',
    });
  }
}
