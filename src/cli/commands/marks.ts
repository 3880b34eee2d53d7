import type { MarksResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import { agreementText, stateText } from '../mark-text.ts';
import type { marksSpec } from '../table/backing-up.ts';
import { listMarks } from '../../app/maintain.ts';
import { withReader } from '../application.ts';

export const marks: Command<typeof marksSpec, MarksResult> = {
  async run(context, _args, { tag, last }) {
    const listed = await withReader(context, async (_application, reader) => listMarks(reader.catalogue));
    const tagged = listed.marks.filter((mark) => tag.every((wanted) => mark.tags.includes(wanted)));
    const shown = last === undefined ? tagged : tagged.slice(Math.max(0, tagged.length - last));
    return { result: { marks: shown, head: listed.head } };
  },
  print({ marks: list, head }, printer) {
    if (list.length === 0) {
      printer.line('There is no such mark yet; `tidemark backup` takes one.');
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
        printable(mark.id),
        printable(mark.name ?? ''),
        printer.moment(mark.at),
        agreementText(mark),
        `${stateText(mark, printer)}${mark.pinned ? ', pinned' : ''}`,
        mark.tags.map(printable).join(' '),
      ]),
    );
    printer.line(printer.paint('dim', `head ${head}`));
  },
};
