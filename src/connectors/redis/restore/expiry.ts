import type { RedisOptions } from '../options.ts';
import type { MovedExpiry } from '../commands/command-filter.ts';

/**
 * When keys, and fields of hashes, expire after a restore. While a log is rolled forward nothing may expire by itself, since what it holds may keep it alive or
 * remove it in its time: all is parked, later by always the same, so that conditions such as GT come out as they did; at the end each gets its own expiry.
 */
export type ExpiryPlan = {
  /** Undefined: as it is. */
  readonly moved: MovedExpiry | undefined;
  /** The final expiry of what was parked; undefined for what was not. `nowMs`: when the restore ends. */
  readonly unpark: (expiresAtMs: number, nowMs: number) => number | undefined;
};

/** About 300 years, of the 2200 that a field of a hash may have. */
const PARKED_MS = 1e13;

export type ExpiryOptions = {
  readonly policy: RedisOptions['expiry'];
  /** The moment that is restored. */
  readonly pointMs: number;
  readonly nowMs: number;
  readonly hasLog: boolean;
};

export function planExpiry({ policy, pointMs, nowMs, hasLog }: ExpiryOptions): ExpiryPlan {
  return {
    moved: hasLog ? parked : movedBy(shiftOf(policy, pointMs, nowMs)),
    unpark: (atMs, endMs) => (atMs < PARKED_MS ? undefined : atMs - PARKED_MS + shiftOf(policy, pointMs, endMs)),
  };
}

/** Nothing may expire while a log is rolled forward. */
export const parked: MovedExpiry = moveBy(PARKED_MS);

/** What was parked, with its own expiry, so much later than it was. */
export function unparkedBy(shiftMs: number): MovedExpiry {
  return moveBy(shiftMs - PARKED_MS);
}

/** Undefined: as it is. */
export function movedBy(shiftMs: number): MovedExpiry | undefined {
  return shiftMs === 0 ? undefined : moveBy(shiftMs);
}

/** Keys that expire later than anyone can mean do it a little sooner, as what follows is to be exact. */
function moveBy(shiftMs: number): MovedExpiry {
  return { map: (atMs) => Math.min(atMs + shiftMs, Number.MAX_SAFE_INTEGER), fieldShiftMs: shiftMs };
}

/** How much later everything expires. */
export function shiftOf(policy: RedisOptions['expiry'], pointMs: number, nowMs: number): number {
  // Clocks of two machines differ a little; a restore makes nothing expire sooner.
  return policy === 'absolute' ? 0 : Math.max(0, Math.floor(nowMs - pointMs));
}
