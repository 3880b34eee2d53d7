import { must } from '../../src/core/must.ts';

/** Median and range of some samples. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly samples: number;
}

/** @throws BugError when `values` is empty. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const upper = must(sorted[middle], 'a sample');
  const lower = must(sorted[sorted.length % 2 === 1 ? middle : middle - 1], 'a sample');
  return {
    median: (lower + upper) / 2,
    min: must(sorted[0], 'a sample'),
    max: must(sorted.at(-1), 'a sample'),
    samples: sorted.length,
  };
}

/** The smallest sample that at least `share` of the samples do not exceed. */
export function quantileOf(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return must(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)], 'a sample');
}

/**
 * The order of turn `turn`: the list turned by one more place each time, and backwards every time it has come round, so
 * that each item comes first, last and after each other one equally often.
 */
export function orderOfTurn<T>(items: readonly T[], turn: number): T[] {
  const by = turn % Math.max(1, items.length);
  const turned = [...items.slice(by), ...items.slice(0, by)];
  return Math.floor(turn / Math.max(1, items.length)) % 2 === 1 ? turned.reverse() : turned;
}
