import type { Command } from '../command.ts';
import type { catSpec } from '../table/restoring.ts';
import { notYet } from './not-yet.ts';

export const cat: Command<typeof catSpec, { readonly bytes: number }> = {
  async run() {
    return notYet('cat');
  },
  /** The bytes are written as they come; there is nothing to add. */
  print: () => undefined,
};
