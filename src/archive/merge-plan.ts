import { isSamePlace } from '../core/position.ts';
import type { SegmentRecord } from '../repository/log-view.ts';

/** Segments that are to become one, in order. */
export type MergeGroup = readonly SegmentRecord[];

export type MergeTier = 'minutes' | 'hour';

const MINUTE_MS = 60_000;
/** What spans so much is not merged again within its tier. */
const TIER_MS: Readonly<Record<MergeTier, number>> = { minutes: 4 * MINUTE_MS, hour: 50 * MINUTE_MS };
/** A segment is read whole: it gets no larger by merging. */
const MOST_BYTES = 32 * 1024 * 1024;
const LEAST_SEGMENTS = 2;

/**
 * Which segments of a history are to be joined: neighbours without a break that each span less than the tier's time and fit into one together.
 * `segments`: of one writer and lineage, those of a run in order, none within another.
 */
export function planMerge(segments: readonly SegmentRecord[], tier: MergeTier): readonly MergeGroup[] {
  const groups: MergeGroup[] = [];
  let group: SegmentRecord[] = [];
  let bytes = 0;
  const close = (): void => {
    if (group.length >= LEAST_SEGMENTS) groups.push(group);
    [group, bytes] = [[], 0];
  };
  for (const segment of segments) {
    const isSmall = segment.toMs - segment.fromMs < TIER_MS[tier] && segment.storedBytes < MOST_BYTES;
    const last = group.at(-1);
    const follows = last === undefined || isSamePlace(last.upTo, segment.after);
    if (!isSmall || !follows || bytes + segment.storedBytes > MOST_BYTES) close();
    if (!isSmall) continue;
    group.push(segment);
    bytes += segment.storedBytes;
  }
  close();
  return groups;
}
