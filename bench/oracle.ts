import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { describeMachine } from './harness/machine.ts';
import { runMain } from './harness/main.ts';
import { quantileOf } from './harness/statistics.ts';
import { saveReport } from './report/report.ts';
import { plainTable } from './report/text.ts';
import type { Table } from './report/text.ts';

const HELP = `node bench/oracle.ts [options]
  --minutes N   rounds are begun so long (default 15)
  --longer N    TIDEMARK_ORACLE_LONGER: longer scenarios, more marks and times of each (default 4)
  --no-save     print only`;

/**
 * A line of what a scenario has done: what was restored and was right, a time that was refused because it lies in a gap, or what the repository had at
 * its end. `to`: a mark's id, or a time with or without `--per-store`.
 */
type Line = {
  readonly scenario: string;
  readonly seed: number;
  readonly to?: readonly string[];
  readonly restoredMs?: number;
  readonly refused?: string;
  readonly marks?: number;
  readonly gaps?: number;
};

type Round = { readonly lines: readonly Line[]; readonly failed: readonly string[] };

/** All scenarios once, with new seeds. What failed is shown as it is. */
function runRound(folder: string, longer: string): Round {
  const path = join(folder, 'result');
  rmSync(path, { force: true });
  const files = globSync('test/oracle/engine*.test.ts').sort();
  const environment = { TIDEMARK_TEST_LEVEL: 'full', TIDEMARK_ORACLE_LONGER: longer, TIDEMARK_ORACLE_RESULT: path };
  const { stdout } = spawnSync(process.execPath, ['--test', '--test-reporter=spec', '--test-concurrency=2', ...files], {
    env: { ...process.env, ...environment },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
  });
  process.stdout.write(stdout);
  const [summary = ''] = stdout.split('failing tests:');
  const failed = [...summary.matchAll(/^✖ (.*) \(.*ms\)$/gm)].map(([, name = '']) => name);
  const written = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const lines = written.split('\n').filter((line) => line !== '');
  // The scenarios wrote them.
  return { lines: lines.map((line) => JSON.parse(line) as Line), failed };
}

const KINDS = ['marks', 'times', 'times, each store its own'] as const;

function kindOf([to = '', perStore]: readonly string[]): (typeof KINDS)[number] {
  if (perStore !== undefined) return 'times, each store its own';
  // The id of a mark has no zone.
  return to.endsWith('Z') ? 'times' : 'marks';
}

function tableOf(lines: readonly Line[]): Table {
  const names = [...new Set(lines.map(({ scenario }) => scenario))].toSorted((left, right) => (left < right ? -1 : 1));
  const rowOf = (name: string, own: readonly Line[]): readonly string[] => {
    const times = own.flatMap(({ restoredMs = [] }) => restoredMs);
    const taken = own.reduce((sum, { marks = 0 }) => sum + marks, 0);
    const gaps = own.reduce((sum, line) => sum + (line.gaps ?? 0), 0);
    const seeds = new Set(own.map(({ seed }) => seed)).size;
    const median = times.length === 0 ? '' : `${(quantileOf(times, 0.5) / 1000).toFixed(1)} s`;
    const refused = own.filter((line) => line.refused !== undefined).length;
    const restored = KINDS.map((kind) => own.filter(({ to }) => to !== undefined && kindOf(to) === kind).length);
    return [name, ...[seeds, taken, gaps, ...restored, times.length, refused].map(String), median];
  };
  return {
    title: 'What was restored into fresh servers, and was right',
    columns: [
      'scenario',
      'runs',
      'marks taken',
      'gaps told',
      ...KINDS,
      'all restored',
      'times refused in a gap',
      'a restore with its checks',
    ],
    rows: [
      ...names.map((name) =>
        rowOf(
          name,
          lines.filter(({ scenario }) => scenario === name),
        ),
      ),
      rowOf('all', lines),
    ],
  };
}

await runMain(async () => {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '15' },
      longer: { type: 'string', default: '4' },
      'no-save': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  process.chdir(join(import.meta.dirname, '..'));
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-oracle-'));
  const startedMs = performance.now();
  const minutes = (): number => (performance.now() - startedMs) / 60_000;
  const rounds: Round[] = [];
  try {
    do {
      rounds.push(runRound(folder, values.longer));
      const lines = rounds.flatMap((round) => round.lines);
      const failed = rounds.flatMap((round) => round.failed);
      const table = tableOf(lines);
      process.stdout.write(`\n${plainTable(table)}\n${failed.length} failed: ${failed.join('; ')}\n`);
      if (values['no-save']) continue;
      const seeds = [...new Set(lines.map(({ seed }) => seed))];
      saveReport({
        name: 'oracle',
        title: 'The oracle of the engines',
        notes: [
          'Redis, PostgreSQL, files and an embedded store in one application that is written to all the time; servers, recorders and networks fail as each scenario says.',
          `${rounds.length} rounds of all scenarios in ${minutes().toFixed(0)} minutes, each with new seeds (${seeds.join(', ')}); TIDEMARK_ORACLE_LONGER=${values.longer}.`,
          failed.length === 0 ? 'No scenario failed.' : `FAILED: ${failed.join('; ')}.`,
        ],
        machine: describeMachine(),
        tables: [table],
        samples: lines,
      });
    } while (minutes() < Number(values.minutes));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
