import type { Batch, Put } from './change.ts';
import type { Position } from './position.ts';
import type { Run } from './run.ts';
import type { Scope } from './source.ts';

/**
 * Where the logical history of another store is applied. `mirror` names that history: a sink keeps a checkpoint for each. Checkpoint and data move
 * in one transaction, at a commit only, so that applying twice is applying once. Calls come one after another, and while a transaction comes in parts only for
 * its mirror.
 */
export interface Sink extends AsyncDisposable {
  /** Up to where the history is applied. Undefined before the first resync has finished. */
  checkpoint(mirror: string, run: Run): Promise<Position | undefined>;
  /**
   * Applies the next batch. What a batch without a commit brings is not visible before the one that has it; a commit at or before the checkpoint has no
   * effect. @throws POSITION_LOST before the first resync, or for another lineage than the checkpoint's
   */
  apply(mirror: string, batch: Batch, run: Run): Promise<void>;
  /** Replaces what is in the scope by a snapshot at `cut`. */
  beginResync(mirror: string, scope: Scope, cut: Position, run: Run): Promise<Resync>;
}

/** Nothing of it is visible before `finish`, and without that nothing ever is. */
export interface Resync extends AsyncDisposable {
  put(puts: readonly Put[], run: Run): Promise<void>;
  /** What was not put is removed, and the checkpoint is the cut. */
  finish(run: Run): Promise<void>;
}
