import type { TimelineStoreResult, WindowResult } from './results.ts';

/**
 * To which moments a store can be restored: from each run of log's first base to its end, and at bases that no log follows. What a log holds
 * before its first base is of no use. Takes and gives ascending by time.
 */
export function restorableWindows({
  bases,
  logs,
}: Pick<TimelineStoreResult, 'bases' | 'logs'>): readonly WindowResult[] {
  const windows: WindowResult[] = [];
  const followed = new Set<string>();
  for (const { from, to } of logs) {
    const within = bases.filter(({ at }) => from <= at && at <= to);
    for (const { id } of within) followed.add(id);
    const [first] = within;
    if (first !== undefined) windows.push({ from: first.at, to });
  }
  for (const { id, at } of bases) if (!followed.has(id)) windows.push({ from: at, to: at });
  return windows.toSorted((left, right) => Date.parse(left.from) - Date.parse(right.from));
}
