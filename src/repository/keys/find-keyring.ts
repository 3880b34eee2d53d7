import { isTidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import { isIdKey } from '../format/names.ts';
import { readWhole } from '../read-whole.ts';
import type { Keyring } from './keyring.ts';
import { openSlot, readSlot } from './slot.ts';
import type { Slot } from './slot.ts';

export const MAX_SLOT_BYTES = 1024 * 1024;
/** How much is held of slots that wait to be tried. More than a repository has, unless somebody planted them. */
const WINDOW_SLOTS = 1024;
const WINDOW_BYTES = 16 * 1024 * 1024;

/** `damagedCount`: of the slots that were looked at, how many can't be read. */
export type FoundKeyring = { readonly keyring: Keyring | undefined; readonly damagedCount: number };

/** What a window of slots was found to be. */
type SlotWindow = { readonly slots: readonly Slot[]; readonly damagedCount: number };

/**
 * The keyring of the first slot that the passphrase opens. Cheap slots are tried first, so that one that was planted to cost much costs nothing as long
 * as another opens. A damaged slot does not lock out the others.
 */
export async function findKeyring(
  objects: ObjectStore,
  options: { readonly repository: string; readonly passphrase: string },
  run: Run,
): Promise<FoundKeyring> {
  let damagedCount = 0;
  for await (const window of readSlots(objects, run)) {
    damagedCount += window.damagedCount;
    for (const slot of window.slots.toSorted((left, right) => costOf(left) - costOf(right))) {
      const keyring = await openSlot(slot, options);
      if (keyring !== undefined) return { keyring, damagedCount };
    }
  }
  return { keyring: undefined, damagedCount };
}

function costOf({ cost }: Slot): number {
  return cost.memoryKiB * cost.passes;
}

async function* readSlots(objects: ObjectStore, run: Run): AsyncGenerator<SlotWindow> {
  let slots: Slot[] = [];
  let damagedCount = 0;
  let heldBytes = 0;
  for await (const key of listSlotKeys(objects, run)) {
    const found = await readIfSound(objects, key, run);
    if (found === undefined) continue;
    if ('problem' in found) {
      damagedCount += 1;
      continue;
    }
    slots.push(found.slot);
    heldBytes += found.sizeBytes;
    if (slots.length < WINDOW_SLOTS && heldBytes < WINDOW_BYTES) continue;
    yield { slots, damagedCount };
    [slots, damagedCount, heldBytes] = [[], 0, 0];
  }
  yield { slots, damagedCount };
}

/** The keys of all key slots. */
export async function* listSlotKeys(objects: ObjectStore, run: Run): AsyncGenerator<string> {
  for await (const batch of objects.list('keys/', '', run)) {
    for (const { key } of batch) if (isIdKey('keys', key)) yield key;
  }
}

/** A slot that was removed meanwhile is none. `problem`: why it can't be read. */
export async function readIfSound(
  objects: ObjectStore,
  key: string,
  run: Run,
): Promise<{ readonly slot: Slot; readonly sizeBytes: number } | { readonly problem: string } | undefined> {
  try {
    const bytes = await readWhole(objects, key, MAX_SLOT_BYTES, run);
    return { slot: readSlot(bytes, key), sizeBytes: bytes.byteLength };
  } catch (error) {
    if (isTidemarkError(error, 'OBJECT_NOT_FOUND')) return undefined;
    if (!isTidemarkError(error, 'REPOSITORY_DAMAGED') && !isTidemarkError(error, 'REPOSITORY_NEWER')) throw error;
    return { problem: error.message };
  }
}
