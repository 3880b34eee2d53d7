import type { Run } from '../core/run.ts';
import type { ObjectInfo, ObjectStore } from '../objects/object-store.ts';
import { damaged } from './format/byte-cursor.ts';

const FIRST_READ_BYTES = 16 * 1024;

/** The whole object. @throws OBJECT_NOT_FOUND; REPOSITORY_DAMAGED when it is larger than `limitBytes` */
export async function readWhole(objects: ObjectStore, key: string, limitBytes: number, run: Run): Promise<Uint8Array> {
  let bytes = Buffer.allocUnsafe(Math.min(FIRST_READ_BYTES, limitBytes + 1));
  let size = 0;
  while (true) {
    const read = await objects.read(key, size, bytes.subarray(size), run);
    size += read;
    // What is kept of a small object must not hold on to the room that was for a larger one.
    if (size < bytes.byteLength) {
      return size * 2 < bytes.byteLength ? Buffer.from(bytes.subarray(0, size)) : bytes.subarray(0, size);
    }
    if (size > limitBytes) throw damaged(key, `it is larger than ${limitBytes} bytes`);
    const grown = Buffer.allocUnsafe(Math.min(bytes.byteLength * 8, limitBytes + 1));
    grown.set(bytes);
    bytes = grown;
  }
}

/** The whole object that a listing showed, into no more room than it said. @throws OBJECT_NOT_FOUND; REPOSITORY_DAMAGED when it is larger */
export async function readListed(objects: ObjectStore, { key, sizeBytes }: ObjectInfo, run: Run): Promise<Uint8Array> {
  const room = Buffer.allocUnsafeSlow(sizeBytes + 1);
  const size = await objects.read(key, 0, room, run);
  if (size > sizeBytes) throw damaged(key, `it is larger than its listing said: ${sizeBytes} bytes`);
  return size * 2 < room.byteLength ? Buffer.from(room.subarray(0, size)) : room.subarray(0, size);
}
