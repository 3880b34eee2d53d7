import { parseLsn } from '../lsn.ts';
import type { WalPlace } from '../lsn.ts';
import { formatHistory, historyName } from '../wal/history.ts';

/** A timeline that was left, and where. */
type Left = { readonly timeline: number; readonly switchLsn: bigint };

/** The way from timeline to timeline that led to a server's own one. */
export type Timelines = {
  readonly current: number;
  /** In the order in which they were left. */
  readonly left: readonly Left[];
};

/** Reads a history file, as `TIMELINE_HISTORY` sends it. Undefined when it holds what no server writes. */
export function parseTimelines(current: number, history: string): Timelines | undefined {
  const left: Left[] = [];
  for (const line of history.split('\n')) {
    const written = line.trim();
    if (written === '' || written.startsWith('#')) continue;
    const match = /^([0-9]+)\s+(\S+)/.exec(written);
    const switchLsn = parseLsn(match?.[2] ?? '');
    if (switchLsn === undefined) return undefined;
    left.push({ timeline: Number(match?.[1]), switchLsn });
  }
  return { current, left };
}

/** The timeline that wrote what lies before a place: a point of switching belongs to the older one. */
export function timelineBefore({ current, left }: Timelines, lsn: bigint): number {
  return left.find(({ switchLsn }) => lsn <= switchLsn)?.timeline ?? current;
}

/** The timeline that writes what comes after a place. */
export function timelineAfter({ current, left }: Timelines, lsn: bigint): number {
  return left.find(({ switchLsn }) => lsn < switchLsn)?.timeline ?? current;
}

/** Whether what led to a place is part of a server's history too. */
export function isOnTheWay(timelines: Timelines, { timeline, lsn }: WalPlace): boolean {
  return timelineBefore(timelines, lsn) === timeline;
}

/** Where a server left the timeline of a place, before it came to that; undefined where it did not, or nothing is known of it. */
export function partedAt({ left }: Timelines, { timeline, lsn }: WalPlace): WalPlace | undefined {
  const switched = left.find((one) => one.timeline === timeline);
  return switched === undefined || switched.switchLsn >= lsn ? undefined : { timeline, lsn: switched.switchLsn };
}

/** The file in a data directory that says how a server came to its timeline; undefined where that is the first one, or nothing is known of it. */
export function historyFileOf({
  current,
  left,
}: Timelines): { readonly name: string; readonly bytes: Uint8Array } | undefined {
  if (left.length === 0) return undefined;
  const switches = left.map(({ timeline, switchLsn }) => ({ from: timeline, at: switchLsn }));
  return { name: `pg_wal/${historyName(current)}`, bytes: formatHistory(switches) };
}
