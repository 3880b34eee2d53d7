import type { PlanResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { printPlan } from '../plan-text.ts';
import type { planSpec } from '../table/restoring.ts';
import { notYet } from './not-yet.ts';

export const plan: Command<typeof planSpec, PlanResult> = {
  async run() {
    return notYet('plan');
  },
  print: printPlan,
};
