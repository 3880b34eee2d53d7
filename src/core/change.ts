import type { Position } from './position.ts';

/** `space`: a table, or one of several databases; '' where there is only one. */
export type Key = { readonly space: string; readonly bytes: Uint8Array };

/**
 * One change of logical history: keys and values that fit in memory. `previous`: the value before it, where the source knows; `created`: there
 * was none. `expiresAtMs`: wall time after which the key is gone, which is a delete of its own in the history.
 */
export type Change =
  | {
      readonly op: 'put';
      readonly key: Key;
      readonly value: Uint8Array;
      readonly previous?: Uint8Array | undefined;
      readonly created?: boolean | undefined;
      readonly expiresAtMs?: number | undefined;
    }
  | { readonly op: 'delete'; readonly key: Key; readonly previous?: Uint8Array | undefined };

export type Put = Extract<Change, { readonly op: 'put' }>;

/** A place at which everything before it is there, and when that was by the store's clock. */
export type Commit = { readonly position: Position; readonly atMs: number };

/** A run of changes in commit order. `commit` only on the batch that ends a transaction, or alone as a heartbeat: the only place to checkpoint. */
export type Batch = { readonly changes: readonly Change[]; readonly commit?: Commit | undefined };
