import { TidemarkError } from './errors.ts';
import type { Position } from './position.ts';
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
    throw damaged('the log holds something else than runs of bytes');
  }
  const bytes = entry.attributes;
  return { start: Buffer.from(name.buffer, name.byteOffset, name.byteLength).readBigUInt64BE(), bytes };
}

/** Whether the runs of a log of bytes follow on each other without a hole, from a place on. */
export class ByteRuns {
  #end: bigint;

  constructor(after: Position) {
    this.#end = BigInt(after.order);
  }

  /** The next one. It may tell again what was told. @throws REPOSITORY_DAMAGED for what is no run, and where bytes before it are missing */
  take(entry: LoggedEntry): void {
    const { start, bytes } = readLogBytes(entry);
    this.#reach(start, start + BigInt(bytes.byteLength));
  }

  /** The commit that ends here. @throws REPOSITORY_DAMAGED where bytes before it are missing */
  commit({ order }: Position): void {
    this.#reach(BigInt(order), BigInt(order));
  }

  #reach(start: bigint, end: bigint): void {
    const known = this.#end;
    if (end > known) this.#end = end;
    if (start > known) throw damaged(`the log lacks what lies between ${known} and ${start}`);
  }
}

function damaged(message: string): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', message);
}
