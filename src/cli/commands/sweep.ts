import type { RetentionResult } from '../../app/results.ts';
import { TidemarkError } from '../../core/errors.ts';
import type { Command } from '../command.ts';
import { printRetention } from '../retention-text.ts';
import type { sweepSpec } from '../table/keeping.ts';
import { sweepRepository } from '../../app/maintain.ts';
import { openApplication } from '../application.ts';

export const sweep: Command<typeof sweepSpec, RetentionResult> = {
  async run(context, _args, { apply, wait }) {
    if (wait && !apply) {
      throw new TidemarkError('USAGE', 'without --apply nothing is condemned, so there is nothing to --wait for', {
        hint: 'Write `tidemark sweep --apply --wait`.',
      });
    }
    await using application = await openApplication(context);
    return { result: await sweepRepository(application, { apply, wait }, context.run) };
  },
  isReport: ({ applied }) => applied,
  print: printRetention,
};
