import type { RedisOptions } from '../options.ts';
import type { ExpiryMap } from '../commands/command-filter.ts';

/**
 * When keys expire after a restore. While a log is rolled forward nothing may expire by itself, since what it holds may keep a key alive or remove it in its
 * time: what would, soon, is parked far in the future, and gets its own expiry at the end.
 */
export type ExpiryPlan = {
  /** Undefined: as it is. */
  readonly map: ExpiryMap | undefined;
  /** The final expiry of what was parked; undefined for what was not. `nowMs`: when the restore ends. */
  unpark(expiresAtMs: number, nowMs: number): number | undefined;
};

/** About 3000 years: what a field of a hash may have at most is 8900. */
const PARKED_MS = 1e14;
/** Longer than any log takes to be rolled forward. */
const SOON_MS = 24 * 3_600_000;

export type ExpiryOptions = {
  readonly policy: RedisOptions['expiry'];
  /** The moment that is restored. */
  readonly pointMs: number;
  readonly nowMs: number;
  readonly hasLog: boolean;
};

export function planExpiry({ policy, pointMs, nowMs, hasLog }: ExpiryOptions): ExpiryPlan {
  const shiftMs = shiftOf(policy, pointMs, nowMs);
  const moved: ExpiryMap = (atMs) => atMs + shiftMs;
  const parked: ExpiryMap = (atMs) => (atMs + shiftMs < nowMs + SOON_MS ? atMs + PARKED_MS : atMs + shiftMs);
  return {
    map: hasLog ? parked : shiftMs === 0 ? undefined : moved,
    unpark: (atMs, endMs) => (atMs < PARKED_MS / 2 ? undefined : atMs - PARKED_MS + shiftOf(policy, pointMs, endMs)),
  };
}

/** How much later everything expires. */
export function shiftOf(policy: RedisOptions['expiry'], pointMs: number, nowMs: number): number {
  // Clocks of two machines differ a little; a restore makes nothing expire sooner.
  return policy === 'absolute' ? 0 : Math.max(0, Math.floor(nowMs - pointMs));
}
