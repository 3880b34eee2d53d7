import { fromHex } from '../core/bytes.ts';
import { logBytes, readLogBytes } from '../core/log-bytes.ts';
import { must } from '../core/must.ts';
import type { Position } from '../core/position.ts';
import type { LoggedEntry, LoggedTransaction } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import { startedAhead } from '../flow/started-ahead.ts';
import type { RepositoryAccess } from './access.ts';
import { storedEntry } from './base-reader.ts';
import { damaged } from './format/byte-cursor.ts';
import { readFrames } from './format/frame.ts';
import { bodyKey } from './format/names.ts';
import { readPayload } from './format/log-payload.ts';
import type { StoredChange } from './format/log-payload.ts';
import { readBody } from './journal-writer.ts';
import type { SegmentRecord } from './log-view.ts';

/** Which transactions are wanted: those after `after` up to `upTo`, of segments that lead from one to the other in this order. */
export type LogRange = {
  readonly segments: readonly SegmentRecord[];
  readonly after: Position;
  readonly upTo: Position;
  /** `upTo` is the place of one of them: it is damage where the log passes it. */
  readonly stopsThere?: boolean | undefined;
  /** The log is runs of bytes: of one that reaches over an end of the range, what lies in it is wanted too. */
  readonly isBytes?: boolean | undefined;
};

/** While one body is used, so many of the next ones are on their way. */
export const BODIES_AHEAD = 4;
const BATCH = 1_024;
const BATCH_BYTES = 1024 * 1024;

/** The transactions of a range, in order, each once; `upTo` may lie between two of them unless `stopsThere`. Takes the reader's key. @throws REPOSITORY_DAMAGED, OBJECT_NOT_FOUND */
export async function* readLog(
  access: RepositoryAccess,
  range: LogRange,
  run: Run,
): AsyncGenerator<readonly LoggedTransaction[]> {
  const { segments, after, upTo } = range;
  const read = (segment: SegmentRecord): Promise<Uint8Array> => readBody(access, segment, run);
  let reached = after.order;
  let batch: LoggedTransaction[] = [];
  let batchBytes = 0;
  let isCovered = after.order === upTo.order;
  for (const { item: segment, result } of startedAhead(segments, BODIES_AHEAD, read)) {
    const place = placeOf(segment);
    for (const transaction of readSegment(access, segment, await result)) {
      const { position } = transaction.commit;
      isCovered ||= position.order >= upTo.order;
      for (const end of [after, upTo]) refuseFork(position, end, place);
      if (position.order <= reached) continue;
      const wanted = range.isBytes === true ? bytesWithin(transaction, { after: reached, upTo }) : transaction;
      if (wanted === undefined || wanted.commit.position.order > upTo.order) break;
      reached = wanted.commit.position.order;
      batch.push(wanted);
      batchBytes += bytesOf(wanted);
      if (batch.length < BATCH && batchBytes < BATCH_BYTES) continue;
      run.signal.throwIfAborted();
      yield batch;
      [batch, batchBytes] = [[], 0];
    }
  }
  if (batch.length > 0) yield batch;
  if (range.stopsThere === true && isCovered && reached !== upTo.order) {
    throw damaged(`the log of ${segments[0]?.history ?? 'a store'}`, `it does not tell of position ${upTo.resume}`);
  }
  if (!isCovered) {
    throw damaged(`the log of ${segments[0]?.history ?? 'a store'}`, `it ends before position ${upTo.resume}`);
  }
}

/** What of a transaction lies after one place and up to another; undefined where nothing does. */
function bytesWithin(
  { entries, commit }: LoggedTransaction,
  { after, upTo }: { readonly after: string; readonly upTo: Position },
): LoggedTransaction | undefined {
  const [from, to] = [BigInt(after), BigInt(upTo.order)];
  const within = entries.flatMap((entry): LoggedEntry[] => {
    const { start, bytes } = readLogBytes(entry);
    const [skipped, taken] = [Number(from - start), Number(to - start)];
    if (skipped <= 0 && taken >= bytes.byteLength) return [entry];
    const part = bytes.subarray(Math.max(0, skipped), Math.max(0, taken));
    return part.byteLength === 0 ? [] : [logBytes(start + BigInt(Math.max(0, skipped)), part)];
  });
  if (commit.position.order <= upTo.order) return { entries: within, commit };
  return within.length === 0 ? undefined : { entries: within, commit: { ...commit, position: upTo } };
}

function bytesOf({ entries }: LoggedTransaction): number {
  let bytes = 0;
  for (const entry of entries) if ('attributes' in entry) bytes += entry.attributes.byteLength;
  return bytes;
}

/** Recorders of one history may have given one order to different things. */
function refuseFork(position: Position, end: Position, what: string): void {
  if (position.order !== end.order || position.resume === end.resume) return;
  throw damaged(what, `it tells of another ${end.resume} of this history than the one that is wanted`);
}

/** The transactions of a segment whose body was read. @throws REPOSITORY_DAMAGED while pulled */
export function* readSegment(
  access: RepositoryAccess,
  segment: SegmentRecord,
  body: Uint8Array,
): Generator<LoggedTransaction> {
  const what = placeOf(segment);
  const owner = {
    repository: fromHex(access.header.id),
    credential: fromHex(segment.credential),
    history: segment.history,
  };
  const { pair } = must(access.keyring?.content, 'a reader’s key');
  let order = segment.after.order;
  let entries: LoggedEntry[] = [];
  for (const payload of readFrames(body, { owner, pair, what })) {
    const { start, pieces } = readPayload(payload, what);
    if (start.lineage !== segment.after.lineage || start.order !== order) {
      throw damaged(what, 'its frames do not follow on each other');
    }
    for (const { changes, commit } of pieces) {
      for (const change of changes) entries.push(loggedEntry(change));
      if (commit === undefined) continue;
      if (commit.position.order <= order) throw damaged(what, 'its commits do not ascend');
      order = commit.position.order;
      yield { entries, commit };
      entries = [];
    }
  }
  if (order !== segment.upTo.order || entries.length > 0) throw damaged(what, 'it does not end where it should');
}

function loggedEntry(change: StoredChange): LoggedEntry {
  return 'removed' in change ? change : storedEntry(change);
}

/** The object that holds a segment's frames. */
export function placeOf({ body, credential, key }: Pick<SegmentRecord, 'body' | 'credential' | 'key'>): string {
  return body === undefined ? key : bodyKey(credential, body);
}
