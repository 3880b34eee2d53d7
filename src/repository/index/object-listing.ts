import type { ObjectStore } from '../../objects/object-store.ts';
import type { Run } from '../../core/run.ts';
import { MAX_INDEX_OBJECT_BYTES, openIndexObject, parseIndexObjectName } from '../format/index-object.ts';
import type { IndexObject } from '../format/index-object.ts';
import { damaged } from '../format/byte-cursor.ts';

/** An index object as it is listed. `name` is the last part of its key. */
export type ListedObject = { readonly key: string; readonly name: string; readonly sizeBytes: number };

/** The index objects of a writer, ascending by name. Foreign keys are left out. */
export async function listIndexObjects(
  objects: ObjectStore,
  credential: string,
  run: Run,
): Promise<readonly ListedObject[]> {
  const prefix = `index/${credential}/`;
  const listed: ListedObject[] = [];
  for await (const batch of objects.list(prefix, '', run)) {
    for (const { key, sizeBytes } of batch) {
      const name = key.slice(prefix.length);
      if (parseIndexObjectName(name) !== undefined) listed.push({ key, name, sizeBytes });
    }
  }
  return listed;
}

/** @throws OBJECT_NOT_FOUND, REPOSITORY_DAMAGED */
export async function fetchIndexObject(
  { objects, idKey }: { readonly objects: ObjectStore; readonly idKey: Uint8Array },
  { key, sizeBytes }: ListedObject,
  run: Run,
): Promise<IndexObject> {
  if (sizeBytes > MAX_INDEX_OBJECT_BYTES) throw damaged(key, 'it is larger than an index object can be');
  const bytes = new Uint8Array(sizeBytes);
  if ((await objects.read(key, 0, bytes, run)) !== sizeBytes) throw damaged(key, 'it is shorter than it was listed');
  return openIndexObject({ bytes, idKey, what: key });
}
