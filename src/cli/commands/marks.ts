import type { MarksResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import { agreementText, stateText } from '../mark-text.ts';
import type { marksSpec } from '../table/backing-up.ts';
import { notYet } from './not-yet.ts';

export const marks: Command<typeof marksSpec, MarksResult> = {
  async run() {
    return notYet('marks');
  },
  print({ marks: list }, printer) {
    if (list.length === 0) {
      printer.line('There is no mark yet; `tidemark backup` takes one.');
      return;
    }
    printer.table(
      [
        { title: 'mark' },
        { title: 'name' },
        { title: 'time' },
        { title: 'agreement' },
        { title: 'state' },
        { title: 'tags' },
      ],
      list.map((mark) => [
        mark.id,
        mark.name ?? '',
        printer.time(mark.at),
        agreementText(mark),
        `${stateText(mark, printer)}${mark.pinned ? ', pinned' : ''}`,
        mark.tags.map(printable).join(' '),
      ]),
    );
  },
};
