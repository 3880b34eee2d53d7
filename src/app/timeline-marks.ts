import type { MarkResult, TogetherResult } from './results.ts';

/** More can't be told apart in a picture, and nobody reads more. */
const MOST_MARKS = 1_000;

/** Of marks that ascend by time those that are worth listing: with a name, pinned or sealed, and else one of each short stretch of time. */
export function thinned(marks: readonly MarkResult[], most = MOST_MARKS): readonly MarkResult[] {
  if (marks.length <= most) return marks;
  const times = marks.map(({ at }) => Date.parse(at));
  const fromMs = times[0] ?? 0;
  const lengthMs = (times.at(-1) ?? 0) - fromMs;
  const cells = new Map<number, MarkResult>();
  for (const [index, mark] of marks.entries()) {
    const cell = Math.floor((((times[index] ?? 0) - fromMs) / Math.max(lengthMs, 1)) * (most - 1));
    if (mark.state === 'complete' || cells.get(cell)?.state !== 'complete') cells.set(cell, mark);
  }
  const kept = new Set(cells.values());
  return marks.filter((mark) => kept.has(mark) || mark.name !== undefined || mark.pinned || mark.class === 'sealed');
}

/** To which moments of a time all stores can be restored together. `marks` ascend by time; `to` is where the time ends. */
export function togetherOf(marks: readonly MarkResult[], to: string): TogetherResult | undefined {
  const complete = marks.filter(({ state }) => state === 'complete');
  const [first] = complete;
  const last = complete.at(-1);
  if (first === undefined || last === undefined) return undefined;
  const skews = complete.flatMap((mark) => (mark.class === 'clock' ? [mark.skewMs] : []));
  return {
    marks: complete.length,
    first,
    last,
    longestPause: longestPause([...complete.map(({ at }) => at), to]),
    ...(skews.length === 0 ? {} : { mostSkewMs: skews.reduce((most, skewMs) => Math.max(most, skewMs), 0) }),
  };
}

function longestPause(times: readonly string[]): TogetherResult['longestPause'] {
  let longest = { from: times[0] ?? '', durationMs: 0 };
  for (const [index, at] of times.entries()) {
    const from = times[index - 1] ?? at;
    const durationMs = Date.parse(at) - Date.parse(from);
    if (durationMs > longest.durationMs) longest = { from, durationMs };
  }
  return longest;
}
