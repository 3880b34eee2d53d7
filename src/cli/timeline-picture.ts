import type { MarkResult, TimelineResult, TimelineStoreResult } from '../app/results.ts';
import { printable } from '../core/printable.ts';
import type { Printer, Style } from './printer.ts';
import { cut, widthOf } from './text-width.ts';
import { columnsOf, timeAxis } from './time-axis.ts';
import type { Scale } from './time-axis.ts';

/** What lines are laid out for. `name` writes what a row begins with, in one width for all. */
export type Page = Pick<Printer, 'columns' | 'unicode' | 'paint'> & { readonly name: (text: string) => string };

/** In the order of the legend. */
export const GLYPHS = {
  base: { unicode: '●', ascii: 'o', says: 'base', styles: ['bold', 'cyan'] },
  proven: { unicode: '◉', ascii: '@', says: 'proven base', styles: ['bold', 'green'] },
  log: { unicode: '━', ascii: '=', says: 'log: any moment', styles: ['cyan'] },
  loose: { unicode: '╌', ascii: '-', says: 'log without a base', styles: ['yellow'] },
  gap: { unicode: '╳', ascii: 'X', says: 'gap', styles: ['bold', 'red'] },
  nothing: { unicode: '·', ascii: '.', says: 'nothing', styles: ['dim'] },
  mark: { unicode: '╷', ascii: "'", says: 'mark', styles: [] },
  marks: { unicode: '│', ascii: '|', says: 'marks', styles: [] },
  named: { unicode: '◆', ascii: '*', says: 'named or pinned', styles: ['bold'] },
  incomplete: { unicode: '◇', ascii: '?', says: 'incomplete mark', styles: ['yellow'] },
  blank: { unicode: ' ', ascii: ' ', says: '', styles: [] },
} as const satisfies Readonly<
  Record<
    string,
    { readonly unicode: string; readonly ascii: string; readonly says: string; readonly styles: readonly Style[] }
  >
>;

export type Glyph = keyof typeof GLYPHS;

const LONGEST_LABEL = 24;
const MOST_LABEL_LINES = 3;

/** Lines of one width: an axis, a row a store and one of the marks with their names; `used` is what the legend has to explain. */
export type Picture = {
  readonly lines: readonly string[];
  readonly used: ReadonlySet<Glyph>;
  /** How much time a column is. */
  readonly columnMs: number;
};

/** Of what happened in the span of a column the worst is shown, so that no gap is hidden: a gap before a base, a base before the log. */
export function drawTimeline(result: TimelineResult, page: Page): Picture {
  const indent = page.name('');
  const scale: Scale = {
    fromMs: Date.parse(result.from),
    toMs: Date.parse(result.to),
    columns: Math.max(page.columns - indent.length, 1),
  };
  const axis = timeAxis(scale, { zone: result.timezone, unicode: page.unicode });
  const rows = result.stores.map((store) => ({ name: store.store, cells: storeCells(store, scale) }));
  if (result.marks.length > 0) rows.push({ name: 'marks', cells: markCells(result.marks, scale) });
  const lines = [
    ...[axis.upper, axis.lower, axis.ruler].map((line) => `${indent}${page.paint('dim', line)}`),
    ...rows.map(({ name, cells }) => `${page.name(name)}${drawn(cells, page)}`),
    ...labelLines(namedMarks(result.marks, scale, page), scale.columns, page).map((line) => `${indent}${line}`),
  ];
  return {
    lines: lines.map((line) => line.trimEnd()).filter((line) => line !== ''),
    used: new Set(rows.flatMap(({ cells }) => cells)),
    columnMs: Math.max(scale.toMs - scale.fromMs, 1) / scale.columns,
  };
}

/** One glyph in its colours. */
export function drawnGlyph(glyph: Glyph, page: Page): string {
  return drawn([glyph], page);
}

function drawn(cells: readonly Glyph[], { unicode, paint }: Page): string {
  let line = '';
  for (let start = 0; start < cells.length; ) {
    const glyph = cells[start] ?? 'blank';
    let end = start;
    while (cells[end] === glyph) end += 1;
    const { styles, ...shapes } = GLYPHS[glyph];
    const run = (unicode ? shapes.unicode : shapes.ascii).repeat(end - start);
    line += styles.reduce((text, style) => paint(style, text), run);
    start = end;
  }
  return line;
}

function storeCells({ bases, logs, gaps, windows }: TimelineStoreResult, scale: Scale): readonly Glyph[] {
  const cells = Array.from({ length: scale.columns }, (): Glyph => 'nothing');
  const fill = (glyph: Glyph, from: string, to: string | undefined): void => {
    const columns = columnsOf(scale, Date.parse(from), to === undefined ? Number.POSITIVE_INFINITY : Date.parse(to));
    if (columns !== undefined) cells.fill(glyph, columns.first, columns.last + 1);
  };
  for (const { from, to } of logs) fill('loose', from, to);
  for (const { from, to } of windows) if (from !== to) fill('log', from, to);
  for (const { at, proven } of bases) if (!proven) fill('base', at, at);
  for (const { at, proven } of bases) if (proven) fill('proven', at, at);
  for (const { from, to } of gaps) fill('gap', from, to);
  return cells;
}

/** Of the marks in a column the one is shown that is remembered by name, then how many there are, then that none is complete. */
function markCells(marks: readonly MarkResult[], scale: Scale): readonly Glyph[] {
  const cells = Array.from({ length: scale.columns }, (): Glyph => 'blank');
  for (const mark of marks) {
    const column = columnOf(mark, scale);
    if (column !== undefined) cells[column] = joined(cells[column] ?? 'blank', mark);
  }
  return cells;
}

function joined(before: Glyph, { state, name, pinned }: MarkResult): Glyph {
  if (state !== 'complete') return before === 'blank' ? 'incomplete' : before;
  if (before === 'named' || name !== undefined || pinned) return 'named';
  return before === 'mark' || before === 'marks' ? 'marks' : 'mark';
}

function columnOf({ at }: MarkResult, scale: Scale): number | undefined {
  const atMs = Date.parse(at);
  return columnsOf(scale, atMs, atMs)?.first;
}

type Label = { readonly column: number; readonly text: string };

function namedMarks(marks: readonly MarkResult[], scale: Scale, page: Page): readonly Label[] {
  const labels = new Map<number, { readonly name: string; readonly more: number }>();
  for (const mark of marks) {
    const column = columnOf(mark, scale);
    if (mark.name === undefined || column === undefined) continue;
    labels.set(column, { name: mark.name, more: (labels.get(column)?.more ?? -1) + 1 });
  }
  return Array.from(labels, ([column, { name, more }]) => ({
    column,
    text: `${cut(printable(name), LONGEST_LABEL, page.unicode ? '…' : '~')}${more === 0 ? '' : ` +${more}`}`,
  }));
}

/**
 * Names hang below their marks on as many lines as it takes: to the right, where the last one hangs highest, or to the left, where the first one
 * does, whichever has room for more. What does not fit is left out.
 */
function labelLines(labels: readonly Label[], columns: number, page: Page): readonly string[] {
  const rightwards = hang(labels.toReversed(), columns, labelShapes('right', page));
  const leftwards = hang(labels, columns, labelShapes('left', page));
  const isLeftBetter =
    leftwards.placed > rightwards.placed ||
    (leftwards.placed === rightwards.placed && leftwards.lines.length < rightwards.lines.length);
  return (isLeftBetter ? leftwards : rightwards).lines.map((line) =>
    line
      .map((cell) => cell ?? ' ')
      .join('')
      .trimEnd(),
  );
}

/** Columns of a line; undefined where nothing is yet. */
type Cells = (string | undefined)[];

type LabelShapes = {
  readonly stem: string;
  /** The better one first. */
  readonly of: (label: Label) => readonly { readonly start: number; readonly shown: string }[];
};

function labelShapes(side: 'left' | 'right', { unicode }: Page): LabelShapes {
  const [right, left, stem] = unicode ? ['└ ', ' ┘', '│'] : ['` ', " '", '|'];
  return {
    stem,
    of({ column, text }) {
      const shapes = [
        { start: column, shown: `${right}${text}` },
        { start: column - widthOf(text) - 1, shown: `${text}${left}` },
      ];
      return side === 'right' ? shapes : shapes.toReversed();
    },
  };
}

function hang(
  labels: readonly Label[],
  columns: number,
  { stem, of }: LabelShapes,
): { readonly lines: readonly Readonly<Cells>[]; readonly placed: number } {
  const lines: Cells[] = [];
  let placed = 0;
  for (const label of labels) {
    for (let depth = 0; depth < MOST_LABEL_LINES; depth += 1) {
      const above = lines.slice(0, depth);
      const line = lines[depth] ?? Array.from({ length: columns }, () => undefined);
      const isOpen = above.every((cells) => cells[label.column] === undefined);
      const shape = of(label).find(({ start, shown }) => isOpen && hasSpace(line, start, widthOf(shown)));
      if (shape === undefined) continue;
      for (const cells of above) cells[label.column] = stem;
      place(line, shape.start, shape.shown);
      lines[depth] = line;
      placed += 1;
      break;
    }
  }
  return { lines, placed };
}

/** One more column on either side has to be free, so that names do not touch. */
function hasSpace(line: Readonly<Cells>, start: number, width: number): boolean {
  if (start < 0 || start + width > line.length) return false;
  return line.slice(Math.max(start - 1, 0), start + width + 1).every((cell) => cell === undefined);
}

/** A wide character takes its own cell and the next one, which is empty. */
function place(line: Cells, start: number, text: string): void {
  let column = start;
  for (const character of text) {
    const width = widthOf(character);
    if (width === 0) {
      line[column - 1] = `${line[column - 1] ?? ''}${character}`;
      continue;
    }
    line[column] = character;
    if (width === 2) line[column + 1] = '';
    column += width;
  }
}
