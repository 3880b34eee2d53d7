import { test } from 'node:test';
import { runSeeded } from './seeded-check.ts';
import type { SourceCheck, SourceFixture, SourceTraits } from './source-checks/check.ts';
import { feedChecks } from './source-checks/feeds.ts';
import { snapshotChecks } from './source-checks/snapshots.ts';

export type { SourceCheck, SourceCheckContext, SourceFixture, SourceTraits, Write } from './source-checks/check.ts';

export type SourceSuite = {
  /** Begins the title of each test. */
  readonly name: string;
  /** A fresh, empty store for each test. */
  open(): Promise<SourceFixture>;
  readonly traits: SourceTraits;
  /** Repeats a run; else at random, and told when a test fails. */
  readonly seed?: number | undefined;
};

/** The contract of `Source`, `Snapshot` and `Feed`, a promise each. Every connector with a source runs all of them; its traits decide what is expected. */
export const sourceChecks: readonly SourceCheck[] = [...snapshotChecks, ...feedChecks];

/** Opens a fresh store and holds its source to one promise. Rejects when it breaks it, telling the seed. */
export async function runSourceCheck(check: SourceCheck, suite: SourceSuite, signal: AbortSignal): Promise<void> {
  await runSeeded(suite, (fixture, seed) => check.verify({ fixture, traits: suite.traits, run: { signal }, seed }));
}

/** Registers the conformance suite with `node:test`, a test for each promise. */
export function registerSourceSuite(suite: SourceSuite): void {
  for (const check of sourceChecks) {
    test(`${suite.name}: ${check.title}`, (t) => runSourceCheck(check, suite, t.signal));
  }
}
