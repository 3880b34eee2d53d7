import { must } from '../../../core/must.ts';
import { wasmInstances } from '../../../core/wasm.ts';
import { CRC64_WASM } from './crc64-wasm.ts';

/** See `crc64.wat`. */
type Exports = {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly init: () => void;
  readonly update: (at: number, end: number) => void;
  readonly mark: (type: number) => void;
  readonly payload: (count: number, version: number) => void;
};

const STATE = 16_384;
const PAYLOAD = 16_400;
const DATA = 57_800;
export const CRC64_BYTES = 8;
const PAGE_BYTES = 64 * 1024;
/** As the module begins; behind them lies what `room` gives. */
const ROOM = 3 * PAGE_BYTES;
/** Small enough that what is copied is still in the processor's cache when it is read. */
const PIECE_BYTES = 128 * 1024;

/** Up to here a loop is faster than to have it copied. */
const FEW_BYTES = 64;

/** The checksum that Redis puts behind an RDB and behind what DUMP answers: CRC-64 with Jones' polynomial, from 0. */
export interface Crc64 {
  reset(): void;
  /** Takes in the bytes from `from` to `to`, exclusively; all of them unless given. */
  update(bytes: Uint8Array, from?: number, to?: number): void;
  /** Puts the checksum so far, little-endian, at a place. */
  write(into: Uint8Array, at: number): void;
  /**
   * A buffer of which bytes are taken in without being copied. It takes the place of the one that was given before, whose content it begins with and which
   * can't be used any more. Never smaller.
   */
  room(sizeBytes: number): Uint8Array;
  /** A value of a type follows. */
  mark(type: number): void;
  /** The checksum of a RESTORE payload of the value that was taken in since it was marked, of so many bytes. It costs the same for any size. */
  payload(sizeBytes: number, version: number): Uint8Array;
}

const instances = wasmInstances<Exports>(CRC64_WASM);

export function createCrc64(): Crc64 {
  const exports = must(instances(), 'WebAssembly');
  exports.init();
  let memory = new Uint8Array(exports.memory.buffer);
  const write = (from: number, into: Uint8Array, at: number): void => {
    for (let index = 0; index < CRC64_BYTES; index += 1) into[at + index] = memory[from + index] ?? 0;
  };
  return {
    reset() {
      memory.fill(0, STATE, STATE + CRC64_BYTES);
    },
    update(bytes, from = 0, to = bytes.byteLength) {
      const count = to - from;
      if (bytes.buffer === memory.buffer) {
        exports.update(bytes.byteOffset + from, bytes.byteOffset + to);
        return;
      }
      if (count <= FEW_BYTES) {
        for (let index = 0; index < count; index += 1) memory[DATA + index] = bytes[from + index] ?? 0;
        exports.update(DATA, DATA + count);
        return;
      }
      for (let at = from; at < to; at += PIECE_BYTES) {
        const piece = bytes.subarray(at, Math.min(at + PIECE_BYTES, to));
        memory.set(piece, DATA);
        exports.update(DATA, DATA + piece.byteLength);
      }
    },
    write(into, at) {
      write(STATE, into, at);
    },
    room(sizeBytes) {
      const pages = Math.ceil((ROOM + sizeBytes - memory.byteLength) / PAGE_BYTES);
      if (pages > 0) exports.memory.grow(pages);
      memory = new Uint8Array(exports.memory.buffer);
      return memory.subarray(ROOM, ROOM + sizeBytes);
    },
    mark: exports.mark,
    payload(sizeBytes, version) {
      exports.payload(sizeBytes, version);
      const checksum = new Uint8Array(CRC64_BYTES);
      write(PAYLOAD, checksum, 0);
      return checksum;
    },
  };
}
