import type { RetentionResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { printRetention } from '../retention-text.ts';
import type { sweepSpec } from '../table/keeping.ts';
import { notYet } from './not-yet.ts';

export const sweep: Command<typeof sweepSpec, RetentionResult> = {
  async run() {
    return notYet('sweep');
  },
  print: printRetention,
};
