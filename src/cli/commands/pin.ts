import type { PinResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { markText } from '../mark-text.ts';
import type { pinSpec, unpinSpec } from '../table/backing-up.ts';
import { pinMark } from '../../app/maintain.ts';
import { openApplication } from '../application.ts';

export const pin: Command<typeof pinSpec, PinResult> = {
  async run(context, { mark }) {
    await using application = await openApplication(context);
    return { result: await pinMark(application, { target: mark, pinned: true }, context.run) };
  },
  isReport: () => true,
  print: ({ mark }, printer) => printer.line(`pinned ${markText(mark, printer)}`),
};

export const unpin: Command<typeof unpinSpec, PinResult> = {
  async run(context, { mark }) {
    await using application = await openApplication(context);
    return { result: await pinMark(application, { target: mark, pinned: false }, context.run) };
  },
  isReport: () => true,
  print: ({ mark }, printer) => printer.line(`left to retention: ${markText(mark, printer)}`),
};
