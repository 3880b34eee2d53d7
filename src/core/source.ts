import { compareBytes, startsWithBytes } from './bytes.ts';
import type { Batch, Put } from './change.ts';
import type { Exactness, Lineage, Position } from './position.ts';
import type { Run } from './run.ts';

/** Which part of a store: keys that begin with one of these. `['']` is all of it. */
export type Scope = { readonly prefixes: readonly Uint8Array[] };

/** What a source can say of a change besides key and value, and whether its transactions come whole. */
export type SourceCapabilities = {
  readonly previous: boolean;
  readonly created: boolean;
  readonly atomic: boolean;
};

/** All that is in the scope at `cut`, which is known before the first batch is read. Keys ascend by space, then bytes. One pass. */
export interface Snapshot extends AsyncIterable<readonly Put[]>, AsyncDisposable {
  readonly cut: Position;
}

/**
 * Changes without end, in commit order, some batches at a time. Pull-based, one pass: what is not read holds the store back, or is lost to compaction
 * some day. Where nothing happens a heartbeat comes about once a second. Abort the run, then dispose. @throws POSITION_LOST while iterating: resync.
 */
export interface Feed extends AsyncIterable<readonly Batch[]>, AsyncDisposable {
  /** Monotonic and cheap: everything up to here is durable downstream. */
  acknowledge(durable: Position): void;
}

/** Logical history of a store. */
export interface Source extends AsyncDisposable {
  readonly capabilities: SourceCapabilities;
  readonly exact: Exactness;
  /** As of when the source was opened. */
  readonly lineage: Lineage;
  /** Covers all that anyone could see before this call began. */
  head(run: Run): Promise<Position>;
  openSnapshot(scope: Scope, run: Run): Promise<Snapshot>;
  /** Everything after the position, exactly once. @throws POSITION_LOST where that is not there any more, or is of another lineage */
  openFeed(scope: Scope, after: Position, run: Run): Promise<Feed>;
}

/** The whole store. */
export const EVERYTHING: Scope = { prefixes: [new Uint8Array(0)] };

export function isInScope({ prefixes }: Scope, key: Uint8Array): boolean {
  return prefixes.some((prefix) => startsWithBytes(key, prefix));
}

/** The prefixes ascending, without those that lie in another one: each key of the scope begins with exactly one of them. */
export function disjointPrefixes({ prefixes }: Scope): readonly Uint8Array[] {
  const disjoint: Uint8Array[] = [];
  for (const prefix of prefixes.toSorted(compareBytes)) {
    const last = disjoint.at(-1);
    if (last === undefined || !startsWithBytes(prefix, last)) disjoint.push(prefix);
  }
  return disjoint;
}
