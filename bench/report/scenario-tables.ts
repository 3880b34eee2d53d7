import { spreadOf } from '../harness/statistics.ts';
import { SCENARIOS } from '../scenarios.ts';
import type { Scenario, ScenarioSample } from '../scenarios.ts';
import { metricOf } from '../targets.ts';
import type { Metric, Target, Verdict } from '../targets.ts';
import { sizeText, timeText } from './text.ts';
import type { Table } from './text.ts';

const SCENARIO_TITLES: Readonly<Record<Scenario, string>> = {
  first: 'First backup',
  unchanged: 'Second backup, nothing changed',
  changed: 'Second backup, 1 % of the bytes changed',
  verify: 'Verify every byte',
  restore: 'Full restore into an empty folder',
  delta: 'Restore over a tree with 5 % of the files changed',
  copy: 'For comparison: a copy of the tree',
};

/** A table for each scenario that has samples: medians, and the range in brackets. */
export function scenarioTables(samples: readonly ScenarioSample[]): Table[] {
  return SCENARIOS.flatMap((scenario) => {
    const ofScenario = samples.filter((sample) => sample.scenario === scenario);
    if (ofScenario.length === 0) return [];
    const isBackup = ofScenario.some((sample) => sample.repositoryBytes !== undefined);
    const rows = [...new Set(ofScenario.map((sample) => sample.tool))].sort().map((tool) => {
      const own = ofScenario.filter((sample) => sample.tool === tool);
      const cell = (metric: Metric, text: (value: number) => string): string => rangeText(own, metric, text);
      const row = [tool, cell('wallMs', timeText), cell('cpuMs', timeText), cell('peakRssBytes', sizeText)];
      return isBackup ? [...row, cell('repositoryBytes', sizeText), cell('storedBytes', sizeText)] : row;
    });
    const columns = ['tool', 'time', 'processor time', 'peak memory', ...(isBackup ? ['repository', 'added'] : [])];
    return [{ title: SCENARIO_TITLES[scenario], columns, rows }];
  });
}

function rangeText(samples: readonly ScenarioSample[], metric: Metric, text: (value: number) => string): string {
  const spread = spreadOf(samples.map((sample) => metricOf(sample, metric) ?? 0));
  const range = spread.min === spread.max ? '' : ` (${text(spread.min)} to ${text(spread.max)})`;
  return text(spread.median) + range;
}

export function verdictTable(verdicts: readonly Verdict[]): Table {
  return {
    title: 'Targets',
    columns: ['target', 'value', 'rounds', 'must', 'met', 'aim', 'met'],
    rows: verdicts.map(({ target, value, rounds, meetsMust, meetsAim }) => [
      target.what,
      figureText(target, value),
      `${figureText(target, Math.min(...rounds))} to ${figureText(target, Math.max(...rounds))}`,
      limitText(target, target.must),
      meetsMust ? 'yes' : 'NO',
      target.aim === undefined ? '' : limitText(target, target.aim),
      meetsAim === undefined ? '' : meetsAim ? 'yes' : 'no',
    ]),
  };
}

function figureText(target: Target, value: number): string {
  return target.unit === 'bytes' ? sizeText(value) : value.toFixed(2);
}

function limitText(target: Target, limit: number): string {
  return `${target.bound === 'least' ? '≥' : '≤'} ${target.unit === 'bytes' ? sizeText(limit) : String(limit)}`;
}
