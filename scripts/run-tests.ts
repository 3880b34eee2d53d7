/**
 * Runs the tests group by group and prints one table at the end: `unit` (beside the sources, in one process for each processor), `project`
 * (what lies directly in test/), then each folder of test/.
 *
 * `npm test`, `npm test -- unit e2e`, `npm test -- test/e2e/backup.test.ts --test-name-pattern=name`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

import type { TestCounts } from './count-tests.ts';

type Group = {
  readonly name: string;
  readonly files: readonly string[];
  readonly options: readonly string[];
  /** Processes that share the files. */
  readonly shards?: number;
};
type Outcome = TestCounts & { readonly name: string; readonly seconds: number; readonly problem?: string | undefined };

const UNIT_LIMIT_MS = 15 * 60_000;
const GROUP_LIMIT_MS = 30 * 60_000;
/** What hangs is named. */
const TEST_LIMIT_MS = 20 * 60_000;
const NOTHING: TestCounts = { tests: 0, passed: 0, failed: 0, skipped: 0 };
/** More than half of the time that the process of a test file takes to start is reading code. Where coverage is measured nothing may come from a cache. */
const ENVIRONMENT =
  process.env['NODE_V8_COVERAGE'] === undefined
    ? { NODE_COMPILE_CACHE: join(import.meta.dirname, '..', 'node_modules', '.cache', 'compiled'), ...process.env }
    : process.env;
const ONE_PROCESS = ['--test-isolation=none'];
/** Groups whose files take long and need no quiet: node alone would leave a processor idle. */
const SIDE_BY_SIDE = new Set(['crash', 'damage', 'e2e', 'engines', 'kit', 'oracle', 'servers', 'simulation']);
/** Of these, those that wait for servers much of their time. */
const WAITING = new Set(['engines', 'oracle']);

function listGroups(): readonly Group[] {
  const folders = new Map<string, string[]>();
  for (const file of globSync('test/**/*.test.ts').sort()) {
    const name = file.split('/').length > 2 ? (file.split('/')[1] ?? '') : 'project';
    folders.set(name, [...(folders.get(name) ?? []), file]);
  }
  const project = folders.get('project') ?? [];
  folders.delete('project');
  return [
    { name: 'unit', files: globSync('src/**/*.test.ts').sort(), options: ONE_PROCESS, shards: availableParallelism() },
    { name: 'project', files: project, options: ONE_PROCESS },
    ...[...folders].map(([name, files]) => ({
      name,
      files,
      options: SIDE_BY_SIDE.has(name) ? [`--test-concurrency=${concurrencyOf(name)}`] : [],
    })),
  ];
}

function concurrencyOf(group: string): number {
  return availableParallelism() + (WAITING.has(group) ? 1 : 0);
}

function choose(groups: readonly Group[], words: readonly string[]): readonly Group[] {
  const chosen = words.map((word): Group => {
    const group = groups.find(({ name }) => name === word);
    if (group) return group;
    const files = globSync(word.endsWith('.ts') ? word : `${word}/**/*.test.ts`).sort();
    if (files.length > 0) return { name: word, files, options: word.startsWith('src') ? ONE_PROCESS : [] };
    process.stderr.write(`no tests in ${word}; there are ${groups.map(({ name }) => name).join(', ')}, and paths\n`);
    process.exit(2);
  });
  return words.length === 0 ? groups : chosen;
}

async function runGroup(group: Group, passedOn: readonly string[], scratch: string): Promise<Outcome> {
  process.stdout.write(`\n── ${group.name} (${group.files.length} files) ──\n`);
  // Without a file named, node would look for tests by itself.
  if (group.files.length === 0) return { name: group.name, seconds: 0, ...NOTHING, problem: 'no test ran' };
  const { shards = 1 } = group;
  const startedMs = performance.now();
  const outcomes = await Promise.all(
    Array.from({ length: shards }, async (_, at) => {
      const options = shards === 1 ? [] : [`--test-shard=${at + 1}/${shards}`];
      const shard = { ...group, options: [...group.options, ...options, ...passedOn] };
      return await runNode(shard, join(scratch, `counts-${at}.json`));
    }),
  );
  const seconds = (performance.now() - startedMs) / 1000;
  const counts = sumOf(outcomes);
  const problem = outcomes.find((outcome) => outcome.problem !== undefined)?.problem;
  return { name: group.name, seconds, ...counts, problem: problem ?? (counts.tests === 0 ? 'no test ran' : undefined) };
}

/** What one of several prints is shown when it has ended. */
async function runNode(
  { name, files, options, shards = 1 }: Group,
  counts: string,
): Promise<TestCounts & { readonly problem?: string | undefined }> {
  rmSync(counts, { force: true });
  const reporters = ['spec', './scripts/count-tests.ts'].map((reporter) => `--test-reporter=${reporter}`);
  const destinations = ['stdout', counts].map((place) => `--test-reporter-destination=${place}`);
  const limit = `--test-timeout=${TEST_LIMIT_MS}`;
  const child = spawn(process.execPath, ['--test', ...reporters, ...destinations, limit, ...options, ...files], {
    env: ENVIRONMENT,
    stdio: ['ignore', shards === 1 ? 'inherit' : 'pipe', 'inherit'],
    timeout: name === 'unit' ? UNIT_LIMIT_MS : GROUP_LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const printed: Buffer[] = [];
  child.stdout?.on('data', (piece: Buffer) => printed.push(piece));
  const [status] = (await once(child, 'close')) as [number | null];
  process.stdout.write(Buffer.concat(printed));
  return readCounts(counts, status);
}

function sumOf(all: readonly TestCounts[]): TestCounts {
  const sum = (key: keyof TestCounts): number => all.reduce((total, counts) => total + counts[key], 0);
  return { tests: sum('tests'), passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
}

function readCounts(path: string, status: number | null): TestCounts & { problem?: string | undefined } {
  let counts: TestCounts = NOTHING;
  const text = readFileSync(path, { encoding: 'utf8', flag: 'a+' });
  if (text !== '') counts = JSON.parse(text) as TestCounts;
  if (status === null) return { ...counts, problem: 'did not end in time, or was killed' };
  if (text === '') return { ...counts, problem: `ended with status ${status} before it had results` };
  if (status !== 0 && counts.failed === 0) return { ...counts, problem: `ended with status ${status}` };
  return counts;
}

function printTable(outcomes: readonly Outcome[]): boolean {
  const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0);
  const total = { name: 'total', ...sumOf(outcomes), seconds };
  process.stdout.write(`\n${'group'.padEnd(24)}   tests  passed  failed skipped  seconds\n`);
  for (const { name, tests, passed, failed, skipped, seconds, problem } of [...outcomes, { ...total, problem: '' }]) {
    const numbers = [tests, passed, failed, skipped].map((count) => String(count).padStart(8)).join('');
    process.stdout.write(`${name.padEnd(24)}${numbers}${seconds.toFixed(1).padStart(9)}  ${problem ?? ''}\n`);
  }
  const broken = outcomes.filter(({ problem }) => problem !== undefined).length;
  process.stdout.write(`\n${total.passed} passed, ${total.failed + broken} failed, ${total.skipped} skipped\n`);
  return outcomes.length > 0 && total.passed > 0 && total.failed + broken === 0;
}

process.chdir(join(import.meta.dirname, '..'));
const args = process.argv.slice(2);
const groups = choose(
  listGroups(),
  args.filter((arg) => !arg.startsWith('--')),
);
const scratch = mkdtempSync(join(tmpdir(), 'tidemark-test-'));
try {
  const passedOn = args.filter((arg) => arg.startsWith('--'));
  const outcomes: Outcome[] = [];
  for (const group of groups) outcomes.push(await runGroup(group, passedOn, scratch));
  if (!printTable(outcomes)) process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
