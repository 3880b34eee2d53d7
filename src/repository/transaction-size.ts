import { TidemarkError } from '../core/errors.ts';
import { writeSize } from '../core/units.ts';

/** The most that one commit of a log, or one observation, may change: it is held whole by whoever records it and whoever reads it. */
const MOST_BYTES = 64 * 1024 * 1024;

/** @throws POSITION_LOST where so much at once can’t be recorded as changes: a base has to begin anew */
export function assertRecordable(sizeBytes: number): void {
  if (sizeBytes <= MOST_BYTES) return;
  throw new TidemarkError('POSITION_LOST', `more than ${writeSize(MOST_BYTES)} changed at once`, {
    disposition: 'resync',
  });
}
