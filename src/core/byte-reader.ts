import type { ByteReader } from './recorder.ts';

/** Reads what is in memory, from its start. */
export function readerOf(bytes: Uint8Array): ByteReader {
  let at = 0;
  return {
    async read(into) {
      const piece = bytes.subarray(at, at + into.byteLength);
      into.set(piece);
      at += piece.byteLength;
      return piece.byteLength;
    },
    async [Symbol.asyncDispose]() {},
  };
}
