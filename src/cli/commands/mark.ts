import type { MarkTakenResult } from '../../app/results.ts';
import { TidemarkError } from '../../core/errors.ts';
import { openApplication } from '../application.ts';
import type { Command } from '../command.ts';
import { INCOMPLETE } from '../exit-status.ts';
import { markText } from '../mark-text.ts';
import type { markSpec } from '../table/running.ts';

export const mark: Command<typeof markSpec, MarkTakenResult> = {
  async run(context, { name }, { tag, sealed }) {
    await using application = await openApplication(context);
    const { askAgent } = await import('../../agent/socket-client.ts');
    const { stateFolder } = application;
    const own = application.context.configuration?.application;
    const request = { command: 'mark', application: own, name, tags: tag, sealed } as const;
    const onNews = (message: string): void => context.warn(message);
    const answer = await askAgent(stateFolder, request, { onNews }, context.run);
    if (answer === undefined) {
      throw new TidemarkError('UNSUPPORTED', 'a mark between bases takes a running `tidemark up`', {
        hint: 'Start `tidemark up`, or take bases and a mark over them with `tidemark backup`.',
      });
    }
    const result = answer as unknown as MarkTakenResult; // what this version's `up` answers
    return { result, ...(result.mark.state === 'complete' ? {} : { status: INCOMPLETE }) };
  },
  isReport: () => true,
  print(result, printer) {
    printer.line(`mark ${markText(result.mark, printer)}`);
  },
};
