import { TidemarkError } from './errors.ts';
import type { LoggedChange } from './recorder.ts';
import type { LoggedEntry } from './restorer.ts';

const NAME_BYTES = 8;

/** Of a log that is bytes which only its engine understands: a run of them, as a change whose name is where it begins, big-endian, and whose attributes they are. */
export function logBytes(start: bigint, bytes: Uint8Array): LoggedChange {
  const name = Buffer.alloc(NAME_BYTES);
  name.writeBigUInt64BE(start);
  return { name, attributes: bytes };
}

/** What `logBytes` made a change of. @throws REPOSITORY_DAMAGED for what it did not */
export function readLogBytes(entry: LoggedEntry): { readonly start: bigint; readonly bytes: Uint8Array } {
  const { name } = entry;
  if ('removed' in entry || name.byteLength !== NAME_BYTES) {
    throw new TidemarkError('REPOSITORY_DAMAGED', 'the log holds something else than runs of bytes');
  }
  const bytes = entry.attributes;
  return { start: Buffer.from(name.buffer, name.byteOffset, name.byteLength).readBigUInt64BE(), bytes };
}
