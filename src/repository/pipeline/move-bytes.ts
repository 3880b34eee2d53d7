/**
 * Copies all of `from` to the start of `to`; they may overlap. Where memory is shared between threads `set` and `copyWithin` take up to
 * twenty times as long.
 */
export function moveBytes(from: Uint8Array, to: Uint8Array): void {
  asBuffer(from).copy(asBuffer(to));
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
