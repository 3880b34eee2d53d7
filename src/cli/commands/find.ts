import type { FindResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import type { findSpec } from '../table/restoring.ts';
import { listedLine } from './ls.ts';
import { notYet } from './not-yet.ts';

export const find: Command<typeof findSpec, FindResult> = {
  async run() {
    return notYet('find');
  },
  async print({ found }, printer) {
    let any = false;
    for await (const batch of found) {
      for (const entry of batch) {
        any = true;
        printer.line(`${printer.paint('bold', entry.store)}  ${listedLine(entry, printer)}`);
        printer.line(`    in ${entry.marks.join(' ')}`);
      }
      await printer.drained();
    }
    if (!any) printer.line('No mark holds such a name.');
  },
};
