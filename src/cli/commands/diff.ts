import { diffMarks } from '../../app/diff.ts';
import type { DifferenceResult, DiffResult } from '../../app/results.ts';
import { closing, openReading, owning } from '../application.ts';
import type { Command } from '../command.ts';
import { formatCount, formatSize } from '../format.ts';
import { markText } from '../mark-text.ts';
import type { Printer, Style } from '../printer.ts';
import { safeName } from '../shown-name.ts';
import type { diffSpec } from '../table/restoring.ts';

const SIGNS: Readonly<Record<DifferenceResult['change'], readonly [string, Style]>> = {
  added: ['+', 'green'],
  removed: ['-', 'red'],
  changed: ['M', 'yellow'],
  attributes: ['U', 'dim'],
};

const OTHER_TYPE: readonly [string, Style] = ['T', 'yellow'];

export const diff: Command<typeof diffSpec, DiffResult> = {
  async run(context, { from, to, stores }) {
    const opened = await openReading(context);
    const request = { from, to, stores };
    const result = await owning(opened, diffMarks(opened.application, opened.reader, request, context.run));
    return { result: { ...result, differences: closing(result.differences, opened) } };
  },
  async print({ from, to, differences }, printer) {
    printer.line(`from ${markText(from, printer)}`);
    printer.line(`to   ${markText(to, printer)}`);
    const counts = { added: 0, removed: 0, changed: 0, attributes: 0 };
    for await (const batch of differences) {
      for (const difference of batch) {
        counts[difference.change] += 1;
        printer.line(differenceLine(difference, printer));
      }
      await printer.drained();
    }
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
    printer.line(total === 0 ? 'No difference.' : countsText(counts));
  },
};

function countsText({
  added,
  removed,
  changed,
  attributes,
}: Readonly<Record<DifferenceResult['change'], number>>): string {
  const parts = [
    `${formatCount(added)} added`,
    `${formatCount(removed)} removed`,
    `${formatCount(changed)} changed`,
    `${formatCount(attributes)} with other attributes`,
  ];
  return parts.join(', ');
}

/** The root has no name: it is shown as the folder that it is. */
function differenceLine(difference: DifferenceResult, printer: Printer): string {
  const { change, store, type, typeBefore } = difference;
  const [sign, style] = typeBefore === undefined ? SIGNS[change] : OTHER_TYPE;
  const name = `${safeName(difference) || '.'}${type === 'folder' ? '/' : ''}`;
  return [`${printer.paint(style, sign)} ${store}`, name, ...sidesText(difference)].join('  ');
}

function sidesText({ change, type, typeBefore, sizeBefore, sizeAfter }: DifferenceResult): readonly string[] {
  if (typeBefore !== undefined) return [`${typeBefore} → ${type}`];
  const sizes = change === 'attributes' ? [] : [sizeBefore, sizeAfter].filter((size) => size !== undefined);
  return sizes.length === 0 ? [] : [sizes.map(formatSize).join(' → ')];
}
