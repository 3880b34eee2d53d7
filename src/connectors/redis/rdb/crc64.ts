import { CRC64_WASM } from './crc64-wasm.ts';

/** What this file needs of the global, for which neither the language's nor Node's types have a declaration. */
type WasmModule = { readonly module: unique symbol };
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule) => { readonly exports: Exports };
};

/** See `crc64.wat`. */
type Exports = {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly init: () => void;
  readonly update: (at: number, end: number) => void;
};

const STATE = 16_384;
export const CRC64_BYTES = 8;
const DATA = STATE + CRC64_BYTES;
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
}

let compiled: WasmModule | undefined;

export function createCrc64(): Crc64 {
  compiled ??= new WebAssembly.Module(Buffer.from(CRC64_WASM, 'base64'));
  const { exports } = new WebAssembly.Instance(compiled);
  exports.init();
  const memory = new Uint8Array(exports.memory.buffer);
  return {
    reset() {
      for (let at = STATE; at < DATA; at += 1) memory[at] = 0;
    },
    update(bytes, from = 0, to = bytes.byteLength) {
      const count = to - from;
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
      for (let index = 0; index < CRC64_BYTES; index += 1) into[at + index] = memory[STATE + index] ?? 0;
    },
  };
}
