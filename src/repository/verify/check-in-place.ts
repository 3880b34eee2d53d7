import type { Run } from '../../core/run.ts';
import { must } from '../../core/must.ts';
import type { RepositoryAccess } from '../access.ts';
import type { WriterKeys } from '../keys/keyring.ts';
import type { PackDirectory } from '../pack-directory.ts';
import type { PackCheck, PackChecker } from './pack-check.ts';
import { checkPackBytes } from './check-pack.ts';
import { requestOf } from './check-pack-request.ts';

/** Checks packs on the caller's thread, one after another. */
export function checkInPlace(access: RepositoryAccess): PackChecker {
  return {
    atOnce: 1,
    async check(pack: PackDirectory, keys: WriterKeys, run: Run): Promise<PackCheck> {
      const whole = new Uint8Array(pack.sizeBytes);
      const sizeBytes = await access.objects.read(pack.key, 0, whole, run);
      const { bad, bytes, message } = checkPackBytes(whole, requestOf(pack, keys, sizeBytes));
      const ids = pack.blocks.flatMap(({ chunks }) => chunks.map(({ id }) => id));
      return {
        badChunks: bad.map((index) => must(ids[index], 'a bad chunk has an id')),
        chunks: ids.length,
        bytes,
        message,
      };
    },
    async [Symbol.asyncDispose]() {},
  };
}
