import type { ErrorCode } from '../core/error-codes.ts';
import { isTidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { viewHistories } from '../repository/catalogue.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { SegmentRecord } from '../repository/log-view.ts';
import type { RepositoryWriter } from '../repository/writer.ts';

const LOST: readonly ErrorCode[] = ['FENCED', 'OBJECT_NOT_FOUND', 'REPOSITORY_DAMAGED'];

export type PutAgainOptions = {
  /** Of the writer whose histories go on. */
  readonly credential: string;
  readonly openWriter: (run: Run) => Promise<RepositoryWriter>;
  readonly endWriter: (writer: RepositoryWriter, run: Run) => Promise<void>;
};

/**
 * What a process that records goes on from. The last record of an earlier one of the same writer may be taken back as long as that can wake again, with
 * all that was recorded behind it: so its segments are put again first, in a session of their own. What they need may be gone; then they are
 * not among what is returned.
 */
export async function putUnsureAgain(catalogue: Catalogue, options: PutAgainOptions, run: Run): Promise<Catalogue> {
  const { credential, openWriter, endWriter } = options;
  if (unsureSegments(catalogue, credential).length === 0) return catalogue;
  await using writer = await openWriter(run);
  const known = writer.catalogue;
  const lost = new Set<SegmentRecord>();
  for (const segment of unsureSegments(known, credential)) {
    if (!(await putAgain(writer, segment, run))) lost.add(segment);
  }
  await endWriter(writer, run);
  const segments = known.segments.filter((segment) => !lost.has(segment));
  return { ...known, segments, histories: viewHistories(known.bases, segments) };
}

function unsureSegments({ histories }: Catalogue, credential: string): readonly SegmentRecord[] {
  return [...histories.values()].flatMap((view) => view.unsureSegments(credential));
}

/** False where something that it needs is gone, or is about to be. */
async function putAgain(writer: RepositoryWriter, segment: SegmentRecord, run: Run): Promise<boolean> {
  const { store, history, after, upTo, fromMs, toMs, changes, packs } = segment;
  try {
    const frames = await writer.readBody(segment, run);
    const draft = { store, history, after, upTo, fromMs, toMs, changes, packs, frames };
    await writer.putJournal({ marks: [], segments: [draft], gaps: [] }, run);
    return true;
  } catch (error) {
    if (!isTidemarkError(error) || !LOST.includes(error.code)) throw error;
    return false;
  }
}
