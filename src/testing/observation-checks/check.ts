import assert from 'node:assert/strict';
import { compareBytes } from '../../core/bytes.ts';
import { must } from '../../core/must.ts';
import { comparePositions } from '../../core/position.ts';
import type { Position } from '../../core/position.ts';
import type { Base, Observation, ObservationLog, Recorder } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import { before, textOf } from '../recorder-checks/check.ts';
import type { RecorderFixture, StoredChecks } from '../recorder-checks/check.ts';
import { observeInMemory, overlaid, recordInMemory } from '../tree/memory-base.ts';
import type { MemoryBase, MemoryObservation } from '../tree/memory-base.ts';

/** A store that is observed. Recorders that `open` gives keep their state where the next one finds it; one is open at a time. */
export interface ObservationFixture extends RecorderFixture {
  /** Takes away what this host keeps of the store, while no recorder is open. */
  forget(): Promise<void>;
}

export type ObservationCheckContext = {
  readonly fixture: ObservationFixture;
  readonly connector: StoredChecks;
  readonly run: Run;
  /** Of what the check does at random. */
  readonly seed: number;
};

/** One promise of the contract. `verify` rejects when the log breaks it. */
export type ObservationCheck = { readonly title: string; verify(context: ObservationCheckContext): Promise<void> };

export async function openLog(recorder: Recorder, after: Position, run: Run): Promise<ObservationLog> {
  return await must(recorder.openObservations, 'a recorder that observes').call(recorder, after, run);
}

/** A recorder with its observations, and what a repository would hold: a base, overlaid with what was told since. */
export class Observed implements AsyncDisposable {
  readonly recorder: Recorder;
  readonly log: ObservationLog;
  readonly told: MemoryObservation[] = [];
  base: MemoryBase;
  readonly #run: Run;

  constructor(recorder: Recorder, log: ObservationLog, base: MemoryBase, run: Run) {
    this.recorder = recorder;
    this.log = log;
    this.base = base;
    this.#run = run;
  }

  /** Looks, and takes over what is told. False when nothing is. */
  async observe(): Promise<boolean> {
    await using observation = await this.log.observe(this.#run);
    if (observation === undefined) return false;
    const told = await observeInMemory(observation, this.#run, this.base);
    const order = comparePositions(this.base.end.cut, told.changes.end.cut);
    assert.ok(order !== undefined && order < 0, 'positions go on in one lineage');
    assertOrdered(told, observation);
    this.told.push(told);
    this.base = overlaid(this.base, told);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log[Symbol.asyncDispose]();
    await this.recorder[Symbol.asyncDispose]();
  }
}

/** From a new base on, or from where `held` ended. */
export async function openObserved({ fixture, run }: ObservationCheckContext, held?: MemoryBase): Promise<Observed> {
  await using stack = new AsyncDisposableStack();
  const recorder = stack.use(await fixture.open(held?.end.cut));
  const base = held ?? (await recordWhole(recorder, run));
  const log = await openLog(recorder, base.end.cut, run);
  stack.move();
  return new Observed(recorder, log, base, run);
}

export async function recordWhole(
  recorder: Recorder,
  run: Run,
  wrap = (base: Base): Base => base,
): Promise<MemoryBase> {
  await using base = await recorder.openBase(run);
  return await recordInMemory(wrap(base), run);
}

function assertOrdered({ changes, removed }: MemoryObservation, { removed: again }: Observation): void {
  assert.deepEqual(again, removed, 'what is removed stays so');
  const names = changes.all.map(({ name }) => name);
  for (const list of [names, removed]) {
    for (const [index, name] of list.entries()) {
      if (index > 0) assert.ok(compareBytes(before(list, index), name) < 0, `${textOf(name)} in order`);
    }
  }
  const there = new Set(names.map(textOf));
  for (const name of removed) assert.ok(!there.has(textOf(name)), `${textOf(name)} is there or removed`);
}
