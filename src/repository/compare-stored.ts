import { release } from '../core/bytes.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { ObjectStore } from '../objects/object-store.ts';

const READ_BACK_BYTES = 1024 * 1024;

/** Reads an object back and compares every byte, and that none follows. @throws REPOSITORY_DAMAGED, OBJECT_NOT_FOUND */
export async function compareStored(
  objects: ObjectStore,
  key: string,
  parts: readonly Uint8Array[],
  run: Run,
): Promise<void> {
  const piece = Buffer.allocUnsafeSlow(READ_BACK_BYTES + 1);
  let leftBytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let offset = 0;
  for (const part of parts) {
    for (let at = 0; at < part.byteLength; ) {
      const want = Math.min(READ_BACK_BYTES, part.byteLength - at);
      leftBytes -= want;
      // One byte more at the end, which must not be there.
      const read = await objects.read(key, offset, piece.subarray(0, leftBytes === 0 ? want + 1 : want), run);
      if (read !== want || Buffer.compare(piece.subarray(0, want), part.subarray(at, at + want)) !== 0) {
        throw new TidemarkError('REPOSITORY_DAMAGED', `${key} does not read back as it was written`, {
          hint: `Check the storage below ${objects.url}.`,
        });
      }
      at += want;
      offset += want;
    }
  }
  release(piece);
}
