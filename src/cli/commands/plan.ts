import type { PlanResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { printPlan } from '../plan-text.ts';
import type { planSpec } from '../table/restoring.ts';
import { planRestore } from '../../app/restore-plan.ts';
import { withReader } from '../application.ts';
import { restoreRequest } from '../restore-request.ts';

/** A plan is not a restore: nothing is ever written under this id. */
const PREVIEW_ID = '00000000';

export const plan: Command<typeof planSpec, PlanResult> = {
  async run(context, { stores }, options) {
    const request = restoreRequest(stores, options);
    const { result } = await withReader(context, (application, reader) =>
      planRestore(application, reader, { id: PREVIEW_ID, request }, context.run),
    );
    return { result };
  },
  print: printPlan,
};
