import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { compareTrees } from './data/compare.ts';
import { editBytes, editFiles, undoEdit } from './data/edit.ts';
import { bytesBelow } from './data/walk.ts';
import { measure } from './harness/measure.ts';
import type { Command, Sample } from './harness/measure.ts';
import { openMedium } from './harness/medium.ts';
import type { MediumKind } from './harness/medium.ts';
import { orderOfTurn } from './harness/statistics.ts';
import type { Place, Tool } from './tools/tool.ts';

/** In the order in which a round takes them. */
export const SCENARIOS = ['first', 'unchanged', 'changed', 'verify', 'restore', 'delta', 'copy'] as const;
export type Scenario = (typeof SCENARIOS)[number];

export interface ScenarioSample extends Sample {
  readonly tool: string;
  readonly scenario: Scenario;
  readonly round: number;
  /** Length of all files of the repository afterwards; for backups only. */
  readonly repositoryBytes?: number | undefined;
  /** What the run added to the repository; for backups only. */
  readonly storedBytes?: number | undefined;
}

export interface RoundOptions {
  readonly tools: readonly Tool[];
  readonly scenarios: ReadonlySet<Scenario>;
  readonly medium: MediumKind;
  /** The tree to back up. It is edited in between, and as it was after the round. */
  readonly source: string;
  readonly round: number;
  readonly scratch: string;
  readonly signal: AbortSignal;
  readonly onSample: (sample: ScenarioSample) => void;
}

/** One tool in one round. */
interface Contender {
  readonly tool: Tool;
  readonly place: Place;
  runs: number;
  repositoryBytes: number;
}

const CHANGED_BYTES_SHARE = 0.01;
const CHANGED_FILES_SHARE = 0.05;

/** What has to be measured for the scenarios in `asked`: each stands on the first backup, the delta on a restore. */
export function withPrerequisites(asked: Iterable<Scenario>): Set<Scenario> {
  const all = new Set<Scenario>(asked);
  all.add('first');
  if (all.has('delta')) all.add('restore');
  return all;
}

/**
 * Takes every scenario once with every tool, in an order that changes with scenario and round. Each tool has a fresh
 * medium for its repository and another for each restore. In round 0 every restored tree is compared with its source.
 * @throws Error when a tool fails or restores something else.
 */
export async function runRound(options: RoundOptions): Promise<void> {
  using media = new DisposableStack();
  const contenders: Contender[] = [];
  for (const tool of options.tools) {
    const home = media.use(openMedium(options.medium)).path;
    const place: Place = { source: options.source, home };
    tool.prepare(place);
    await run(tool.init(place), options);
    contenders.push({ tool, place, runs: 0, repositoryBytes: bytesBelow(tool.repository(place)) });
  }
  const inTurn = async (scenario: Scenario, act: (contender: Contender) => Promise<void>): Promise<void> => {
    if (!options.scenarios.has(scenario)) return;
    for (const contender of orderOfTurn(contenders, options.round + SCENARIOS.indexOf(scenario))) await act(contender);
  };
  await inTurn('first', (contender) => takeBackup('first', contender, options));
  await inTurn('unchanged', (contender) => takeBackup('unchanged', contender, options));
  if (options.scenarios.has('changed')) {
    const originals = media.use(openMedium('tmpfs')).path;
    media.defer(() => undoEdit(options.source, originals));
    editBytes(options.source, { share: CHANGED_BYTES_SHARE, seed: 1, originals });
    await inTurn('changed', (contender) => takeBackup('changed', contender, options));
  }
  await inTurn('verify', async ({ tool, place }) =>
    record('verify', tool, await run(tool.verify(place), options), options),
  );
  await inTurn('restore', (contender) => takeRestores(contender, options));
  if (options.scenarios.has('copy')) await takeCopy(options);
}

async function run(command: Command, options: RoundOptions): Promise<Sample> {
  return await measure(command, { signal: options.signal, scratch: options.scratch });
}

function record(scenario: Scenario, tool: Tool, sample: Partial<ScenarioSample> & Sample, options: RoundOptions): void {
  options.onSample({ ...sample, tool: tool.name, scenario, round: options.round });
}

async function takeBackup(scenario: Scenario, contender: Contender, options: RoundOptions): Promise<void> {
  const { tool, place } = contender;
  contender.runs += 1;
  const sample = await run(tool.backup(place, contender.runs), options);
  const repositoryBytes = bytesBelow(tool.repository(place));
  const storedBytes = repositoryBytes - contender.repositoryBytes;
  contender.repositoryBytes = repositoryBytes;
  record(scenario, tool, { ...sample, repositoryBytes, storedBytes }, options);
}

/** The full restore, and the delta over the same tree after some of its files were changed. */
async function takeRestores({ tool, place, runs }: Contender, options: RoundOptions): Promise<void> {
  using target = openMedium(options.medium);
  const into = join(target.path, 'into');
  mkdirSync(into);
  record('restore', tool, await run(tool.restore(place, runs, into), options), options);
  check(tool, into, options);
  if (!options.scenarios.has('delta')) return;
  editFiles(tool.restoredRoot(into), { share: CHANGED_FILES_SHARE, seed: 1 });
  record('delta', tool, await run(tool.restoreOver(place, runs, into), options), options);
  check(tool, into, options);
}

/** What no restore beside the old tree can go below by much: writing the tree once, from files. */
async function takeCopy(options: RoundOptions): Promise<void> {
  using target = openMedium(options.medium);
  const argv = ['cp', '-a', options.source, join(target.path, 'copy')];
  const sample = await run({ argv, cwd: target.path, env: {} }, options);
  options.onSample({ ...sample, tool: 'cp', scenario: 'copy', round: options.round });
}

function check(tool: Tool, into: string, options: RoundOptions): void {
  if (options.round > 0) return;
  const differences = compareTrees(options.source, tool.restoredRoot(into));
  const unasked = differences.filter((difference) => !difference.endsWith('.added: not in the original'));
  if (unasked.length > 0) throw new Error(`${tool.name} restored another tree:\n${unasked.join('\n')}`);
}
