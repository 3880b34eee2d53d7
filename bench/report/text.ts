import { must } from '../../src/core/must.ts';

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const MIB = 1_024 * 1_024;

export function sizeText(bytes: number): string {
  if (bytes >= 10_240 * MIB) return `${(bytes / MIB / 1_024).toFixed(1)} GiB`;
  if (bytes >= 100 * MIB) return `${(bytes / MIB).toFixed(0)} MiB`;
  return bytes >= MIB / 10 ? `${(bytes / MIB).toFixed(1)} MiB` : `${(bytes / 1_024).toFixed(1)} KiB`;
}

export function timeText(ms: number): string {
  if (ms >= 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms >= 1_000 ? `${(ms / 1_000).toFixed(2)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
}

/** For people at a terminal: columns padded to one width. */
export function plainTable(table: Table): string {
  const lines = [table.columns, ...table.rows];
  const widths = table.columns.map((_, i) => Math.max(...lines.map((line) => must(line[i], 'a cell').length)));
  const padded = lines.map((line) =>
    line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
  );
  return [table.title, ...padded].join('\n');
}

export function markdownTable(table: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = table.columns.map((_, i) => (i === 0 ? '---' : '---:'));
  return [line(table.columns), line(rule), ...table.rows.map(line)].join('\n');
}
