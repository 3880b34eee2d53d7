import { listAt } from '../../app/browse.ts';
import type { ListedResult, LsResult } from '../../app/results.ts';
import { parseNameText } from '../../core/byte-name.ts';
import { printable } from '../../core/printable.ts';
import { closing, openReading, owning } from '../application.ts';
import type { Command } from '../command.ts';
import { formatMode, formatSize } from '../format.ts';
import type { Printer } from '../printer.ts';
import { safeName } from '../shown-name.ts';
import type { lsSpec } from '../table/restoring.ts';

export const ls: Command<typeof lsSpec, LsResult> = {
  async run(context, { target, store, path }, { recursive }) {
    const opened = await openReading(context);
    const request = { target, store, path: parseNameText(path ?? ''), recursive };
    const entries = await owning(opened, listAt(opened.application, opened.reader, request, context.run));
    return { result: { entries: closing(entries, opened) } };
  },
  async print({ entries }, printer) {
    for await (const batch of entries) {
      for (const entry of batch) printer.line(listedLine(entry, printer));
      await printer.drained();
    }
  },
};

const TYPE_LETTERS: Readonly<Record<ListedResult['type'], string>> = { file: '-', folder: 'd', link: 'l', other: '?' };

/** Like `ls -l`: sizes are of fixed width, since a list may be too long to measure first. */
export function listedLine(entry: ListedResult, printer: Printer): string {
  const size = entry.type === 'file' ? formatSize(entry.size) : '';
  const plain = safeName(entry);
  const leads = entry.target === undefined ? '' : ` -> ${printable(entry.target)}`;
  const name = entry.type === 'folder' ? printer.paint('cyan', `${plain}/`) : `${plain}${leads}`;
  const letters = entry.mode === undefined ? '' : `${TYPE_LETTERS[entry.type]}${formatMode(entry.mode)}  `;
  const time = entry.mtime === undefined ? '' : `${printer.time(entry.mtime)}  `;
  return `${letters}${size.padStart(9)}  ${time}${name}`;
}
