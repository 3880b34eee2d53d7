import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine } from '../harness/machine.ts';
import { markdownTable, sizeText } from './text.ts';
import type { Table } from './text.ts';

/** What one program of the bench found: kept as `results/NAME.json` and shown in `results/README.md`. */
export interface Report {
  /** The file's name, and the place in the page. */
  readonly name: string;
  readonly title: string;
  /** What was asked and how, one sentence each. */
  readonly notes: readonly string[];
  readonly machine: Machine;
  readonly tables: readonly Table[];
  /** A file beside it to show. */
  readonly picture?: string | undefined;
  /** The samples themselves. */
  readonly samples: unknown;
}

const RESULTS = join(import.meta.dirname, '../results');
/** Reports in the order of the page; others follow by name. */
const ORDER = ['latest', 'real-files', 'index', 'start-up', 'growth', 'embedded', 'profile'];

/** The place of a file of results, in a folder that is there. */
export function resultsPath(name: string): string {
  mkdirSync(RESULTS, { recursive: true });
  return join(RESULTS, name);
}

/** Keeps the report and writes the page anew from all reports that are there. Nothing in it names this machine's folders. */
export function saveReport(report: Report): void {
  writeFileSync(resultsPath(`${report.name}.json`), `${JSON.stringify(report, undefined, 1)}\n`);
  writeFileSync(resultsPath('README.md'), pageOf(readReports()));
}

function readReports(): Report[] {
  const names = readdirSync(RESULTS).filter((name) => name.endsWith('.json'));
  return (
    names
      // Only `saveReport` writes these files.
      .map((name) => JSON.parse(readFileSync(resultsPath(name), 'utf8')) as Report)
      .sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1))
  );
}

function rank(name: string): number {
  const at = ORDER.indexOf(name);
  return at < 0 ? ORDER.length : at;
}

export function pageOf(reports: readonly Report[]): string {
  const head = ['# Results of the bench', '', 'Written by the programs of `bench/`; each run replaces its part.'];
  return `${[head.join('\n'), ...reports.map(sectionOf)].join('\n\n')}\n`;
}

function sectionOf(report: Report): string {
  const parts = [`## ${report.title}`, machineLine(report.machine), report.notes.map((note) => `- ${note}`).join('\n')];
  for (const table of report.tables) parts.push(`### ${table.title}\n\n${markdownTable(table)}`);
  if (report.picture !== undefined) parts.push(`![${report.title}](${report.picture})`);
  return parts.filter((part) => part !== '').join('\n\n');
}

export function machineLine(machine: Machine): string {
  return [
    `${machine.cpu}, ${machine.cores} cores`,
    `${sizeText(machine.memoryBytes)} memory`,
    machine.system,
    `Node ${machine.node}`,
    `disk fsync p99 ${machine.diskFsyncP99Ms.toFixed(1)} ms`,
    `commit ${machine.commit}`,
    machine.at.slice(0, 16).replace('T', ' '),
  ].join(' · ');
}
