/** Whole numbers as ranges, inclusive on both ends, ascending and apart. */
export type Ranges = readonly (readonly [number, number])[];

/** Joins what overlaps or touches; the order does not matter, empty ranges are dropped. */
export function joinRanges(ranges: Ranges): Ranges {
  const joined: [number, number][] = [];
  for (const [from, to] of ranges.toSorted((left, right) => left[0] - right[0])) {
    if (to < from) continue;
    const last = joined.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}

export function inRanges(ranges: Ranges, value: number): boolean {
  return ranges.some(([from, to]) => from <= value && value <= to);
}
