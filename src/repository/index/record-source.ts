import type { Run } from '../../core/run.ts';

/**
 * Records in ascending order, a window at a time: `count` of them from `offset` in `view`, one after another except
 * where a page ends. `pack` is translated by `packOf`.
 */
export interface RecordSource {
  readonly view: DataView;
  /** Where the current record is. Only while there is one. */
  readonly offset: number;
  /** Moves on inside the window; false at its end. */
  advance(): boolean;
  /** The next window; false at the end of all. */
  fill(run: Run): Promise<boolean>;
  /** The number in the pack table of the current record's pack. */
  packNumber(): number;
}
