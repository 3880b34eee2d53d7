import { must } from '../../../core/must.ts';
import { orderOf } from '../../../core/position.ts';
import type { Position } from '../../../core/position.ts';
import type { ReplicationInfo } from './replication-info.ts';

/** A place in the stream of a replication id: all bytes up to and with `offset`. */
export type StreamPlace = { readonly replId: string; readonly offset: bigint };

const RESUME = /^([0-9a-f]{40}):(\d{1,19})$/;

/** Undefined for what is no position of this connector. */
export function parseResume(resume: string): StreamPlace | undefined {
  const [, replId, offset] = RESUME.exec(resume) ?? [];
  return replId === undefined || offset === undefined ? undefined : { replId, offset: BigInt(offset) };
}

/** The place that a position of this connector names. @throws BugError for another one's */
export function placeOf({ resume }: Position): StreamPlace {
  return must(parseResume(resume), 'a position of a Redis server');
}

/** Whether the place lies in the history of a server that says this of itself: then what follows it there follows on what came before it. */
export function isInHistory({ replId, offset }: StreamPlace, info: ReplicationInfo): boolean {
  if (replId === info.replId) return offset <= info.offset;
  return replId === info.replId2 && offset < info.secondOffset && offset <= info.offset;
}

/** Whether the server can send what follows the place. */
export function isInBacklog({ offset }: StreamPlace, { backlog }: ReplicationInfo): boolean {
  return backlog !== undefined && offset + 1n >= backlog.firstOffset;
}

/**
 * The positions of a lineage at a server that says `info` of itself. An offset belongs to the id under which its byte was made: what `known` names keeps
 * its id, what follows up to the switch has the second one, and the rest the present one.
 */
export function positionAt(
  offset: bigint,
  {
    lineage,
    info,
    known,
  }: { readonly lineage: string; readonly info: ReplicationInfo; readonly known?: StreamPlace | undefined },
): Position {
  return positionOf(lineage, { replId: idAt(offset, info, known), offset });
}

export function positionOf(lineage: string, { replId, offset }: StreamPlace): Position {
  return { lineage, order: orderOf(offset), resume: `${replId}:${offset}` };
}

/** Under which id the byte at an offset was made. */
export function idAt(offset: bigint, info: ReplicationInfo, known: StreamPlace | undefined): string {
  if (known !== undefined && offset <= known.offset) return known.replId;
  return offset < info.secondOffset ? info.replId2 : info.replId;
}

/** The last place up to which a server has what led to `place`, where it left that before. */
export function partedAt(place: StreamPlace, info: ReplicationInfo): StreamPlace | undefined {
  const offset = info.secondOffset - 1n;
  return place.replId === info.replId2 && offset < place.offset ? { replId: place.replId, offset } : undefined;
}

/** Why the server can't go on from a place, as a clause. */
export function whyLost(place: StreamPlace, info: ReplicationInfo): string {
  if (isInHistory(place, info)) {
    if (info.backlog === undefined) return 'the server keeps none of its changes';
    return `the server keeps only its last changes (repl-backlog-size ${info.backlog.sizeBytes}), and these go back to ${info.backlog.firstOffset}, not to ${place.offset}`;
  }
  if (place.replId === info.replId) return 'the server has gone back to an earlier state';
  if (place.replId === info.replId2) {
    return `the server became master at ${info.secondOffset - 1n}, before it had received what was recorded up to ${place.offset}`;
  }
  return 'the server began a new history: it was restarted without what it had last, restored, or is another one';
}
