import { test } from 'node:test';
import { baseChecks } from './recorder-checks/base.ts';
import type { RecorderCheck, RecorderFixture, RecorderTraits, StoredChecks } from './recorder-checks/check.ts';
import { contentChecks } from './recorder-checks/content.ts';
import { decodingChecks } from './recorder-checks/decoding.ts';
import { historyChecks } from './recorder-checks/history.ts';
import { runSeeded } from './seeded-check.ts';

export type {
  RecorderCheck,
  RecorderCheckContext,
  RecorderFixture,
  RecorderTraits,
  StoredChecks,
} from './recorder-checks/check.ts';

export type RecorderSuite = {
  /** Begins the title of each test. */
  readonly name: string;
  /** A fresh, empty store for each test. */
  open(): Promise<RecorderFixture>;
  readonly traits: RecorderTraits;
  readonly connector: StoredChecks;
  /** Repeats a run; else at random, and told when a test fails. */
  readonly seed?: number | undefined;
};

/** The contract of `Recorder` and `Base`, a promise each. Every connector runs all of them; its traits decide what is expected. */
export const recorderChecks: readonly RecorderCheck[] = [
  ...historyChecks,
  ...baseChecks,
  ...contentChecks,
  ...decodingChecks,
];

/** Opens a fresh store and holds its recorder to one promise. Rejects when it breaks it, telling the seed. */
export async function runRecorderCheck(check: RecorderCheck, suite: RecorderSuite, signal: AbortSignal): Promise<void> {
  const { traits, connector } = suite;
  await runSeeded(suite, (fixture, seed) => check.verify({ fixture, traits, connector, run: { signal }, seed }));
}

/** Registers the conformance suite with `node:test`, a test for each promise. */
export function registerRecorderSuite(suite: RecorderSuite): void {
  for (const check of recorderChecks) {
    test(`${suite.name}: ${check.title}`, (t) => runRecorderCheck(check, suite, t.signal));
  }
}
