import type { CaseReport } from './case.ts';
import { DAMAGES } from './damages.ts';

const LETTERS: Readonly<Record<CaseReport['outcome'], string>> = {
  'found, lost': 'L',
  'found, nothing lost': 'F',
  noted: 'N',
  harmless: 'h',
  refused: 'R',
};

/** Kind of object by kind of damage: how many cases ended how. */
export function tableOf(reports: readonly CaseReport[]): string {
  const kinds = [...new Set(reports.map(({ kind }) => kind))].toSorted();
  const cell = (kind: string, damage: string): string => {
    const found = reports.filter((report) => report.kind === kind && report.damage === damage);
    const counts = Object.entries(LETTERS).map(
      ([outcome, letter]) => [letter, found.filter((report) => report.outcome === outcome).length] as const,
    );
    return counts.flatMap(([letter, count]) => (count > 0 ? `${letter}${count}` : [])).join(' ');
  };
  const rows = [['', ...DAMAGES], ...kinds.map((kind) => [kind, ...DAMAGES.map((damage) => cell(kind, damage))])];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const byStructure = reports.filter((report) => report.byStructure).length;
  const found = reports.filter(({ outcome }) => outcome.startsWith('found')).length;
  return [
    'L found and something lost, F found and nothing lost, N noted, h harmless and not mentioned, R the repository did not open',
    ...lines,
    `${reports.length} cases, ${found} found by reading every byte, ${byStructure} of them by structure alone`,
  ].join('\n');
}
