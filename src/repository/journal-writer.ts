import { fromHex, toHex } from '../core/bytes.ts';
import { isTidemarkError } from '../core/errors.ts';
import { damaged } from './format/byte-cursor.ts';
import type { Run } from '../core/run.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import type { RepositoryAccess } from './access.ts';
import { compareStored } from './compare-stored.ts';
import { sha256 } from './format/crypto.ts';
import { MAX_BODY_BYTES, MAX_PAYLOAD_BYTES, writeFrame } from './format/frame.ts';
import { bodyKey, packKey } from './format/names.ts';
import type { Section } from './format/record.ts';
import type { WriterCredential } from './keys/credential.ts';
import type { SegmentRecord } from './log-view.ts';
import { writeJournal } from './records/journal-body.ts';
import type { JournalBody, Segment } from './records/journal-body.ts';
import type { PutRecord } from './records/session.ts';
import type { WriteLease } from './write-lease.ts';

/** Frames up to this size together lie in their record; larger ones apart, so that a look at all records need not read them. */
const INLINE_BYTES = 16 * 1024;

/** A segment with its frames, one after another. */
export type SegmentDraft = Omit<Segment, 'storedBytes' | 'body'> & { readonly frames: Uint8Array };

export type JournalDraft = Omit<JournalBody, 'segments'> & { readonly segments: readonly SegmentDraft[] };

export type JournalWriterDeps = {
  readonly access: RepositoryAccess;
  readonly credential: WriterCredential;
  readonly lease: WriteLease;
};

/** Seals a payload of a history for readers. */
export function sealFrame(
  { access, credential }: Pick<JournalWriterDeps, 'access' | 'credential'>,
  history: string,
  payload: Uint8Array,
): Uint8Array {
  if (payload.byteLength > MAX_PAYLOAD_BYTES) throw new RangeError('a payload is larger than a frame may be');
  return writeFrame({
    payload,
    owner: { repository: fromHex(access.header.id), credential: fromHex(credential.id), history },
    contentKey: access.header.contentKey,
    ephemeralSeed: access.runtime.random(32),
  });
}

/** Puts a journal record; everything in it counts when it resolves. @throws FENCED */
export async function putJournal(deps: JournalWriterDeps, draft: JournalDraft, run: Run): Promise<PutRecord> {
  const { lease, credential } = deps;
  const inlineBytes = draft.segments.reduce((sum, { frames }) => sum + frames.byteLength, 0);
  const isInline = inlineBytes <= INLINE_BYTES;
  const segments: Segment[] = [];
  const reused: string[] = [];
  for (const { frames, ...segment } of draft.segments) {
    if (frames.byteLength > MAX_BODY_BYTES) throw new RangeError('frames are larger than a segment may be');
    const body = isInline ? undefined : toHex(sha256(frames));
    if (body !== undefined && (await putBody(deps, { body, frames }, run))) reused.push(bodyKey(credential.id, body));
    segments.push({ ...segment, storedBytes: frames.byteLength, body });
  }
  const value = writeJournal({ marks: draft.marks, gaps: draft.gaps, segments });
  const sections: Section[] = [
    { name: 'maintenance', value },
    { name: 'writer', value },
  ];
  if (isInline && inlineBytes > 0) {
    sections.push({ name: 'frames', bytes: Buffer.concat(draft.segments.map(({ frames }) => frames)) });
  }
  const packs = draft.segments.flatMap((segment) => segment.packs);
  const objects = new Set([
    ...packs.map((pack) => packKey(credential.id, fromHex(pack))),
    ...draft.marks.flatMap((mark) => Object.values(mark.bases)),
    ...reused,
  ]);
  return await lease.commit('journal', sections, { objects, packFolder: `packs/${credential.id}/` }, run);
}

/**
 * Puts frames that lie apart, and compares what is there. Whether they lay there already: joined once more after an attempt that did not come to its
 * record, where a sweep may be after them.
 */
async function putBody(
  { access: { objects }, credential }: JournalWriterDeps,
  { body, frames }: { readonly body: string; readonly frames: Uint8Array },
  run: Run,
): Promise<boolean> {
  const key = bodyKey(credential.id, body);
  const isThere = await createUnlessThere(objects, key, frames, run);
  if (isThere || !objects.capabilities.provesDigest) await compareStored(objects, key, [frames], run);
  return isThere;
}

async function createUnlessThere(objects: ObjectStore, key: string, bytes: Uint8Array, run: Run): Promise<boolean> {
  try {
    await objects.create(key, [bytes], run);
    return false;
  } catch (error) {
    if (!isTidemarkError(error, 'OBJECT_EXISTS')) throw error;
    return true;
  }
}

/** The frames of a segment, as they are stored. @throws REPOSITORY_DAMAGED, OBJECT_NOT_FOUND */
export async function readBody(
  access: Pick<RepositoryAccess, 'objects'>,
  segment: SegmentRecord,
  run: Run,
): Promise<Uint8Array> {
  const { body, storedBytes, offset, key, trusted } = segment;
  if (body === undefined) {
    const section = trusted.record.sections[trusted.record.header.sections.indexOf('frames')];
    const frames = section instanceof Uint8Array ? section.subarray(offset, offset + storedBytes) : undefined;
    if (frames?.byteLength !== storedBytes) throw damaged(key, 'it does not hold the frames that it names');
    return frames;
  }
  const place = bodyKey(segment.credential, body);
  const room = Buffer.allocUnsafeSlow(storedBytes + 1);
  const frames = room.subarray(0, await access.objects.read(place, 0, room, run));
  if (frames.byteLength !== storedBytes || toHex(sha256(frames)) !== body) {
    throw damaged(place, 'it is not what its name says');
  }
  return frames;
}
