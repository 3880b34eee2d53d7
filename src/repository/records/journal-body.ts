import type { Position } from '../../core/position.ts';
import type { Mark } from '../mark.ts';
import { toBase64 } from '../format/json.ts';
import type { Json, JsonFields } from '../format/json.ts';
import { readMark, readPacks, readPosition, readStore, writeMark, writePosition } from './bodies.ts';

/**
 * A stored piece of a log: what happened after `after` up to `upTo`, which are of one lineage. `fromMs` and `toMs`: the times of its first and last
 * commit by the store's clock.
 */
export type Segment = {
  readonly store: string;
  readonly history: string;
  readonly after: Position;
  readonly upTo: Position;
  readonly fromMs: number;
  readonly toMs: number;
  readonly changes: number;
  /** Of its frames as they are stored. */
  readonly storedBytes: number;
  /** Ids of packs with contents of its entries, as hex, ascending. */
  readonly packs: readonly string[];
  /** The SHA-256 of its frames as hex where they lie apart; else they are in the record, in the order of its segments. */
  readonly body?: string | undefined;
};

/**
 * That a history could not be followed: what happened after `after` is not in the repository. The next base begins anew. Log that goes on beyond `after` is of
 * a server that was left behind there.
 */
export type Gap = {
  readonly store: string;
  readonly history: string;
  readonly after?: Position | undefined;
  /** When the last that is known was durable, or, where log goes on, no later than what follows on `after`; and when it was noticed, by the writer's clock. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly reason: string;
};

export type JournalBody = {
  readonly marks: readonly Mark[];
  readonly segments: readonly Segment[];
  readonly gaps: readonly Gap[];
};

export function writeJournal(body: JournalBody): Json {
  return {
    marks: body.marks.map(writeMark),
    ...(body.segments.length === 0 ? {} : { segments: body.segments.map(writeSegment) }),
    ...(body.gaps.length === 0 ? {} : { gaps: body.gaps.map(writeGap) }),
  };
}

export function readJournal(fields: JsonFields): JournalBody {
  return {
    marks: fields.objects('marks').map(readMark),
    segments: fields.has('segments') ? fields.objects('segments').map(readSegment) : [],
    gaps: fields.has('gaps') ? fields.objects('gaps').map(readGap) : [],
  };
}

function writeSegment(segment: Segment): Json {
  const { store, history, fromMs, toMs, changes, storedBytes, packs, body } = segment;
  return {
    store,
    history,
    after: writePosition(segment.after),
    upTo: writePosition(segment.upTo),
    fromMs,
    toMs,
    changes,
    storedBytes,
    ...(packs.length === 0 ? {} : { packs: toBase64(Buffer.from(packs.join(''), 'hex')) }),
    ...(body === undefined ? {} : { body }),
  };
}

function readSegment(fields: JsonFields): Segment {
  return {
    store: readStore(fields),
    history: fields.text('history'),
    after: readPosition(fields.object('after')),
    upTo: readPosition(fields.object('upTo')),
    fromMs: fields.number('fromMs'),
    toMs: fields.number('toMs'),
    changes: fields.count('changes'),
    storedBytes: fields.count('storedBytes'),
    packs: fields.has('packs') ? readPacks(fields) : [],
    body: fields.has('body') ? fields.hex('body', 32) : undefined,
  };
}

function writeGap({ store, history, after, fromMs, toMs, reason }: Gap): Json {
  return { store, history, ...(after === undefined ? {} : { after: writePosition(after) }), fromMs, toMs, reason };
}

function readGap(fields: JsonFields): Gap {
  return {
    store: readStore(fields),
    history: fields.text('history'),
    after: fields.has('after') ? readPosition(fields.object('after')) : undefined,
    fromMs: fields.number('fromMs'),
    toMs: fields.number('toMs'),
    reason: fields.text('reason'),
  };
}
