import type { Run } from '../core/run.ts';
import type { ObjectInfo, ObjectStore } from '../objects/object-store.ts';
import { isDamage } from './format/byte-cursor.ts';
import { formatIndexObjectName, MAX_INDEX_OBJECT_BYTES, readReplaces } from './format/index-object.ts';
import { readWhole } from './read-whole.ts';

/** Index objects that another one of the same writer contains, by its own word. They are hints: losing one costs time only. */
export async function replacedIndexObjects(objects: ObjectStore, run: Run): Promise<readonly ObjectInfo[]> {
  const all: ObjectInfo[] = [];
  for await (const batch of objects.list('index/', '', run)) all.push(...batch);
  const replaced = new Set<string>();
  for (const { key } of all) {
    const folder = key.slice(0, key.lastIndexOf('/') + 1);
    for (const name of await replacesOf(objects, key, run)) replaced.add(`${folder}${name}`);
  }
  return all.filter(({ key }) => replaced.has(key));
}

async function replacesOf(objects: ObjectStore, key: string, run: Run): Promise<readonly string[]> {
  try {
    return readReplaces(await readWhole(objects, key, MAX_INDEX_OBJECT_BYTES, run), key).map(formatIndexObjectName);
  } catch (error) {
    // A damaged or vanished hint replaces nothing.
    if (isDamage(error)) return [];
    throw error;
  }
}
