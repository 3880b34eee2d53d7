import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { copyTree } from './data/copy-tree.ts';
import { generateTree } from './data/generate.ts';
import type { TreeSummary } from './data/generate.ts';
import { STANDARD_TREE } from './data/plan.ts';
import { describeMachine } from './harness/machine.ts';
import { runMain } from './harness/main.ts';
import { openMedium } from './harness/medium.ts';
import type { MediumKind } from './harness/medium.ts';
import { saveReport, machineLine } from './report/report.ts';
import type { Report } from './report/report.ts';
import { scenarioTables, verdictTable } from './report/scenario-tables.ts';
import { plainTable, sizeText, timeText } from './report/text.ts';
import { runRound, SCENARIOS, withPrerequisites } from './scenarios.ts';
import type { Scenario, ScenarioSample } from './scenarios.ts';
import { judge } from './targets.ts';
import { missingText, TOOLS, toolNamed } from './tools/known.ts';
import type { Tool } from './tools/tool.ts';

const HELP = `node bench/run.ts [options]
  --rounds N          rounds (default 5)
  --only SCENARIO     one of ${SCENARIOS.join(', ')}; may be repeated
  --tool NAME         tidemark, restic or borg; may be repeated (default: all)
  --quick             a tree of a tenth, 2 rounds
  --tree DIR          copies real files from DIR instead of making a tree
  --size BYTES        length of the tree (default ${STANDARD_TREE.sizeBytes})
  --files N           files of the made tree (default ${STANDARD_TREE.files})
  --medium KIND       tmpfs (default) or loop: a fresh ext4 on a loop device, as root
  --save, --no-save   keep the results; by default only of all tools, all scenarios and at least 5 rounds`;

interface Settings {
  readonly rounds: number;
  readonly scenarios: Set<Scenario>;
  readonly tools: readonly Tool[];
  readonly realTree: string | undefined;
  readonly files: number;
  readonly sizeBytes: number;
  readonly medium: MediumKind;
  readonly save: boolean;
}

const FULL_ROUNDS = 5;

function settingsOf(args: readonly string[]): Settings | undefined {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      rounds: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      tool: { type: 'string', multiple: true, default: [] },
      quick: { type: 'boolean', default: false },
      tree: { type: 'string' },
      size: { type: 'string' },
      files: { type: 'string' },
      medium: { type: 'string', default: 'tmpfs' },
      save: { type: 'boolean' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const scale = values.quick ? 0.1 : 1;
  const rounds = Number(values.rounds ?? (values.quick ? 2 : FULL_ROUNDS));
  const asked = values.only.map((name) => oneOf(SCENARIOS, name, '--only'));
  const named = values.tool.map(toolNamed);
  const tools = TOOLS.filter((tool) => named.length === 0 || named.includes(tool)).filter(isThere);
  const whole = tools.length === TOOLS.length && asked.length === 0 && rounds >= FULL_ROUNDS && !values.quick;
  return {
    rounds,
    scenarios: asked.length === 0 ? new Set(SCENARIOS) : withPrerequisites(asked),
    tools,
    realTree: values.tree,
    files: Number(values.files ?? STANDARD_TREE.files * scale),
    sizeBytes: Number(values.size ?? STANDARD_TREE.sizeBytes * scale),
    medium: oneOf(['tmpfs', 'loop'] as const, values.medium, '--medium'),
    save: values.save ?? whole,
  };
}

function oneOf<T extends string>(known: readonly T[], given: string, option: string): T {
  const found = known.find((name) => name === given);
  if (found === undefined) throw new Error(`${option} ${given}: must be one of ${known.join(', ')}`);
  return found;
}

function isThere(tool: Tool): boolean {
  const found = tool.version() !== undefined;
  if (!found) console.error(`${missingText(tool)}; left out`);
  return found;
}

async function takeSamples(settings: Settings, source: string, signal: AbortSignal): Promise<ScenarioSample[]> {
  const samples: ScenarioSample[] = [];
  using scratch = openMedium('tmpfs');
  for (let round = 0; round < settings.rounds; round += 1) {
    await runRound({
      ...settings,
      source,
      round,
      scratch: scratch.path,
      signal,
      onSample: (sample) => {
        samples.push(sample);
        const figures = `${timeText(sample.wallMs)}, cpu ${timeText(sample.userMs + sample.systemMs)}`;
        console.error(`round ${round + 1}  ${sample.scenario.padEnd(9)}  ${sample.tool.padEnd(8)}  ${figures}`);
      },
    });
  }
  return samples;
}

function reportOf(settings: Settings, tree: TreeSummary, samples: readonly ScenarioSample[]): Report {
  const real = settings.realTree !== undefined;
  return {
    name: real ? 'real-files' : 'latest',
    title: real ? 'Files of a real machine' : 'Generated tree',
    notes: [
      `${tree.files} files and ${tree.symbolicLinks} links, ${(tree.sizeBytes / 1e9).toFixed(2)} GB.`,
      ...settings.tools.map((tool) => `${tool.name}: ${tool.version()} (${tool.setUp}).`),
      settings.medium === 'tmpfs'
        ? 'Everything in memory (tmpfs), fresh for each sample.'
        : 'Fresh ext4 on a loop device.',
      `${settings.rounds} rounds, tools in changing order; medians, and the range in brackets.`,
    ],
    machine: describeMachine(),
    tables: [verdictTable(judge(samples)), ...scenarioTables(samples)].filter((table) => table.rows.length > 0),
    samples,
  };
}

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const settings = settingsOf(args);
  if (settings === undefined) return console.log(HELP);
  if (!existsSync('/usr/bin/time')) throw new Error('GNU time is needed: apt install time');
  using home = openMedium('tmpfs');
  const source = join(home.path, 'tree');
  mkdirSync(source);
  const { realTree, files, sizeBytes } = settings;
  const tree =
    realTree === undefined
      ? generateTree(source, { ...STANDARD_TREE, files, sizeBytes })
      : copyTree(realTree, source, sizeBytes);
  console.error(`${tree.files} files, ${sizeText(tree.sizeBytes)}`);
  const samples = await takeSamples(settings, source, signal);
  const report = reportOf(settings, tree, samples);
  console.log(
    [machineLine(report.machine), ...report.notes, ...report.tables.map((t) => `\n${plainTable(t)}`)].join('\n'),
  );
  if (settings.save) saveReport(report);
}

await runMain(main);
