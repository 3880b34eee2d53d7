import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ObjectStoreCapabilities } from '../objects/object-store.ts';
import type { CheckContext, ObjectStoreCheck, ObjectStoreFixture } from './object-store-checks/check.ts';
import { createChecks } from './object-store-checks/create.ts';
import { listChecks } from './object-store-checks/list.ts';
import { modelChecks } from './object-store-checks/model.ts';
import { readChecks } from './object-store-checks/read.ts';
import { runSeeded } from './seeded-check.ts';

export type { CheckContext, ObjectStoreCheck, ObjectStoreFixture } from './object-store-checks/check.ts';

export type ObjectStoreSuite = {
  /** Begins the title of each test. */
  readonly name: string;
  /** A fresh, empty store for each test. */
  open(): Promise<ObjectStoreFixture>;
  /** What the store must say of itself, and keep. */
  readonly capabilities: ObjectStoreCapabilities;
  /** Repeats a run; else at random, and told when a test fails. */
  readonly seed?: number | undefined;
};

async function saysItsCapabilities({ store, capabilities }: CheckContext): Promise<void> {
  assert.deepEqual(store.capabilities, capabilities);
  assert.ok(store.url.length > 0, 'it says where it is');
}

/** The contract of `ObjectStore`, a promise each. Every implementation runs all of them; its capabilities decide what is expected. */
export const objectStoreChecks: readonly ObjectStoreCheck[] = [
  { title: 'the store has the capabilities that it is registered with', verify: saysItsCapabilities },
  ...createChecks,
  ...readChecks,
  ...listChecks,
  ...modelChecks,
];

/** Opens a fresh store and holds it to one promise. Rejects when it breaks it, telling the seed. */
export async function runObjectStoreCheck(
  check: ObjectStoreCheck,
  suite: ObjectStoreSuite,
  signal: AbortSignal,
): Promise<void> {
  const { capabilities } = suite;
  await runSeeded(suite, (fixture, seed) =>
    check.verify({ fixture, store: fixture.store, capabilities, run: { signal }, seed }),
  );
}

/** Registers the conformance suite with `node:test`, a test for each promise. */
export function registerObjectStoreSuite(suite: ObjectStoreSuite): void {
  for (const check of objectStoreChecks) {
    test(`${suite.name}: ${check.title}`, (t) => runObjectStoreCheck(check, suite, t.signal));
  }
}
