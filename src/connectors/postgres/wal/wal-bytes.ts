import { TidemarkError } from '../../../core/errors.ts';
import { readLogBytes } from '../../../core/log-bytes.ts';
import type { LogReader } from '../../../core/restorer.ts';
import type { Run } from '../../../core/run.ts';
import { must } from '../../../core/must.ts';
import { formatLsn, placeOf } from '../lsn.ts';

/** A run of a server's log, which one timeline wrote. */
export type WalBytes = { readonly timeline: number; readonly start: bigint; readonly bytes: Uint8Array };

/**
 * The bytes of a stored log up to `end`, in order and without a hole. What came before the base's log, in the transaction in which that
 * begins, comes too.
 * @throws REPOSITORY_DAMAGED when bytes are missing, also at the end
 */
export async function* walBytes(log: LogReader, end: bigint, run: Run): AsyncGenerator<WalBytes> {
  let next: bigint | undefined;
  for await (const batch of log.read(run)) {
    for (const { entries, commit } of batch) {
      const { timeline } = must(placeOf(commit.position), 'a place in the log of a PostgreSQL server');
      for (const entry of entries) {
        const { start, bytes } = readLogBytes(entry);
        if (next !== undefined && start !== next) throw hole(next, start);
        next = start + BigInt(bytes.byteLength);
        if (start >= end) continue;
        const wanted = next <= end ? bytes : bytes.subarray(0, Number(end - start));
        if (wanted.byteLength > 0) yield { timeline, start, bytes: wanted };
      }
    }
  }
  if (next === undefined || next < end) throw hole(next ?? 0n, end);
}

function hole(from: bigint, to: bigint): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', `the log from ${formatLsn(from)} to ${formatLsn(to)} is missing`);
}
