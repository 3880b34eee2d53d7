import type { Command } from '../command.ts';
import type { demoSpec } from '../table/setting-up.ts';
import { notYet } from './not-yet.ts';

export const demo: Command<typeof demoSpec, { readonly folder?: string | undefined }> = {
  async run() {
    return notYet('demo');
  },
  print({ folder }, printer) {
    if (folder !== undefined) printer.line(`Kept: ${folder}`);
  },
};
