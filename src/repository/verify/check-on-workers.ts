import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import type { RepositoryAccess } from '../access.ts';
import type { WriterKeys } from '../keys/keyring.ts';
import { SlotPool } from '../pipeline/slots.ts';
import { createWorkerPool } from '../pipeline/worker-pool.ts';
import type { PackCheck, PackChecker } from './pack-check.ts';
import { checkInPlace } from './check-in-place.ts';
import { requestOf } from './check-pack-request.ts';
import type { PackDirectory } from '../pack-directory.ts';

/** Packs up to this size are checked on workers; larger ones, which this writer does not make, in place. */
const SLOT_BYTES = 24 * 1024 * 1024;

/** Checks packs on worker threads: this one reads, they open and compare. One pack more than there are workers is under way. */
export function checkOnWorkers(access: RepositoryAccess, workers: number): PackChecker {
  const memory = Array.from({ length: workers + 1 }, () => new SharedArrayBuffer(SLOT_BYTES));
  const slots = new SlotPool(memory.length, (index) => new Uint8Array(must(memory[index], 'every slot has memory')));
  const pool = createWorkerPool({ count: workers, setup: { read: { slots: memory } } });
  const inPlace = checkInPlace(access);
  let order = 0;
  return {
    atOnce: memory.length,
    async check(pack: PackDirectory, keys: WriterKeys, run: Run): Promise<PackCheck> {
      if (pack.sizeBytes > SLOT_BYTES) return await inPlace.check(pack, keys, run);
      const slot = await slots.acquire(run);
      try {
        const sizeBytes = await access.objects.read(pack.key, 0, slot.bytes.subarray(0, pack.sizeBytes), run);
        const request = requestOf(pack, keys, sizeBytes);
        const { bad, bytes, message } = await pool.call(
          'checkPack',
          { request: { slot: slot.index, pack: request }, order: order++ },
          run,
        );
        return { badChunks: bad, chunks: pack.chunks.sizes.length, bytes, message };
      } finally {
        slots.release(slot);
      }
    },
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  };
}
