import type { Run } from '../core/run.ts';
import type { ObjectInfo, ObjectStore } from '../objects/object-store.ts';
import { isDamage } from './format/byte-cursor.ts';
import { formatIndexObjectName, readReplaces } from './format/index-object.ts';

/** Enough for the names of all that one object normally replaces, and for as many as it can. */
const PREFIX_BYTES = [4 * 1024, 2 * 1024 * 1024];

/** Index objects that another one of the same writer contains, by its own word. They are hints: losing one costs time only. */
export async function replacedIndexObjects(objects: ObjectStore, run: Run): Promise<readonly ObjectInfo[]> {
  const all: ObjectInfo[] = [];
  for await (const batch of objects.list('index/', '', run)) all.push(...batch);
  const replaced = new Set<string>();
  for (const { key } of all) {
    const folder = key.slice(0, key.lastIndexOf('/') + 1);
    for (const name of await replacesOf(objects, key, run)) if (!key.endsWith(name)) replaced.add(`${folder}${name}`);
  }
  return all.filter(({ key }) => replaced.has(key));
}

/** A damaged or vanished hint replaces nothing. */
async function replacesOf(objects: ObjectStore, key: string, run: Run): Promise<readonly string[]> {
  for (const prefixBytes of PREFIX_BYTES) {
    const bytes = new Uint8Array(prefixBytes);
    try {
      const read = await objects.read(key, 0, bytes, run);
      return readReplaces(bytes.subarray(0, read), key).map(formatIndexObjectName);
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }
  return [];
}
