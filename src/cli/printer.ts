import { stripVTControlCharacters, styleText } from 'node:util';
import { createTimeFormat } from './format.ts';
import type { OutputStream } from './output-stream.ts';

export type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green' | 'cyan';

export type Column = { readonly title: string; readonly align?: 'left' | 'right' | undefined };

/** Text for people. What comes from outside must have gone through `printable` or `nameText` before. */
export interface Printer {
  line(text?: string): void;
  /** Rows under a heading, as wide as their longest cells. */
  table(columns: readonly Column[], rows: readonly (readonly string[])[]): void;
  /** In colour where colours are wanted. */
  paint(style: Style, text: string): string;
  /** A time as `2026-11-20 14:05:00` in the manifest's zone. */
  time(at: string): string;
  /** To be awaited between the batches of a long list. */
  drained(): Promise<void>;
}

export function createPrinter(options: {
  readonly stream: OutputStream;
  readonly colours: boolean;
  readonly zone: string;
}): Printer {
  const { stream, colours } = options;
  let format: ((time: string) => string) | undefined;
  const paint = (style: Style, text: string): string =>
    colours ? styleText(style, text, { validateStream: false }) : text;
  const line = (text = ''): void => stream.write(`${text}\n`);
  return {
    line,
    paint,
    table(columns, rows) {
      const titles = columns.map((column) => column.title);
      const widths = titles.map((title, index) =>
        Math.max(title.length, ...rows.map((row) => widthOf(row[index] ?? ''))),
      );
      const print = (cells: readonly string[]): string =>
        columns
          .map((column, index) => padded(cells[index] ?? '', widths[index] ?? 0, column.align))
          .join('  ')
          .trimEnd();
      line(paint('bold', print(titles)));
      for (const row of rows) line(print(row));
    },
    time(at) {
      format ??= createTimeFormat(options.zone);
      return format(at);
    },
    drained: () => stream.drained(),
  };
}

function padded(cell: string, width: number, align: Column['align']): string {
  const space = ' '.repeat(Math.max(width - widthOf(cell), 0));
  return align === 'right' ? `${space}${cell}` : `${cell}${space}`;
}

function widthOf(cell: string): number {
  return Array.from(stripVTControlCharacters(cell)).length;
}
