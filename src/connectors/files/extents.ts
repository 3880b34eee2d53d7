import { closeSync, constants, openSync } from 'node:fs';
import type { Extent } from '../../core/recorder.ts';
import { dataExtents } from '../../io/native-file.ts';
import { systemPath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';

/** Bounds the attributes of one file to some tens of kilobytes. With more runs the smallest holes are stored as zeros. */
const MOST_RUNS = 4_096;

/**
 * The runs of data of a file of `sizeBytes`, or undefined when it has no holes. A file that is one hole has none.
 * @throws what the system says; the file may have become something else, which is neither followed nor waited for.
 */
export function runsOfData(path: ByteText, sizeBytes: number): readonly Extent[] | undefined {
  const file = openSync(systemPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const runs = dataExtents(file, sizeBytes);
    const [first] = runs;
    if (runs.length === 1 && first?.offset === 0 && first.sizeBytes === sizeBytes) return undefined;
    return fewerRuns(runs, MOST_RUNS);
  } finally {
    closeSync(file);
  }
}

/** At most `most` runs that hold all of `runs`: those with the smallest holes between them are joined. */
export function fewerRuns(runs: readonly Extent[], most: number): readonly Extent[] {
  if (runs.length <= most) return runs;
  const gaps = runs.slice(1).map((run, index) => run.offset - endOf(runs[index] ?? run));
  const ranked = gaps.toSorted((left, right) => right - left);
  let atThreshold = most - 1;
  const threshold = ranked[most - 2] ?? Number.POSITIVE_INFINITY;
  for (const gap of gaps) if (gap > threshold) atThreshold--;
  const joined: Extent[] = [];
  for (const [index, run] of runs.entries()) {
    const gap = gaps[index - 1] ?? 0;
    const last = joined.at(-1);
    const apart = gap > threshold || (gap === threshold && atThreshold-- > 0);
    if (last === undefined || apart) joined.push(run);
    else joined[joined.length - 1] = { offset: last.offset, sizeBytes: endOf(run) - last.offset };
  }
  return joined;
}

function endOf(run: Extent): number {
  return run.offset + run.sizeBytes;
}
