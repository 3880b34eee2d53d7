import { constants, zstdCompressSync } from 'node:zlib';
import { release } from '../../core/bytes.ts';

const LEVEL = 1;
/** Below this share of its size a compressed block is worth the work to open it. */
const WORTH = 0.97;
/** From here on looking at samples first is far cheaper than compressing for nothing. */
const SAMPLED_FROM_BYTES = 256 * 1024;
const SAMPLE_COUNT = 4;
const SAMPLE_BYTES = 16 * 1024;
const COUNTED_BYTES = 1024;
/** How much more often than in random bytes two of them have to be equal for a surely compressible block. */
const UNEVEN = 1.1;

/**
 * One zstd frame, or undefined where it does not pay: then `plain` is stored as it is. The same for the same bytes.
 * The result's memory is its own: `release` gives it back at once.
 */
export function compress(plain: Uint8Array): Buffer<ArrayBuffer> | undefined {
  if (plain.byteLength >= SAMPLED_FROM_BYTES && !isUneven(plain) && !samplesPay(plain)) return undefined;
  return compressIfWorth(plain);
}

/** True when some bytes are so frequent that it compresses for sure. False says nothing: patterns may repeat. */
function isUneven(plain: Uint8Array): boolean {
  const counts = new Uint16Array(256);
  for (const sample of samples(plain, COUNTED_BYTES)) {
    for (const byte of sample) counts[byte] = (counts[byte] ?? 0) + 1;
  }
  const total = SAMPLE_COUNT * COUNTED_BYTES;
  let pairs = 0;
  for (const count of counts) pairs += count * (count - 1);
  return pairs > (UNEVEN * total * (total - 1)) / counts.length;
}

/** Media and archives look alike all over; what is mixed has a compressible sample among the few. */
function samplesPay(plain: Uint8Array): boolean {
  return samples(plain, SAMPLE_BYTES).some((sample) => {
    const frame = compressIfWorth(sample);
    if (frame !== undefined) release(frame);
    return frame !== undefined;
  });
}

function samples(plain: Uint8Array, sizeBytes: number): Uint8Array[] {
  const stride = Math.floor((plain.byteLength - sizeBytes) / (SAMPLE_COUNT - 1));
  return Array.from({ length: SAMPLE_COUNT }, (_, index) => plain.subarray(index * stride, index * stride + sizeBytes));
}

function compressIfWorth(plain: Uint8Array): Buffer<ArrayBuffer> | undefined {
  const frame = zstdCompressSync(plain, {
    params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
    chunkSize: largestFrameBytes(plain.byteLength),
  });
  if (frame.byteLength < plain.byteLength * WORTH) return frame;
  release(frame);
  return undefined;
}

/** With room for the worst case zstd works in one step and without a copy. */
function largestFrameBytes(plainBytes: number): number {
  return plainBytes + (plainBytes >> 8) + 256;
}
