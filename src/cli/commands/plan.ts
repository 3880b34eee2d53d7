import { previewRestore } from '../../app/restore.ts';
import type { PlanResult } from '../../app/results.ts';
import { withReader } from '../application.ts';
import type { Command } from '../command.ts';
import { printPlan } from '../plan-text.ts';
import { restoreRequest } from '../restore-request.ts';
import type { planSpec } from '../table/restoring.ts';

export const plan: Command<typeof planSpec, PlanResult> = {
  async run(context, { stores }, options) {
    const request = restoreRequest(stores, options);
    const result = await withReader(context, (application, reader) =>
      previewRestore(application, reader, request, context.run),
    );
    return { result };
  },
  print: printPlan,
};
