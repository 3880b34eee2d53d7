import { CRC64_BYTES } from './crc64.ts';
import { moveFieldTimes } from './field-times.ts';
import { payloadOf } from './restore-writer.ts';
import { hasFieldTimes, isOfVersion } from './value-skipper.ts';

const VERSION_BYTES = 2;
const LEAST_BYTES = 1 + VERSION_BYTES + CRC64_BYTES;

/** What DUMP answered for a hash whose fields expire, with their expiries moved; undefined for what has none. */
export function movePayload(payload: Uint8Array, shiftMs: number): Uint8Array | undefined {
  const type = payload[0] ?? 0;
  if (shiftMs === 0 || payload.byteLength < LEAST_BYTES || !hasFieldTimes(type)) return undefined;
  const end = payload.byteLength - CRC64_BYTES - VERSION_BYTES;
  const version = (payload[end] ?? 0) | ((payload[end + 1] ?? 0) << 8);
  if (!isOfVersion(type, version)) return undefined;
  return payloadOf({ type, value: moveFieldTimes(type, payload.subarray(1, end), shiftMs) }, version);
}
