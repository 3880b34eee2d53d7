import type { DifferenceResult, DiffResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { formatSize } from '../format.ts';
import { markText } from '../mark-text.ts';
import type { Printer, Style } from '../printer.ts';
import { safeName } from '../shown-name.ts';
import type { diffSpec } from '../table/restoring.ts';
import { notYet } from './not-yet.ts';

const SIGNS: Readonly<Record<DifferenceResult['change'], readonly [string, Style]>> = {
  added: ['+', 'green'],
  removed: ['-', 'red'],
  changed: ['M', 'yellow'],
  attributes: ['U', 'dim'],
};

export const diff: Command<typeof diffSpec, DiffResult> = {
  async run() {
    return notYet('diff');
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
    printer.line(
      `${counts.added} added, ${counts.removed} removed, ${counts.changed} changed, ${counts.attributes} with other attributes`,
    );
  },
};

function differenceLine(difference: DifferenceResult, printer: Printer): string {
  const { change, store, sizeBefore, sizeAfter } = difference;
  const [sign, style] = SIGNS[change];
  const sizes = [sizeBefore, sizeAfter].filter((size) => size !== undefined).map(formatSize);
  return `${printer.paint(style, sign)} ${store}  ${safeName(difference)}${sizes.length === 0 ? '' : `  ${sizes.join(' → ')}`}`;
}
