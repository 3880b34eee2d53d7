import { findEntries } from '../../app/find.ts';
import type { FindResult } from '../../app/results.ts';
import { closing, openReading, owning } from '../application.ts';
import type { Command } from '../command.ts';
import { formatNumberOf } from '../format.ts';
import type { findSpec } from '../table/restoring.ts';
import { listedLine } from './ls.ts';

export const find: Command<typeof findSpec, FindResult> = {
  async run(context, { patterns }, { store, mark }) {
    const opened = await openReading(context);
    const request = { patterns, stores: store, marks: mark };
    const { found } = await owning(opened, findEntries(opened.application, opened.reader, request, context.run));
    return { result: { found: closing(found, opened) } };
  },
  async print({ found }, printer) {
    let any = false;
    for await (const batch of found) {
      for (const entry of batch) {
        any = true;
        printer.line(`${printer.paint('bold', entry.store)}  ${listedLine(entry, printer)}`);
        printer.line(`    in ${marksText(entry.marks)}`);
      }
      await printer.drained();
    }
    if (!any) printer.line('No mark holds such a name.');
  },
};

const MOST_MARKS = 3;

/** Ids ascend by time. */
function marksText(marks: readonly string[]): string {
  if (marks.length <= MOST_MARKS) return marks.join(', ');
  return `${formatNumberOf(marks.length, 'mark')}, from ${marks[0] ?? ''} to ${marks.at(-1) ?? ''}`;
}
