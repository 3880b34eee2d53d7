/** How many numbers of a column one time takes. */
export const TIME_CELLS = 2;

const CELL_BITS = 64n;

/**
 * Puts a time in nanoseconds into a column, exactly: files have times of 64 bits of seconds, which as nanoseconds exceed
 * one number of the column.
 */
export function putTime(column: BigInt64Array, at: number, timeNs: bigint): void {
  column[at] = BigInt.asIntN(64, timeNs);
  column[at + 1] = timeNs >> CELL_BITS;
}

/** What `putTime` put there. */
export function timeAt(column: BigInt64Array, at: number): bigint {
  return ((column[at + 1] ?? 0n) << CELL_BITS) | BigInt.asUintN(64, column[at] ?? 0n);
}
