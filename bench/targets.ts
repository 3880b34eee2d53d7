import { spreadOf } from './harness/statistics.ts';
import type { Scenario, ScenarioSample } from './scenarios.ts';

export type Metric = 'wallMs' | 'cpuMs' | 'peakRssBytes' | 'repositoryBytes' | 'storedBytes';

/** Finds a figure of a tool in a scenario; nothing where it wasn't measured. */
export type Figures = (tool: string, scenario: Scenario, metric: Metric) => number | undefined;

export interface Target {
  readonly what: string;
  /** What `must` and `aim` bound: `least` from below, `most` from above. */
  readonly bound: 'least' | 'most';
  readonly must: number;
  readonly aim?: number | undefined;
  readonly unit: 'times' | 'bytes';
  value(figures: Figures): number | undefined;
}

export interface Verdict {
  readonly target: Target;
  /** From the medians. */
  readonly value: number;
  /** The same, from each round alone. */
  readonly rounds: readonly number[];
  readonly meetsMust: boolean;
  readonly meetsAim: boolean | undefined;
}

type Place = readonly [tool: string, scenario: Scenario, metric: Metric];

const OURS = 'tidemark';
const MIB = 1_024 * 1_024;

const ratio =
  (above: Place, below: Place) =>
  (figures: Figures): number | undefined => {
    const [a, b] = [figures(...above), figures(...below)];
    return a === undefined || b === undefined || b === 0 ? undefined : a / b;
  };

/** How much faster ours is than `peer`. */
const faster = (peer: string, scenario: Scenario): Target['value'] =>
  ratio([peer, scenario, 'wallMs'], [OURS, scenario, 'wallMs']);

export const TARGETS: readonly Target[] = [
  {
    what: 'first backup: times faster than restic',
    bound: 'least',
    must: 2.3,
    aim: 3.5,
    unit: 'times',
    value: faster('restic', 'first'),
  },
  {
    what: "first backup: share of restic's processor time",
    bound: 'most',
    must: 0.5,
    unit: 'times',
    value: ratio([OURS, 'first', 'cpuMs'], ['restic', 'first', 'cpuMs']),
  },
  {
    what: 'first backup: times faster than borg',
    bound: 'least',
    must: 2,
    aim: 3,
    unit: 'times',
    value: faster('borg', 'first'),
  },
  {
    what: "first backup: share of restic's repository",
    bound: 'most',
    must: 1.05,
    unit: 'times',
    value: ratio([OURS, 'first', 'repositoryBytes'], ['restic', 'first', 'repositoryBytes']),
  },
  {
    what: 'first backup: peak memory',
    bound: 'most',
    must: 400 * MIB,
    unit: 'bytes',
    value: (figures) => figures(OURS, 'first', 'peakRssBytes'),
  },
  {
    what: "nothing changed: share of restic's time",
    bound: 'most',
    must: 0.5,
    aim: 0.25,
    unit: 'times',
    value: ratio([OURS, 'unchanged', 'wallMs'], ['restic', 'unchanged', 'wallMs']),
  },
  {
    what: "1 % of the bytes changed: share of restic's new bytes",
    bound: 'most',
    must: 1.1,
    aim: 1,
    unit: 'times',
    value: ratio([OURS, 'changed', 'storedBytes'], ['restic', 'changed', 'storedBytes']),
  },
  {
    what: 'full restore: times faster than restic',
    bound: 'least',
    must: 1.5,
    aim: 3,
    unit: 'times',
    value: faster('restic', 'restore'),
  },
  {
    what: 'delta restore: times faster than the full one',
    bound: 'least',
    must: 5,
    unit: 'times',
    value: ratio([OURS, 'restore', 'wallMs'], [OURS, 'delta', 'wallMs']),
  },
  {
    what: 'verify --data: times faster than restic check --read-data',
    bound: 'least',
    must: 1.5,
    aim: 3,
    unit: 'times',
    value: faster('restic', 'verify'),
  },
];

/** Judges every target that the samples can answer. */
export function judge(samples: readonly ScenarioSample[], targets: readonly Target[] = TARGETS): Verdict[] {
  const rounds = [...new Set(samples.map((sample) => sample.round))];
  return targets.flatMap((target) => {
    const value = target.value(figuresOf(samples));
    if (value === undefined) return [];
    const byRound = rounds.flatMap((round) => {
      const one = target.value(figuresOf(samples.filter((sample) => sample.round === round)));
      return one === undefined ? [] : [one];
    });
    const meets = (limit: number): boolean => (target.bound === 'least' ? value >= limit : value <= limit);
    const meetsAim = target.aim === undefined ? undefined : meets(target.aim);
    return [{ target, value, rounds: byRound, meetsMust: meets(target.must), meetsAim }];
  });
}

/** The medians of `samples`. */
export function figuresOf(samples: readonly ScenarioSample[]): Figures {
  return (tool, scenario, metric) => {
    const values = samples.flatMap((sample) => {
      const value = sample.tool === tool && sample.scenario === scenario ? metricOf(sample, metric) : undefined;
      return value === undefined ? [] : [value];
    });
    return values.length === 0 ? undefined : spreadOf(values).median;
  };
}

export function metricOf(sample: ScenarioSample, metric: Metric): number | undefined {
  return metric === 'cpuMs' ? sample.userMs + sample.systemMs : sample[metric];
}
