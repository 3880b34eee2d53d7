import { TidemarkError, isTidemarkError } from '../core/errors.ts';
import type { SpoolEntry, SpoolRecord } from '../io/spool-record.ts';
import { encodeJson, JsonFields } from '../repository/format/json.ts';
import { readPosition, writePosition } from '../repository/records/bodies.ts';
import type { LogBlock } from './log-queue.ts';

/** A block as the spool keeps it: what is said of it is the label, its pieces are the body. */
export function writeBlock({ pieces, after, upTo, fromMs, toMs, changes }: LogBlock): SpoolEntry {
  const label = encodeJson({ after: writePosition(after), upTo: writePosition(upTo), fromMs, toMs, changes });
  return { label, body: [pieces] };
}

/** @throws POSITION_LOST when it is not a block */
export function readBlock({ label, body, sequence }: SpoolRecord): LogBlock {
  try {
    const fields = JsonFields.parse(label, `record ${sequence} of the spool`);
    return {
      after: readPosition(fields.object('after')),
      upTo: readPosition(fields.object('upTo')),
      fromMs: fields.number('fromMs'),
      toMs: fields.number('toMs'),
      changes: fields.count('changes'),
      packs: [],
      pieces: body,
    };
  } catch (error) {
    if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
    throw new TidemarkError('POSITION_LOST', error.message, { disposition: 'resync', cause: error });
  }
}
