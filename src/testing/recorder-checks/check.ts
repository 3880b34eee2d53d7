import assert from 'node:assert/strict';
import type { Connector } from '../../core/connector.ts';
import { must } from '../../core/must.ts';
import type { Exactness, Position } from '../../core/position.ts';
import type { Base, Entry, Recorder } from '../../core/recorder.ts';
import type { BaseReader } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { createSeededRandom } from '../../flow/random.ts';
import type { SeededRandom } from '../../flow/random.ts';
import { readContent, recordInMemory } from '../tree/memory-base.ts';
import type { MemoryBase } from '../tree/memory-base.ts';

/** A fresh, empty store with one history, and an application that uses it. Dispose releases it with all that is in it. */
export interface RecorderFixture extends AsyncDisposable {
  /** Opens a recorder as a new process would. `previous`: where the newest base ended. The suite disposes it. */
  open(previous?: Position): Promise<Recorder>;
  /** Writes or replaces what the application keeps under `key` (`[a-z0-9]+`), or with undefined removes it; anyone sees it afterwards. */
  put(key: string, value: string | undefined): Promise<void>;
  /** Restores the base to a place of its own, and gives all that an application finds there under keys. */
  restored(base: BaseReader, run: Run): Promise<ReadonlyMap<string, string>>;
  /** Resolves when what was put so far will be recognized by its fingerprint. Needed where fingerprints depend on age. */
  settle?(): Promise<void>;
}

/** What a recorder must say of itself, and keep. */
export type RecorderTraits = {
  readonly exact: Exactness;
  /** Entries have fingerprints, so that what did not change is not read again. */
  readonly recognizes: boolean;
  /** Its bases are streams: entries come in the order of their arrival, each content can be read once, and what fails is not tried again. */
  readonly passesOnce?: boolean | undefined;
};

/** What its connector knows of what a recorder stores. */
export type StoredChecks = Pick<Connector<unknown>, 'checkEntry' | 'checkContents'>;

export type RecorderCheckContext = {
  readonly fixture: RecorderFixture;
  readonly traits: RecorderTraits;
  readonly connector: StoredChecks;
  readonly run: Run;
  /** Of what the check does at random. */
  readonly seed: number;
};

/** One promise of the contract. `verify` rejects when the recorder breaks it. */
export type RecorderCheck = { readonly title: string; verify(context: RecorderCheckContext): Promise<void> };

export type Model = Map<string, string>;

/** A base of all that is there, by a recorder of its own. */
export async function recordAll({ fixture, run }: RecorderCheckContext, before?: MemoryBase): Promise<MemoryBase> {
  await using recorder = await fixture.open(before?.end.cut);
  await using base = await recorder.openBase(run);
  return await recordInMemory(base, run, before);
}

/** Puts `count` random values under random keys, some of which take the place of others, and removes some. */
export async function editAtRandom(
  { fixture }: RecorderCheckContext,
  model: Model,
  { random, count }: { readonly random: SeededRandom; readonly count: number },
): Promise<void> {
  for (let edits = 0; edits < count; edits++) {
    const key = `k${random.integer(40)}`;
    if (random.chance(0.25)) {
      await fixture.put(key, undefined);
      model.delete(key);
    } else {
      const value = randomValue(random);
      await fixture.put(key, value);
      model.set(key, value);
    }
  }
}

/** All entries of a base. Of one that passes once the contents are read, so that the next ones come. */
export async function entriesOf(base: Base, { traits, run }: RecorderCheckContext): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for await (const batch of base.entries) {
    entries.push(...batch);
    if (traits.passesOnce !== true) continue;
    assert.equal(batch.length, 1, 'entries that pass once come one by one');
    for (const entry of batch) {
      const { content } = entry.describe();
      if (content !== undefined) await readContent(content, run);
    }
  }
  return entries;
}

export function randomOf({ seed }: RecorderCheckContext, label: string): SeededRandom {
  return createSeededRandom(`${seed}/${label}`);
}

/** Mostly of one length, so that only what they say tells them apart; now and then empty or long. */
export function randomValue(random: SeededRandom): string {
  if (random.chance(0.1)) return '';
  const text = Buffer.from(random.bytes(8)).toString('hex');
  return random.chance(0.1) ? text.repeat(1 + random.integer(10_000)) : text;
}

export function assertHoldsAll(found: ReadonlyMap<string, string>, expected: ReadonlyMap<string, string>): void {
  assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort(), 'the same keys');
  for (const [key, value] of expected) assert.ok(found.get(key) === value, `${key} holds what was put there`);
}

export function textOf(name: Uint8Array): string {
  return JSON.stringify(Buffer.from(name).toString('latin1'));
}

/** The one before, for lists whose neighbours are compared. */
export function before<T>(list: readonly T[], index: number): T {
  return must(list[index - 1], 'one before it');
}
