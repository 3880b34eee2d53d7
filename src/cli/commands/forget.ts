import type { RetentionResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { printRetention } from '../retention-text.ts';
import type { forgetSpec } from '../table/keeping.ts';
import { forgetMarks } from '../../app/maintain.ts';
import { openApplication } from '../application.ts';

export const forget: Command<typeof forgetSpec, RetentionResult> = {
  async run(context, _args, { apply }) {
    await using application = await openApplication(context);
    return { result: await forgetMarks(application, { apply }, context.run) };
  },
  isReport: ({ applied }) => applied,
  print: printRetention,
};
