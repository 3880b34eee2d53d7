import assert from 'node:assert/strict';
import type { Batch, Change } from '../../core/change.ts';
import { must } from '../../core/must.ts';
import { comparePositions } from '../../core/position.ts';
import type { Exactness, Position } from '../../core/position.ts';
import type { Run } from '../../core/run.ts';
import { EVERYTHING } from '../../core/source.ts';
import type { Scope, Source } from '../../core/source.ts';
import { createSeededRandom } from '../../flow/random.ts';
import type { SeededRandom } from '../../flow/random.ts';

/** What an application writes: undefined removes. Keys are `[a-z0-9/]+`. */
export type Write = readonly [key: string, value: string | undefined];

/** A fresh, empty store with one history, and an application that uses it. Dispose releases it with all that is in it. */
export interface SourceFixture extends AsyncDisposable {
  /** Opens a source as a new process would. The suite disposes it. */
  open(): Promise<Source>;
  /** Makes the writes, visible together; anyone sees them afterwards. */
  write(writes: readonly Write[]): Promise<void>;
  /** Forgets all changes so far. Absent where the store never does. */
  compact?(): Promise<void>;
}

/** What a source must say of itself, and keep. */
export type SourceTraits = {
  readonly exact: Exactness;
  readonly previous: boolean;
  readonly created: boolean;
  readonly atomic: boolean;
};

export type SourceCheckContext = {
  readonly fixture: SourceFixture;
  readonly traits: SourceTraits;
  readonly run: Run;
  /** Of what the check does at random. */
  readonly seed: number;
};

/** One promise of the contract. `verify` rejects when the source breaks it. */
export type SourceCheck = { readonly title: string; verify(context: SourceCheckContext): Promise<void> };

export type Model = Map<string, string>;

export function randomOf({ seed }: SourceCheckContext, label: string): SeededRandom {
  return createSeededRandom(`${seed}/${label}`);
}

/** Some writes, now and then several at once, to few keys so that they meet again. */
export async function writeAtRandom(
  { fixture, traits }: SourceCheckContext,
  model: Model,
  { random, count }: { readonly random: SeededRandom; readonly count: number },
): Promise<void> {
  for (let made = 0; made < count; made++) {
    const size = traits.atomic && random.chance(0.3) ? 1 + random.integer(4) : 1;
    const writes = Array.from({ length: size }, (): Write => {
      const key = `${random.chance(0.5) ? 'a' : 'b'}/${random.integer(12)}`;
      return [key, random.chance(0.25) ? undefined : Buffer.from(random.bytes(6)).toString('hex')];
    });
    await fixture.write(writes);
    applyWrites(model, writes);
  }
}

export function applyWrites(model: Model, writes: readonly Write[]): void {
  for (const [key, value] of writes) {
    if (value === undefined) model.delete(key);
    else model.set(key, value);
  }
}

export function applyChanges(model: Model, changes: readonly Change[]): void {
  for (const change of changes) {
    const key = Buffer.from(change.key.bytes).toString();
    if (change.op === 'put') model.set(key, Buffer.from(change.value).toString());
    else model.delete(key);
  }
}

export function scopeOf(...prefixes: readonly string[]): Scope {
  return { prefixes: prefixes.map((prefix) => Buffer.from(prefix)) };
}

/** All that a snapshot holds, and its cut. */
export async function snapshotOf(
  source: Source,
  run: Run,
  scope: Scope = EVERYTHING,
): Promise<{ readonly cut: Position; readonly model: Model }> {
  await using snapshot = await source.openSnapshot(scope, run);
  const model: Model = new Map();
  for await (const puts of snapshot) applyChanges(model, puts);
  return { cut: snapshot.cut, model };
}

/** The batches after a position until one commits `upTo` or more. */
export async function batchesUpTo(
  source: Source,
  range: { readonly after: Position; readonly upTo: Position; readonly scope?: Scope | undefined },
  run: Run,
): Promise<readonly Batch[]> {
  const { after, upTo, scope = EVERYTHING } = range;
  const found: Batch[] = [];
  await using feed = await source.openFeed(scope, after, run);
  for await (const batches of feed) {
    for (const batch of batches) {
      found.push(batch);
      if (batch.commit !== undefined && isAtLeast(batch.commit.position, upTo)) return found;
    }
  }
  throw new Error('a feed ended by itself');
}

export function isAtLeast(position: Position, other: Position): boolean {
  return must(comparePositions(position, other), 'positions of one lineage') >= 0;
}

/** Transactions: the changes up to each commit. */
export function transactionsOf(batches: readonly Batch[]): readonly (readonly Change[])[] {
  const transactions: Change[][] = [];
  let open: Change[] = [];
  for (const { changes, commit } of batches) {
    open.push(...changes);
    if (commit === undefined) continue;
    if (open.length > 0) transactions.push(open);
    open = [];
  }
  assert.equal(open.length, 0, 'the last batch has a commit');
  return transactions;
}

/** One change as a line of text. */
export function told(change: Change): string {
  const key = Buffer.from(change.key.bytes).toString();
  return change.op === 'put' ? `${key} = ${Buffer.from(change.value).toString()}` : `${key} is gone`;
}
