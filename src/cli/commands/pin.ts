import type { PinResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { markText } from '../mark-text.ts';
import type { pinSpec, unpinSpec } from '../table/backing-up.ts';
import { notYet } from './not-yet.ts';

export const pin: Command<typeof pinSpec, PinResult> = {
  async run() {
    return notYet('pin');
  },
  print: ({ mark }, printer) => printer.line(`pinned ${markText(mark, printer)}`),
};

export const unpin: Command<typeof unpinSpec, PinResult> = {
  async run() {
    return notYet('unpin');
  },
  print: ({ mark }, printer) => printer.line(`left to retention: ${markText(mark, printer)}`),
};
