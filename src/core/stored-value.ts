import { TidemarkError } from './errors.ts';

/**
 * How a value of logical history is stored as an entry of a base: its name is the key, and its attributes are these bytes.
 *
 * flags u8 (1: it expires, 2: the value is here) || expiresAtMs u64 where it expires || the value where it is here
 *
 * A value that is not here is the entry's content. What is small is here, so that a base of many small values has few chunks.
 */
export type StoredValue = { readonly expiresAtMs?: number | undefined; readonly inline?: Uint8Array | undefined };

/** Values up to this size are kept in the attributes. */
export const INLINE_VALUE_BYTES = 4 * 1024;

const EXPIRES = 1;
const INLINE = 2;

export function encodeStoredValue({ expiresAtMs, inline }: StoredValue): Uint8Array {
  const flags = (expiresAtMs === undefined ? 0 : EXPIRES) | (inline === undefined ? 0 : INLINE);
  const expiry = Buffer.alloc(expiresAtMs === undefined ? 0 : 8);
  if (expiresAtMs !== undefined) expiry.writeBigUInt64LE(BigInt(Math.max(0, Math.floor(expiresAtMs))));
  return Buffer.concat([Buffer.of(flags), expiry, inline ?? new Uint8Array(0)]);
}

/** @throws REPOSITORY_DAMAGED */
export function decodeStoredValue(attributes: Uint8Array): StoredValue {
  const bytes = Buffer.from(attributes.buffer, attributes.byteOffset, attributes.byteLength);
  const flags = bytes[0] ?? 0xff;
  const valueAt = 1 + (flags & EXPIRES ? 8 : 0);
  const isInline = (flags & INLINE) !== 0;
  if (flags > (EXPIRES | INLINE) || bytes.byteLength < valueAt || (!isInline && bytes.byteLength > valueAt)) {
    throw new TidemarkError('REPOSITORY_DAMAGED', 'the description of a stored value is damaged');
  }
  return {
    ...(flags & EXPIRES ? { expiresAtMs: Number(bytes.readBigUInt64LE(1)) } : {}),
    ...(isInline ? { inline: bytes.subarray(valueAt) } : {}),
  };
}
