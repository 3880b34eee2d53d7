import type { RetentionResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { printRetention } from '../retention-text.ts';
import type { forgetSpec } from '../table/keeping.ts';
import { notYet } from './not-yet.ts';

export const forget: Command<typeof forgetSpec, RetentionResult> = {
  async run() {
    return notYet('forget');
  },
  print: printRetention,
};
