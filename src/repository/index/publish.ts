import { isTidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { RandomBytes, Run } from '../../core/run.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import {
  formatIndexObjectName,
  INDEX_RECORD_BYTES,
  MAX_INDEX_RECORDS,
  parseIndexObjectName,
  recordField,
  sealIndexObject,
} from '../format/index-object.ts';
import type { IndexObject } from '../format/index-object.ts';
import { indexKey } from '../format/names.ts';
import type { ChunkIndex, RecordBatch, UnpublishedRun } from './chunk-index.ts';
import { Memtable } from './memtable.ts';
import { fetchIndexObject, listIndexObjects } from './object-listing.ts';
import type { ListedObject } from './object-listing.ts';
import { groupPacks, ObjectBuilder, takeExistingRecords } from './object-builder.ts';
import type { PackTable } from './pack-table.ts';

/** Objects that are made in one pass over a run: 14 MB each. */
const GROUPS_AT_ONCE = 2;
const MAX_SMALL_OBJECTS = 32;
const HALF_FULL_BYTES = (MAX_INDEX_RECORDS / 2) * INDEX_RECORD_BYTES;
const SALT_BYTES = 16;

export type PublishOptions = {
  readonly index: ChunkIndex;
  readonly objects: ObjectStore;
  /** The writer, and the session that the objects are named after: 32 hex digits each. */
  readonly credential: string;
  readonly session: string;
  readonly idKey: Uint8Array;
  readonly random: RandomBytes;
};

export type PublishReport = { readonly written: readonly string[]; readonly replaced: number };

/**
 * Writes all that is in no index object yet, and merges small objects when there are many of them. Every object holds
 * all chunks of each pack that it names. What an earlier session left behind is written as well. @throws what the
 * object store throws
 */
export async function publishIndex(options: PublishOptions, run: Run): Promise<PublishReport> {
  await options.index.flushAll(run);
  const written = await publishFlushed(options, run);
  const compacted = await compactIndexObjects(options, run);
  return { written: [...written, ...compacted.written], replaced: compacted.replaced };
}

/**
 * As `publishIndex`, for what `flush` has put into files; nothing is merged. For long sessions: what is published
 * survives this host. Returns the names.
 */
export async function publishFlushed(options: PublishOptions, run: Run): Promise<readonly string[]> {
  const { index } = options;
  const all: string[] = [];
  for (let next = index.unpublished[0]; next !== undefined; next = index.unpublished[0]) {
    const names = await publishRun(options, next, run);
    await index.markPublished(next, { read: names }, run);
    all.push(...names);
  }
  return all;
}

/**
 * Merges objects that are less than half full when there are more than 32 of them. The old ones stay, for a sweep to
 * remove.
 */
export async function compactIndexObjects(options: PublishOptions, run: Run): Promise<PublishReport> {
  const { index, objects, credential } = options;
  const replaced = index.replacedObjects;
  if (index.knownObjects.size - replaced.size <= MAX_SMALL_OBJECTS) return { written: [], replaced: 0 };
  const listed = await listIndexObjects(objects, credential, run);
  const small = listed.filter(({ name, sizeBytes }) => sizeBytes < HALF_FULL_BYTES && !replaced.has(name));
  if (small.length <= MAX_SMALL_OBJECTS) return { written: [], replaced: 0 };
  const written: string[] = [];
  let count = 0;
  const table = new Memtable();
  let names: string[] = [];
  const put = async (): Promise<void> => {
    if (names.length > 1) {
      const name = await putObject(options, sortedContent(table, index.packs), names, run);
      await index.note({ read: [name], replaced: names }, run);
      written.push(name);
      count += names.length;
    }
    table.clear();
    names = [];
  };
  for (const object of small) {
    const content = await fetchUndamaged(options, object, run);
    if (content === undefined) continue;
    if (table.count + content.records.byteLength / INDEX_RECORD_BYTES > MAX_INDEX_RECORDS) await put();
    takeExistingRecords(content, index.packs, table);
    names.push(object.name);
  }
  await put();
  return { written, replaced: count };
}

/** A damaged one can't be replaced, and one that is gone need not be. */
async function fetchUndamaged(
  options: PublishOptions,
  object: ListedObject,
  run: Run,
): Promise<IndexObject | undefined> {
  try {
    return await fetchIndexObject(options, object, run);
  } catch (error) {
    if (isTidemarkError(error, 'REPOSITORY_DAMAGED') || isTidemarkError(error, 'OBJECT_NOT_FOUND')) return undefined;
    throw error;
  }
}

async function publishRun(options: PublishOptions, unpublished: UnpublishedRun, run: Run): Promise<readonly string[]> {
  const { index } = options;
  const counts = new Uint32Array(index.packCount);
  for await (const { view, count } of index.recordsOf(unpublished, run)) {
    for (let at = 0; at < count; at += 1) {
      const pack = view.getUint32(at * INDEX_RECORD_BYTES + recordField.pack, true);
      if (index.packs.exists(pack)) counts[pack] = (counts[pack] ?? 0) + 1;
    }
  }
  const { groups, groupOf } = groupPacks(counts);
  const builders = groups.slice(0, GROUPS_AT_ONCE).map(() => new ObjectBuilder(Math.max(...groups), index.packs));
  const names: string[] = [];
  for (let first = 0; first < groups.length; first += GROUPS_AT_ONCE) {
    for (const builder of builders) builder.clear();
    for await (const batch of index.recordsOf(unpublished, run)) collect(batch, groupOf, builders, first);
    for (const builder of builders.slice(0, groups.length - first)) {
      names.push(await putObject(options, builder.take(), [], run));
    }
  }
  return names;
}

/** Gives each record to the builder of its group; `first` is the group of the first builder. */
function collect(
  { view, count }: RecordBatch,
  groupOf: Int32Array,
  builders: readonly ObjectBuilder[],
  first: number,
): void {
  for (let offset = 0; offset < count * INDEX_RECORD_BYTES; offset += INDEX_RECORD_BYTES) {
    const group = groupOf[view.getUint32(offset + recordField.pack, true)] ?? -1;
    builders[group - first]?.append(view, offset);
  }
}

function sortedContent(table: Memtable, packs: PackTable): Omit<IndexObject, 'replaces'> {
  const builder = new ObjectBuilder(table.count, packs);
  for (const offset of table.offsetsInOrder()) builder.append(table.view, offset);
  return builder.take();
}

/** Puts the object under the session's next number. Returns its name. */
async function putObject(
  { index, objects, credential, session, idKey, random }: PublishOptions,
  content: Omit<IndexObject, 'replaces'>,
  replaces: readonly string[],
  run: Run,
): Promise<string> {
  const object = {
    ...content,
    replaces: replaces.map((name) => must(parseIndexObjectName(name), 'the name of an index object')),
  };
  const parts = sealIndexObject(object, idKey, random(SALT_BYTES));
  for (;;) {
    const number = index.takeObjectNumber();
    try {
      await objects.create(indexKey(credential, session, number), parts, run);
      return formatIndexObjectName({ session, number });
    } catch (error) {
      // The session has another index open as well.
      if (!isTidemarkError(error, 'OBJECT_EXISTS')) throw error;
    }
  }
}
