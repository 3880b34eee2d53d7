import { moveBytes } from '../../../core/bytes.ts';
import { must } from '../../../core/must.ts';
import { wasmInstances } from '../../../core/wasm.ts';
import { CRC32C_WASM } from './crc32c-wasm.ts';

/** See `crc32c.wat`. */
type Exports = {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly init: () => void;
  readonly update: (end: number) => void;
};

const STATE = 8_192;
const DATA = 16_384;
/** So much is collected before it is taken in: what is left of it for the tables is a small part then. */
const ROOM_BYTES = 128 * 1024;

/** The checksum of PostgreSQL's backup manifests: CRC-32 with Castagnoli's polynomial (RFC 3720, B.4). */
export interface Crc32c {
  /** Begins anew. */
  reset(): void;
  update(bytes: Uint8Array): void;
  /** Of all that was taken in since the beginning; more may follow. */
  digest(): number;
}

const instances = wasmInstances<Exports>(CRC32C_WASM);

export function createCrc32c(): Crc32c {
  const exports = must(instances(), 'WebAssembly');
  exports.init();
  const memory = new Uint8Array(exports.memory.buffer);
  const state = new DataView(exports.memory.buffer);
  let filled = 0;
  const takeIn = (): void => {
    if (filled > 0) exports.update(DATA + filled);
    filled = 0;
  };
  const reset = (): void => {
    filled = 0;
    state.setInt32(STATE, -1, true);
  };
  reset();
  return {
    reset,
    update(bytes) {
      for (let at = 0; at < bytes.byteLength; ) {
        const piece = bytes.subarray(at, at + ROOM_BYTES - filled);
        moveBytes(piece, memory.subarray(DATA + filled));
        at += piece.byteLength;
        filled += piece.byteLength;
        if (filled === ROOM_BYTES) takeIn();
      }
    },
    digest() {
      takeIn();
      return ~state.getInt32(STATE, true) >>> 0;
    },
  };
}
