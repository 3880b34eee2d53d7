import type { UpResult } from '../../app/results.ts';
import { openApplication } from '../application.ts';
import type { Command } from '../command.ts';
import { DONE, INCOMPLETE } from '../exit-status.ts';
import { loosenHeapWhileSmall } from '../heap-flags.ts';
import type { upSpec } from '../table/running.ts';

/** It runs all the time beside the application, and should leave it processors and memory; one keeps up with what a server sends. */
const WORKERS = 1;

export const up: Command<typeof upSpec, UpResult> = {
  async run(context) {
    loosenHeapWhileSmall();
    await using application = await openApplication(context, WORKERS);
    const { up: runUp } = await import('../../agent/up.ts');
    const onNews = (message: string): void => context.show((printer) => printer.line(message));
    const result = await runUp(application, { onNews }, context.run);
    return { result, status: result.gaps > 0 ? INCOMPLETE : DONE };
  },
  isReport: () => true,
  print({ lastMark }, printer) {
    printer.line(lastMark === undefined ? 'stopped' : `stopped; the newest mark is ${lastMark}`);
  },
};
