import { planMerge } from '../archive/merge-plan.ts';
import type { MergeTier } from '../archive/merge-plan.ts';
import type { PlainMemory } from '../archive/plain-memory.ts';
import { must } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import { payloadOf } from '../repository/format/log-payload.ts';
import type { SegmentRecord } from '../repository/log-view.ts';
import type { RepositoryWriter } from '../repository/writer.ts';

/** A record that holds so many marks or more is not merged again. */
const MANY_MARKS = 100;

/**
 * Makes larger segments of small ones that this writer put, anew from plain bytes where it still has them, else of the frames as they are, without a
 * key; `withMarks`: one record of its marks as well. What was joined is spare from then on, and a sweep takes it.
 */
export async function mergeJournal(
  writer: RepositoryWriter,
  options: { readonly tier: MergeTier; readonly withMarks: boolean; readonly plain: PlainMemory },
  run: Run,
): Promise<void> {
  const own = await writer.ownJournal(run);
  const groups = own.runs.flatMap((segments) => planMerge(segments, options.tier));
  const segments = [];
  for (const group of groups) segments.push(await joinSegments(writer, { group, plain: options.plain }, run));
  const perRecord = Map.groupBy(own.marks, ({ key }) => key);
  const marks = options.withMarks
    ? [...perRecord.values()].filter((records) => records.length < MANY_MARKS).flat()
    : [];
  if (segments.length + marks.length < 2 && segments.length === 0) return;
  await writer.putJournal({ marks: marks.map(({ mark }) => mark), segments, gaps: [] }, run);
}

async function joinSegments(
  writer: RepositoryWriter,
  { group, plain }: { readonly group: readonly SegmentRecord[]; readonly plain: PlainMemory },
  run: Run,
) {
  const first = must(group[0], 'a segment to join');
  const last = must(group.at(-1), 'a segment to join');
  const { store, history, after, fromMs } = first;
  return {
    store,
    history,
    after,
    upTo: last.upTo,
    fromMs,
    toMs: last.toMs,
    changes: group.reduce((sum, { changes }) => sum + changes, 0),
    packs: [...new Set(group.flatMap(({ packs }) => packs))].toSorted(),
    frames: sealAnew(writer, group, plain) ?? (await inARow(writer, group, run)),
  };
}

/** One frame of all, where all of their plain bytes are in memory. */
function sealAnew(
  writer: RepositoryWriter,
  group: readonly SegmentRecord[],
  plain: PlainMemory,
): Uint8Array | undefined {
  const pieces = group.flatMap((segment) => plain.find(segment) ?? []);
  const { history, after } = must(group[0], 'a segment to join');
  return pieces.length < group.length ? undefined : writer.sealFrame(history, payloadOf(after, pieces));
}

async function inARow(writer: RepositoryWriter, group: readonly SegmentRecord[], run: Run): Promise<Uint8Array> {
  const frames: Uint8Array[] = [];
  for (const segment of group) frames.push(await writer.readBody(segment, run));
  return Buffer.concat(frames);
}
