import { isTidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { listSlotKeys, MAX_SLOT_BYTES } from '../keys/find-keyring.ts';
import { readSlot } from '../keys/slot.ts';
import type { RepositoryAccess } from '../access.ts';
import { isDamage } from '../format/byte-cursor.ts';
import { fetchIndexObject, listIndexObjects } from '../index/object-listing.ts';
import { readWhole } from '../read-whole.ts';
import type { DamageList } from './damage.ts';
import type { WriterCheck } from './writer-check.ts';

/** Key slots that can't be read: their passphrases open nothing any more. */
export async function addKeyDamage({ objects }: RepositoryAccess, damage: DamageList, run: Run): Promise<void> {
  for await (const key of listSlotKeys(objects, run)) {
    try {
      readSlot(await readWhole(objects, key, MAX_SLOT_BYTES, run), key);
    } catch (error) {
      if (isTidemarkError(error, 'OBJECT_NOT_FOUND')) continue;
      if (!(error instanceof Error) || !(isDamage(error) || isTidemarkError(error, 'REPOSITORY_NEWER'))) throw error;
      damage.add({ object: key, kind: 'key', message: error.message });
    }
  }
}

/** Index objects that can't be read. They are hints, so this is no damage; but what holds them loses bits. */
export async function* badIndexObjects(
  { objects }: RepositoryAccess,
  writer: WriterCheck,
  run: Run,
): AsyncGenerator<string> {
  for (const object of await listIndexObjects(objects, writer.credential, run)) {
    try {
      await fetchIndexObject({ objects, idKey: writer.keys.idKey }, object, run);
    } catch (error) {
      if (isTidemarkError(error, 'OBJECT_NOT_FOUND')) continue;
      if (!isDamage(error) || !(error instanceof Error)) throw error;
      yield error.message;
    }
  }
}
