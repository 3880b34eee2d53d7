import type { RetentionResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { printRetention } from '../retention-text.ts';
import type { sweepSpec } from '../table/keeping.ts';
import { sweepRepository } from '../../app/maintain.ts';
import { openApplication } from '../application.ts';

export const sweep: Command<typeof sweepSpec, RetentionResult> = {
  async run(context, _args, { apply, wait }) {
    await using application = await openApplication(context);
    return { result: await sweepRepository(application, { apply, wait }, context.run) };
  },
  print: printRetention,
};
