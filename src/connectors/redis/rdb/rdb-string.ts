import { TidemarkError } from '../../../core/errors.ts';
import { takeLength } from './value-skipper.ts';

const LZF = 3;
const NOTHING = new Uint8Array(0);
/** What a string may have in Redis. */
const MOST_BYTES = 2 ** 29;
/** Three bytes stand for 264 at most. */
const MOST_GROWTH = 88;

/** Its bytes, and where it ended. What was stored as it is, is a view. */
export type TakenString = { readonly bytes: Uint8Array; readonly next: number };

/** Reads a string of an RDB. Undefined when it goes on behind `end`. @throws REPOSITORY_DAMAGED */
export function takeString(bytes: Uint8Array, at: number, end: number): TakenString | undefined {
  const length = { value: 0, encoding: -1 };
  const next = takeLength({ bytes, at, end }, length);
  if (next < 0) return undefined;
  const { value, encoding } = length;
  if (encoding < 0) {
    if (value > end - next) return undefined;
    return { bytes: bytes.subarray(next, next + value), next: next + value };
  }
  if (encoding === LZF) return takeCompressed(bytes, next, end);
  if (encoding > LZF) throw damaged(`a string in an encoding that does not exist (${encoding})`);
  const size = 1 << encoding;
  if (end - next < size) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + next, size);
  const number = size === 1 ? view.getInt8(0) : size === 2 ? view.getInt16(0, true) : view.getInt32(0, true);
  return { bytes: Buffer.from(String(number)), next: next + size };
}

function takeCompressed(bytes: Uint8Array, at: number, end: number): TakenString | undefined {
  const compressed = { value: 0, encoding: -1 };
  const whole = { value: 0, encoding: -1 };
  const behind = takeLength({ bytes, at, end }, compressed);
  const from = behind < 0 ? -1 : takeLength({ bytes, at: behind, end }, whole);
  if (from < 0 || compressed.value > end - from) return undefined;
  const next = from + compressed.value;
  return { bytes: expand(bytes.subarray(from, next), whole.value), next };
}

/** LZF: runs of bytes as they are, and copies of what came before. */
function expand(from: Uint8Array, sizeBytes: number): Uint8Array {
  if (sizeBytes > Math.min(MOST_BYTES, from.byteLength * MOST_GROWTH)) throw damaged('a string that is too long');
  if (sizeBytes === 0) return NOTHING;
  const into = new Uint8Array(sizeBytes);
  let filled = 0;
  for (let at = 0; at < from.byteLength; ) {
    const control = from[at++] ?? 0;
    if (control < 0x20) {
      const run = from.subarray(at, at + control + 1);
      if (run.byteLength !== control + 1 || run.byteLength > sizeBytes - filled) {
        throw damaged('a compressed string that is cut off');
      }
      into.set(run, filled);
      at += run.byteLength;
      filled += run.byteLength;
      continue;
    }
    let count = control >> 5;
    if (count === 7) count += from[at++] ?? 0;
    count += 2;
    let source = filled - 1 - (((control & 0x1f) << 8) | (from[at++] ?? 0));
    if (source < 0 || count > sizeBytes - filled) throw damaged('a compressed string that leads outside of itself');
    // What is copied may overlap what it is copied to, and then repeats.
    for (; count > 0; count -= 1) into[filled++] = into[source++] ?? 0;
  }
  if (filled !== sizeBytes) throw damaged('a compressed string that ends too early');
  return into;
}

function damaged(what: string): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', `the RDB holds ${what}`);
}
