import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { must } from '../src/core/must.ts';
import { generateTree } from './data/generate.ts';
import { bytesBelow, filesBelow } from './data/walk.ts';
import { describeMachine } from './harness/machine.ts';
import { runMain } from './harness/main.ts';
import { measure } from './harness/measure.ts';
import type { Command, Sample } from './harness/measure.ts';
import { openMedium } from './harness/medium.ts';
import { plotPanels } from './report/line-plot.ts';
import type { Panel, Series } from './report/line-plot.ts';
import { resultsPath, saveReport } from './report/report.ts';
import { plainTable, sizeText, timeText } from './report/text.ts';
import type { Table } from './report/text.ts';
import { missingText, toolNamed } from './tools/known.ts';
import { TIDEMARK } from './tools/tidemark.ts';
import type { Place, Tool } from './tools/tool.ts';

const HELP = `node bench/growth.ts [options]
  --tool NAME      tidemark (default), restic or borg
  --max-files N    (default 1000000)
  --max-bases N    (default 1000)
  --no-save        print only`;

/** One command at one size. */
interface GrowthSample extends Sample {
  readonly command: string;
  /** The number of files, or of bases. */
  readonly size: number;
  /** What the command's cost is divided by: `size` where it treats them all, 1 where it adds or takes one base. */
  readonly units: number;
  /** For backups: length of the repository's files afterwards. */
  readonly repositoryBytes?: number | undefined;
}

interface GrowthRun {
  readonly tool: Tool;
  readonly scratch: string;
  readonly signal: AbortSignal;
}

const FILE_BYTES = 2_048;
const BASE_FILES = 1_000;
const LAST_FEW = 5;
const REPEATS = 3;
const MIB = 1_024 * 1_024;
/** Time per unit may lie this much above its lowest value at any size and still count as flat. */
const FLAT_WITHIN = 1.25;

/** 1, 3, 10, 30, … from `from` to `to`. */
function halfDecades(from: number, to: number): number[] {
  const sizes: number[] = [];
  for (let decade = from; decade <= to; decade *= 10) sizes.push(decade, decade * 3);
  return sizes.filter((size) => size <= to);
}

function keep(samples: GrowthSample[], sample: GrowthSample): void {
  samples.push(sample);
  const figures = `${timeText(sample.wallMs)}  ${sizeText(sample.peakRssBytes)}`;
  console.error(`${sample.command.padEnd(16)} ${String(sample.size).padStart(8)}  ${figures}`);
}

/** The sample with the middle time. */
function middleOf(samples: readonly Sample[]): Sample {
  const sorted = [...samples].sort((a, b) => a.wallMs - b.wallMs);
  return must(sorted[sorted.length >>> 1], 'a sample');
}

/** Backup, unchanged backup, verification and restore of trees of more and more small files. */
async function growFiles(run: GrowthRun, sizes: readonly number[]): Promise<GrowthSample[]> {
  const samples: GrowthSample[] = [];
  const { tool } = run;
  for (const size of sizes) {
    using medium = openMedium('tmpfs');
    const place = newPlace(medium.path);
    generateTree(place.source, { files: size, sizeBytes: size * FILE_BYTES, seed: size, shape: 'small' });
    tool.prepare(place);
    await measure(tool.init(place), run);
    const into = join(medium.path, 'into');
    mkdirSync(into);
    const commands: readonly (readonly [string, Command])[] = [
      ['backup', tool.backup(place, 1)],
      ['unchanged backup', tool.backup(place, 2)],
      ['verify', tool.verify(place)],
      ['restore', tool.restore(place, 2, into)],
    ];
    for (const [command, line] of commands) {
      const sample = await measure(line, run);
      keep(samples, { ...sample, command, size, units: size, repositoryBytes: bytesBelow(tool.repository(place)) });
    }
  }
  return samples;
}

/**
 * One backup after another of a small tree in which one file grows each time, and what the commands cost with so many of
 * them: the middle of the last few backups, and of three runs of the others.
 */
async function growBases(run: GrowthRun, counts: readonly number[]): Promise<GrowthSample[]> {
  const samples: GrowthSample[] = [];
  const { tool } = run;
  using medium = openMedium('tmpfs');
  const place = newPlace(medium.path);
  generateTree(place.source, { files: BASE_FILES, sizeBytes: BASE_FILES * FILE_BYTES, seed: 1, shape: 'small' });
  const files = filesBelow(place.source);
  tool.prepare(place);
  await measure(tool.init(place), run);
  const backups: Sample[] = [];
  for (let size = 1; size <= must(counts.at(-1), 'a count'); size += 1) {
    appendFileSync(join(place.source, must(files[size % files.length], 'a file').path), `base ${size}\n`);
    backups.push(await measure(tool.backup(place, size), run));
    if (!counts.includes(size)) continue;
    const repositoryBytes = bytesBelow(tool.repository(place));
    const lastFew = middleOf(backups.slice(-LAST_FEW));
    keep(samples, { ...lastFew, command: 'one more backup', size, units: 1, repositoryBytes });
    keep(samples, { ...(await repeat(run, () => tool.list(place))), command: 'list', size, units: size });
    keep(samples, { ...(await repeat(run, () => tool.verify(place))), command: 'verify all', size, units: size });
    const restored = await repeat(run, (turn) => {
      const into = join(medium.path, `into-${size}-${turn}`);
      mkdirSync(into);
      return tool.restore(place, size, into);
    });
    keep(samples, { ...restored, command: 'restore newest', size, units: 1 });
  }
  return samples;
}

async function repeat(run: GrowthRun, command: (turn: number) => Command): Promise<Sample> {
  const samples: Sample[] = [];
  for (let turn = 0; turn < REPEATS; turn += 1) samples.push(await measure(command(turn), run));
  return middleOf(samples);
}

function newPlace(root: string): Place {
  const place = { source: join(root, 'source'), home: join(root, 'home') };
  mkdirSync(place.source);
  mkdirSync(place.home);
  return place;
}

function seriesOf(samples: readonly GrowthSample[], value: (sample: GrowthSample) => number): Series[] {
  return [...new Set(samples.map((sample) => sample.command))].map((name) => ({
    name,
    points: samples.filter((sample) => sample.command === name).map((sample) => [sample.size, value(sample)] as const),
  }));
}

function panelsOf(files: readonly GrowthSample[], bases: readonly GrowthSample[]): Panel[] {
  const memory = (sample: GrowthSample): number => sample.peakRssBytes / MIB;
  return [
    {
      title: 'Time per file',
      xLabel: 'files',
      yLabel: 'µs per file',
      series: seriesOf(files, (sample) => (sample.wallMs * 1_000) / sample.size),
    },
    { title: 'Peak memory', xLabel: 'files', yLabel: 'MiB', series: seriesOf(files, memory) },
    {
      title: 'Time of one command',
      xLabel: 'bases in the repository',
      yLabel: 'ms',
      series: seriesOf(bases, (sample) => sample.wallMs),
    },
    { title: 'Peak memory', xLabel: 'bases in the repository', yLabel: 'MiB', series: seriesOf(bases, memory) },
  ];
}

function tableOf(title: string, samples: readonly GrowthSample[]): Table {
  const sizes = [...new Set(samples.map((sample) => sample.size))];
  const rows = [...new Set(samples.map((sample) => sample.command))].map((command) => {
    const own = samples.filter((sample) => sample.command === command);
    const cells = own.map((sample) => `${timeText(sample.wallMs)}, ${sizeText(sample.peakRssBytes)}`);
    const verdicts = [(sample: GrowthSample) => sample.wallMs, (sample: GrowthSample) => sample.peakRssBytes];
    return [command, ...cells, ...verdicts.map((cost) => flatText(own, cost))];
  });
  return {
    title,
    columns: ['', ...sizes.map((size) => size.toLocaleString('en-US')), 'time per unit', 'memory per unit'],
    rows,
  };
}

/** Whether the cost per unit at the largest size is near its lowest at any size. */
function flatText(samples: readonly GrowthSample[], cost: (sample: GrowthSample) => number): string {
  const perUnit = samples.map((sample) => cost(sample) / sample.units);
  const factor = must(perUnit.at(-1), 'a sample') / Math.min(...perUnit);
  return factor <= FLAT_WITHIN ? 'flat or falling' : `RISING: ${factor.toFixed(2)} × the lowest`;
}

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      tool: { type: 'string', default: TIDEMARK.name },
      'max-files': { type: 'string', default: '1000000' },
      'max-bases': { type: 'string', default: '1000' },
      save: { type: 'boolean', default: true },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const tool = toolNamed(values.tool);
  const version = tool.version();
  if (version === undefined) throw new Error(missingText(tool));
  using scratch = openMedium('tmpfs');
  const run: GrowthRun = { tool, scratch: scratch.path, signal };
  const files = await growFiles(run, halfDecades(1_000, Number(values['max-files'])));
  const bases = await growBases(run, halfDecades(1, Number(values['max-bases'])));
  const tables = [tableOf('More files, 2 KiB each on average', files), tableOf('More bases of 1,000 files', bases)];
  console.log(tables.map(plainTable).join('\n\n'));
  if (!values.save) return;
  writeFileSync(resultsPath('growth.svg'), plotPanels(panelsOf(files, bases)));
  saveReport({
    name: 'growth',
    title: 'How cost grows',
    notes: [
      `${tool.name} ${version} (${tool.setUp}), everything in memory (tmpfs).`,
      'The unit is a file, or a base for what treats all bases, or one command for "one more backup" and "restore newest".',
      `"Flat" is judged at the largest size: at most ${FLAT_WITHIN} × the lowest cost per unit of any size.`,
    ],
    machine: describeMachine(),
    tables,
    picture: 'growth.svg',
    samples: { files, bases },
  });
}

await runMain(main);
