import { test } from 'node:test';
import type { ObservationCheck, ObservationFixture } from './observation-checks/check.ts';
import { observationChecks } from './observation-checks/observations.ts';
import type { StoredChecks } from './recorder-checks/check.ts';
import { runSeeded } from './seeded-check.ts';

export type { ObservationCheck, ObservationCheckContext, ObservationFixture } from './observation-checks/check.ts';
export { observationChecks } from './observation-checks/observations.ts';

export type ObservationSuite = {
  /** Begins the title of each test. */
  readonly name: string;
  /** A fresh, empty store for each test. */
  open(): Promise<ObservationFixture>;
  readonly connector: StoredChecks;
  /** Repeats a run; else at random, and told when a test fails. */
  readonly seed?: number | undefined;
};

/** Opens a fresh store and holds its observations to one promise. Rejects when they break it, telling the seed. */
export async function runObservationCheck(
  check: ObservationCheck,
  suite: ObservationSuite,
  signal: AbortSignal,
): Promise<void> {
  const { connector } = suite;
  await runSeeded(suite, (fixture, seed) => check.verify({ fixture, connector, run: { signal }, seed }));
}

/** Registers the conformance suite of `Recorder.openObservations` with `node:test`, a test for each promise. */
export function registerObservationSuite(suite: ObservationSuite): void {
  for (const check of observationChecks) {
    test(`${suite.name}: ${check.title}`, (t) => runObservationCheck(check, suite, t.signal));
  }
}
