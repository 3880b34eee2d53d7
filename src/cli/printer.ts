import { styleText } from 'node:util';
import { createMomentFormat, createTimeFormat } from './format.ts';
import type { OutputStream } from './output-stream.ts';
import { padded, widthOf } from './text-width.ts';

export type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green' | 'cyan';

export type Column = { readonly title: string; readonly align?: 'left' | 'right' | undefined };

/** Text for people. What comes from outside must have gone through `printable` or `nameText` before. */
export interface Printer {
  /** How wide a line may be, for what is laid out to it. */
  readonly columns: number;
  /** Whether lines, dots and ellipses can be shown; else what is drawn is drawn in ASCII. */
  readonly unicode: boolean;
  line(text?: string): void;
  /** Rows under a heading, as wide as their longest cells. */
  table(columns: readonly Column[], rows: readonly (readonly string[])[]): void;
  /** In colour where colours are wanted. */
  paint(style: Style, text: string): string;
  /** A time as `2026-11-20 14:05:00` in the manifest's zone. */
  time(at: string): string;
  /** The same to the millisecond, for what may be given back as a target. */
  moment(at: string): string;
  /** To be awaited between the batches of a long list. */
  drained(): Promise<void>;
}

export function createPrinter(options: {
  readonly stream: OutputStream;
  readonly colours: boolean;
  readonly unicode: boolean;
  readonly zone: string;
}): Printer {
  const { stream, colours } = options;
  let format: ((time: string) => string) | undefined;
  let momentFormat: ((time: string) => string) | undefined;
  const paint = (style: Style, text: string): string =>
    colours ? styleText(style, text, { validateStream: false }) : text;
  const line = (text = ''): void => stream.write(`${text}\n`);
  return {
    columns: stream.columns,
    unicode: options.unicode,
    line,
    paint,
    table(columns, rows) {
      for (const row of tableLines(columns, rows, paint)) line(row);
    },
    time(at) {
      format ??= createTimeFormat(options.zone);
      return format(at);
    },
    moment(at) {
      momentFormat ??= createMomentFormat(options.zone);
      return momentFormat(at);
    },
    drained: () => stream.drained(),
  };
}

/** The lines of a table, the heading first. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  paint: Printer['paint'],
): readonly string[] {
  const titles = columns.map((column) => column.title);
  const widths = titles.map((title, index) =>
    rows.reduce((widest, row) => Math.max(widest, widthOf(row[index] ?? '')), widthOf(title)),
  );
  const lineOf = (cells: readonly string[]): string =>
    columns
      .map((column, index) => padded(cells[index] ?? '', widths[index] ?? 0, column.align))
      .join('  ')
      .trimEnd();
  return [paint('bold', lineOf(titles)), ...rows.map(lineOf)];
}
