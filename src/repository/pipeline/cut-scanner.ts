import { moveBytes } from '../../core/bytes.ts';
import { wasmInstances } from '../../core/wasm.ts';
import { CUT_SCAN_WASM } from './cut-scan.ts';

/**
 * Rolls a hash over bytes: `hash = hash * 2 + gear[byte]`, modulo 2^32, so that it depends on the last 32 bytes only.
 * It goes on over calls until `reset`.
 */
export interface Scanner {
  reset(): void;
  /** The first place in `[start, end)` after whose byte the hash has none of the mask's bits, or -1. */
  scan(bytes: Uint8Array, start: number, end: number, mask: number): number;
}

/** The same as the one in WebAssembly, about half as fast. */
export function createScriptScanner(gear: Uint32Array): Scanner {
  const table = Int32Array.from(gear);
  let hash = 0;
  return {
    reset() {
      hash = 0;
    },
    scan(bytes, start, end, mask) {
      let at = start;
      for (; at < end; at += 1) {
        hash = ((hash << 1) + (table[bytes[at] ?? 0] ?? 0)) | 0;
        if ((hash & mask) === 0) return at;
      }
      return -1;
    },
  };
}

/** See `cut-scan.wat`. */
type ScanExports = {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly hash: { readonly value: number };
  readonly scan: (at: number, end: number, mask: number, hash: number) => number;
};

const GEAR_BYTES = 1024;
/** Small enough that what is copied is still in the processor's cache when it is scanned. */
const PIECE_BYTES = 128 * 1024;

const instances = wasmInstances<ScanExports>(CUT_SCAN_WASM);

/** Undefined where the machine has no WebAssembly. */
export function createWasmScanner(gear: Uint32Array): Scanner | undefined {
  const exports = instances();
  if (exports === undefined) return undefined;
  const memory = new Uint8Array(exports.memory.buffer);
  new Uint32Array(exports.memory.buffer, 0, gear.length).set(gear);
  const data = memory.subarray(GEAR_BYTES);
  let hash = 0;
  return {
    reset() {
      hash = 0;
    },
    scan(bytes, start, end, mask) {
      for (let at = start; at < end; at += PIECE_BYTES) {
        const pieceEnd = Math.min(end, at + PIECE_BYTES);
        moveBytes(bytes.subarray(at, pieceEnd), data);
        const found = exports.scan(GEAR_BYTES, GEAR_BYTES + pieceEnd - at, mask, hash);
        hash = exports.hash.value;
        if (found >= 0) return at + found - GEAR_BYTES;
      }
      return -1;
    },
  };
}

/**
 * The fastest that this machine has, made at the first scan: most contents are too small for one. All find the same
 * places.
 */
export function createScanner(gear: Uint32Array): Scanner {
  let scanner: Scanner | undefined;
  return {
    reset: () => scanner?.reset(),
    scan(bytes, start, end, mask) {
      scanner ??= createWasmScanner(gear) ?? createScriptScanner(gear);
      return scanner.scan(bytes, start, end, mask);
    },
  };
}
