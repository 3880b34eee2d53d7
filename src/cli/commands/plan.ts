import { previewRestore } from '../../app/restore.ts';
import type { PlanResult } from '../../app/results.ts';
import { withReader } from '../application.ts';
import type { Command } from '../command.ts';
import { DONE, FINDINGS } from '../exit-status.ts';
import { printPlan } from '../plan-text.ts';
import { restoreRequest } from '../restore-request.ts';
import type { planSpec } from '../table/restoring.ts';

export const plan: Command<typeof planSpec, PlanResult> = {
  async run(context, { stores }, options) {
    const request = await restoreRequest(context, stores, options);
    const result = await withReader(context, (application, reader) =>
      previewRestore(application, reader, request, context.run),
    );
    return { result, status: result.blockers.length > 0 ? FINDINGS : DONE };
  },
  print: printPlan,
};
