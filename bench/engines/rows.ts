import { existsSync, readFileSync } from 'node:fs';
import { describeMachine } from '../harness/machine.ts';
import { spreadOf } from '../harness/statistics.ts';
import { resultsPath, saveReport } from '../report/report.ts';
import { plainTable } from '../report/text.ts';
import type { Table } from '../report/text.ts';

/** A line of a table: one value against a limit, or ours against a peer's. */
export type Row = readonly [
  what: string,
  tidemark: string,
  beside: string,
  ratio: string,
  must: string,
  isMet: 'yes' | 'NO' | '',
];

/** What one scenario found. `samples`: the figures themselves, by name. */
export type Part = {
  readonly title: string;
  readonly notes: readonly string[];
  readonly rows: readonly Row[];
  readonly samples: Readonly<Record<string, readonly number[]>>;
};

export type Options = { readonly rounds: number; readonly gigabytes: number; readonly signal: AbortSignal };
export type Scenario = (options: Options) => Promise<Part>;

type Shown = (value: number) => string;

const COLUMNS = ['what', 'tidemark', 'beside', 'ratio', 'must', 'met'];

export const GIGABYTE = 1e9;
export const seconds: Shown = (value) => `${(value / 1_000).toFixed(value < 10_000 ? 2 : 1)} s`;
export const milliseconds: Shown = (value) => `${Math.round(value)} ms`;
export const megabytes: Shown = (value) => `${(value / 1e6).toFixed(value < 10e6 ? 1 : 0)} MB`;
export const count: Shown = (value) => Math.round(value).toLocaleString('en');

/** Progress, with the time, since what is measured may take minutes. */
export function say(text: string): void {
  console.log(`${new Date().toISOString().slice(11, 19)} ${text}`);
}

function shownSpread(values: readonly number[], shown: Shown): string {
  const { median, min, max } = spreadOf(values);
  return values.length === 1 ? shown(median) : `${shown(median)} (${shown(min)} to ${shown(max)})`;
}

export type Compared = {
  readonly what: string;
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  readonly shown: Shown;
  /** Rates: more is better, and the ratio ours to theirs. Times: less is better, and the ratio theirs to ours. */
  readonly kind: 'rate' | 'time';
  /** The ratio's least; undefined: shown, not judged. */
  readonly must?: number;
};

/** A pair from each round. */
export function compared({ what, ours, theirs, shown, kind, must }: Compared): Row {
  const ratios = ours.map((value, round) => {
    const other = theirs[round] ?? value;
    return kind === 'rate' ? value / other : other / value;
  });
  const isMet = must === undefined ? '' : spreadOf(ratios).median >= must ? 'yes' : 'NO';
  const limit = must === undefined ? '' : `≥ ${must}`;
  const ratio = shownSpread(ratios, (value) => value.toFixed(2));
  return [what, shownSpread(ours, shown), shownSpread(theirs, shown), ratio, limit, isMet];
}

export type Bounded = {
  readonly what: string;
  readonly values: readonly number[];
  readonly most: number;
  readonly shown: Shown;
  /** `worst`: the largest is held against the limit; else the median. */
  readonly by: 'worst' | 'median';
};

export function bounded({ what, values, most, shown, by }: Bounded): Row {
  const { median, max } = spreadOf(values);
  const isMet = (by === 'worst' ? max : median) <= most ? 'yes' : 'NO';
  return [what, shownSpread(values, shown), '', '', `≤ ${shown(most)}`, isMet];
}

/** For comparison only. */
export function beside(what: string, values: readonly number[], shown: Shown): Row {
  return [what, '', shownSpread(values, shown), '', '', ''];
}

export function tableOf({ title, rows }: Part): Table {
  return { title, columns: COLUMNS, rows };
}

export type Program = {
  readonly name: string;
  readonly title: string;
  readonly scenarios: Readonly<Record<string, Scenario>>;
  readonly only: readonly string[];
  readonly isSaved: boolean;
};

/** Runs the scenarios that were asked for. What is kept of earlier runs of the others stays in the results. */
export async function runScenarios(
  { name, title, scenarios, only, isSaved }: Program,
  options: Options,
): Promise<void> {
  const unknown = only.filter((one) => scenarios[one] === undefined);
  if (unknown.length > 0) throw new Error(`no such row: ${unknown.join(', ')}`);
  const parts: Record<string, Part> = { ...(isSaved && earlierParts(name)) };
  const found: Part[] = [];
  for (const [row, scenario] of Object.entries(scenarios)) {
    if (!only.includes(row)) continue;
    options.signal.throwIfAborted();
    say(row);
    const part = await scenario(options);
    console.log(plainTable(tableOf(part)));
    parts[row] = part;
    found.push(part);
    if (isSaved) save(name, title, scenarios, parts);
  }
  console.log(`\n${found.map((part) => plainTable(tableOf(part))).join('\n\n')}`);
}

function earlierParts(name: string): Record<string, Part> {
  const path = resultsPath(`${name}.json`);
  if (!existsSync(path)) return {};
  const { samples } = JSON.parse(readFileSync(path, 'utf8')) as { samples: Record<string, Part> }; // as `save` wrote it
  return samples;
}

function save(
  name: string,
  title: string,
  scenarios: Readonly<Record<string, Scenario>>,
  parts: Readonly<Record<string, Part>>,
): void {
  const ordered = Object.keys(scenarios).flatMap((row) => parts[row] ?? []);
  saveReport({
    name,
    title,
    notes: ordered.flatMap((part) => part.notes.map((note) => `${part.title}: ${note}`)),
    machine: describeMachine(),
    tables: ordered.map(tableOf),
    samples: parts,
  });
}
