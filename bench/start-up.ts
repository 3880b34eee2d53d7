import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine } from './harness/machine.ts';
import { runMain } from './harness/main.ts';
import { measure } from './harness/measure.ts';
import type { Command, Sample } from './harness/measure.ts';
import { openMedium } from './harness/medium.ts';
import { orderOfTurn, spreadOf } from './harness/statistics.ts';
import { saveReport } from './report/report.ts';
import { plainTable, sizeText, timeText } from './report/text.ts';
import type { Table } from './report/text.ts';

const HELP = `node bench/start-up.ts [options]
  --rounds N    (default 25)
  --no-save     print only`;

interface Case {
  readonly name: string;
  readonly command: Command;
}

interface PackageFile {
  readonly bin: { readonly tidemark: string };
  readonly dependencies: Readonly<Record<string, string>>;
}

interface StartUpSample extends Sample {
  readonly name: string;
  readonly round: number;
}

const ROOT = join(import.meta.dirname, '..');
const BARE = 'node -e 0';
const MUST_TIMES_BARE = 4;
const AIM_MS = 100;

/**
 * Packs what is built and unpacks it as npm would install it, with links to the dependencies that are here.
 * @returns the path of the program that the package names.
 */
function installPacked(into: string): string {
  const pack = ['pack', '--silent', '--ignore-scripts', '--pack-destination', into];
  execFileSync('npm', pack, { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
  const tarball = readdirSync(into).find((name) => name.endsWith('.tgz'));
  if (tarball === undefined) throw new Error('npm pack made no tarball');
  const modules = join(into, 'node_modules');
  const home = join(modules, 'tidemark');
  mkdirSync(home, { recursive: true });
  execFileSync('tar', ['-xzf', join(into, tarball), '--strip-components=1', '-C', home]);
  // The project's own file, checked by its tests.
  const manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as PackageFile;
  for (const name of Object.keys(manifest.dependencies)) {
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
  const program = join(home, manifest.bin.tidemark);
  if (!existsSync(program)) throw new Error(`the package lacks ${manifest.bin.tidemark}; npm run build first`);
  return program;
}

function casesOf(program: string, folder: string): Case[] {
  const broken = join(folder, 'broken.yaml');
  writeFileSync(broken, 'application: shop\nrepository: ./backups\nstores:\n  uploads:\n    ulr: files:./uploads\n');
  const run = (args: readonly string[], status = 0): Command => ({
    argv: [process.execPath, ...args],
    cwd: folder,
    env: { HOME: folder },
    expectedStatuses: [status],
  });
  return [
    { name: BARE, command: run(['-e', '0']) },
    { name: '--help', command: run([program, '--help']) },
    { name: 'version', command: run([program, 'version']) },
    { name: 'an error in the manifest', command: run([program, '-f', broken, 'backup'], 2) },
  ];
}

function tableOf(samples: readonly StartUpSample[]): Table {
  const timesOf = (name: string): number[] => samples.filter((s) => s.name === name).map((s) => s.wallMs);
  const bareMs = spreadOf(timesOf(BARE)).median;
  const rows = [...new Set(samples.map((sample) => sample.name))].map((name) => {
    const { median, min, max } = spreadOf(timesOf(name));
    const peak = spreadOf(samples.filter((s) => s.name === name).map((s) => s.peakRssBytes)).median;
    const verdicts = [median / bareMs <= MUST_TIMES_BARE ? 'yes' : 'NO', median <= AIM_MS ? 'yes' : 'no'];
    const row = [
      name,
      timeText(median),
      `${timeText(min)} to ${timeText(max)}`,
      (median / bareMs).toFixed(2),
      sizeText(peak),
    ];
    return [...row, ...(name === BARE ? ['', ''] : verdicts)];
  });
  const limits = [`must: ≤ ${MUST_TIMES_BARE} × bare`, `aim: ≤ ${AIM_MS} ms`];
  return { title: 'Start-up', columns: ['command', 'time', 'range', '× bare', 'peak memory', ...limits], rows };
}

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      rounds: { type: 'string', default: '25' },
      save: { type: 'boolean', default: true },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  using folder = openMedium('tmpfs');
  const cases = casesOf(installPacked(folder.path), folder.path);
  const samples: StartUpSample[] = [];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const { name, command } of orderOfTurn(cases, round)) {
      samples.push({ ...(await measure(command, { signal, scratch: folder.path })), name, round });
    }
  }
  const table = tableOf(samples);
  console.log(plainTable(table));
  if (!values.save) return;
  saveReport({
    name: 'start-up',
    title: 'Start-up',
    notes: [
      `From the packed package, ${values.rounds} rounds in changing order; medians.`,
      'Times include GNU time, which starts the program, for all alike.',
    ],
    machine: describeMachine(),
    tables: [table],
    samples,
  });
}

await runMain(main);
