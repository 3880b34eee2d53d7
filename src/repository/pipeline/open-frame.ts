import { zstdDecompressSync } from 'node:zlib';

/** Most frames whose size is not known hold less than this, or than so many times their own bytes. */
const USUAL_BYTES = 64 * 1024;
const USUAL_RATIO = 8;

/** What a payload's first zstd frame holds, and whether the frame is all of the payload. */
export type OpenedFrame = { readonly bytes: Buffer; readonly isWhole: boolean };

/** Opens, in one step, a frame that holds `plainBytes` or less. What comes after it is not read. Throws zlib's errors, also where it holds more. */
export function openFrame(payload: Uint8Array, plainBytes: number): OpenedFrame {
  // Node takes no less than 64. One byte more than needed, else another round only finds out that it was the end.
  return open(payload, { maxOutputLength: Math.max(1, plainBytes), chunkSize: Math.max(64, plainBytes + 1) });
}

/** As `openFrame`, for frames that are nearly always much smaller than `mostBytes`. */
export function openFrameUpTo(payload: Uint8Array, mostBytes: number): OpenedFrame {
  const usual = Math.min(mostBytes, Math.max(USUAL_BYTES, payload.byteLength * USUAL_RATIO));
  const opened = open(payload, { maxOutputLength: mostBytes, chunkSize: usual });
  // A step that is full at a frame's end goes on with what comes after it: that of more than one step has to be opened in one.
  return opened.bytes.byteLength < usual ? opened : openFrame(payload, opened.bytes.byteLength);
}

function open(
  payload: Uint8Array,
  options: { readonly maxOutputLength: number; readonly chunkSize: number },
): OpenedFrame {
  const opened: unknown = zstdDecompressSync(payload, { info: true, ...options });
  // Node's types leave out what `info` changes. `bytesWritten`: how much of the payload the frame took.
  const { buffer, engine } = opened as { readonly buffer: Buffer; readonly engine: { readonly bytesWritten: number } };
  return { bytes: buffer, isWhole: engine.bytesWritten === payload.byteLength };
}
