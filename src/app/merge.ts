import { planMerge } from '../archive/merge-plan.ts';
import type { MergeTier } from '../archive/merge-plan.ts';
import type { PlainMemory } from '../archive/plain-memory.ts';
import { must } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import { payloadOf } from '../repository/format/log-payload.ts';
import type { MarkRecord } from '../repository/catalogue.ts';
import type { SegmentDraft } from '../repository/journal-writer.ts';
import type { SegmentRecord } from '../repository/log-view.ts';
import type { Mark } from '../repository/mark.ts';
import type { RepositoryWriter } from '../repository/writer.ts';

/** A record that holds so many marks or more is not merged again. */
const MANY_MARKS = 100;
/** What goes into one record: its frames are in memory together until it is put. */
const RECORD_MARKS = 2_000;
const RECORD_BYTES = 64 * 1024 * 1024;

/**
 * Makes larger segments of small ones that this writer put, anew from plain bytes where it still has them, else of the frames as they are, without a
 * key; `withMarks`: fewer records of its marks as well. What was joined is spare from then on, and a sweep takes it.
 */
export async function mergeJournal(
  writer: RepositoryWriter,
  options: { readonly tier: MergeTier; readonly withMarks: boolean; readonly plain: PlainMemory },
  run: Run,
): Promise<void> {
  await writer.joinPacks(run);
  const own = await writer.ownJournal(run);
  const marks = options.withMarks ? joinMarks(own.marks) : [];
  let segments: SegmentDraft[] = [];
  let bytes = 0;
  const put = async (): Promise<void> => {
    await writer.putJournal({ marks: marks.shift() ?? [], segments, gaps: [] }, run);
    [segments, bytes] = [[], 0];
  };
  for (const group of own.runs.flatMap((all) => planMerge(all, options.tier))) {
    const joined = await joinSegments(writer, { group, plain: options.plain }, run);
    if (segments.length > 0 && bytes + joined.frames.byteLength > RECORD_BYTES) await put();
    segments.push(joined);
    bytes += joined.frames.byteLength;
  }
  while (segments.length + marks.length > 0) await put();
}

/** Of records that hold few marks, those that are to be in one together. What is alone is in one already. */
function joinMarks(own: readonly MarkRecord[]): Mark[][] {
  const joined: Mark[][] = [];
  let open: Mark[] = [];
  let records = 0;
  const close = (): void => {
    if (records > 1) joined.push(open);
    [open, records] = [[], 0];
  };
  for (const record of Map.groupBy(own, ({ key }) => key).values()) {
    if (record.length >= MANY_MARKS) continue;
    if (open.length + record.length > RECORD_MARKS) close();
    open.push(...record.map(({ mark }) => mark));
    records++;
  }
  close();
  return joined;
}

async function joinSegments(
  writer: RepositoryWriter,
  { group, plain }: { readonly group: readonly SegmentRecord[]; readonly plain: PlainMemory },
  run: Run,
): Promise<SegmentDraft> {
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
    packs: writer.packsNow(group.flatMap(({ packs }) => packs)),
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
