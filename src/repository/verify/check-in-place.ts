import type { Run } from '../../core/run.ts';
import type { RepositoryAccess } from '../access.ts';
import type { WriterKeys } from '../keys/keyring.ts';
import type { PackDirectory } from '../pack-directory.ts';
import type { PackCheck, PackChecker } from './pack-check.ts';
import { checkPackBytes } from './check-pack.ts';
import { requestOf } from './check-pack-request.ts';

/** Checks packs on the caller's thread, one after another. */
export function checkInPlace(access: RepositoryAccess): PackChecker {
  let room = new Uint8Array(0);
  return {
    atOnce: 1,
    async check(pack: PackDirectory, keys: WriterKeys, run: Run): Promise<PackCheck> {
      if (room.byteLength < pack.sizeBytes) room = new Uint8Array(pack.sizeBytes);
      const whole = room.subarray(0, pack.sizeBytes);
      const sizeBytes = await access.objects.read(pack.key, 0, whole, run);
      const { bad, bytes, message } = checkPackBytes(whole, requestOf(pack, keys, sizeBytes));
      return { badChunks: bad, chunks: pack.chunks.sizes.length, bytes, message };
    },
    async [Symbol.asyncDispose]() {},
  };
}
