import { own } from '../core/own.ts';
import { comparePositions } from '../core/position.ts';
import type { Position } from '../core/position.ts';

/** An application-wide moment. `missing` names the stores of a partial mark; a mark without is complete. */
export type Mark = {
  readonly id: string;
  readonly name?: string | undefined;
  readonly tags: readonly string[];
  readonly class: 'clock' | 'sealed';
  readonly atMs: number;
  readonly skewMs: number;
  /** By history. */
  readonly positions: Readonly<Record<string, Position>>;
  /** By history: the key of the manifest whose cut is the position. Of other histories the position is reached by their log. */
  readonly bases: Readonly<Record<string, string>>;
  /**
   * By history that others refer to: where it stood before they were read. What was removed since stays in a restore, so that nothing they name is
   * missing.
   */
  readonly floors?: Readonly<Record<string, Position>> | undefined;
  readonly missing: readonly string[];
};

export type MarkState = 'complete' | 'partial';

export function markState(mark: Mark): MarkState {
  return mark.missing.length === 0 ? 'complete' : 'partial';
}

/** Whether a mark stands further on than another: in a history of both, and in none of them less far. No clock says so. */
function isFurther(left: Mark, right: Mark): boolean {
  const orders = Object.entries(left.positions).flatMap(([history, position]) => {
    const other = own(right.positions, history);
    return other === undefined ? [] : [comparePositions(position, other) ?? 0];
  });
  return orders.some((order) => order > 0) && orders.every((order) => order >= 0);
}

/** Of marks that ascend by time the newest: the last one, unless by their positions another came after it, since clocks are set back now and then. */
export function newestMark<Record extends { readonly mark: Mark }>(marks: readonly Record[]): Record | undefined {
  let newest = marks.at(-1);
  for (const one of marks) if (newest !== undefined && isFurther(one.mark, newest.mark)) newest = one;
  return newest;
}

/** The id of a mark taken at `atMs`: its time to the second in UTC, and eight random hex digits, so that nobody can take an id before it is given. `random`: 4 bytes. */
export function newMarkId(atMs: number, random: Uint8Array): string {
  const [date = '', time = ''] = new Date(atMs).toISOString().split('T');
  const suffix = Buffer.from(random.subarray(0, 4)).toString('hex');
  return `${date.replaceAll('-', '')}-${time.slice(0, 8).replaceAll(':', '')}-${suffix}`;
}
