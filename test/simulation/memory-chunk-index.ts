import { INDEX_RECORD_BYTES, recordField } from '../../src/repository/format/index-object.ts';
import type { ChunkIndex, ChunkPlace, ObjectNews, RecordBatch } from '../../src/repository/index/chunk-index.ts';
import { ChunkKey } from '../../src/repository/index/chunk-key.ts';
import { Memtable } from '../../src/repository/index/memtable.ts';
import { PackTable } from '../../src/repository/index/pack-table.ts';
import { readPlace } from '../../src/repository/index/record.ts';

const FILE = 'memory';

/** An index of chunks without a disk, so that a simulation waits for its clock alone. Tables, packs and merges are the real ones. */
export function createMemoryChunkIndex(): ChunkIndex {
  const packs = new PackTable();
  const key = new ChunkKey();
  const published = new Memtable();
  const added = new Memtable();
  const known = new Set<string>();
  const replaced = new Set<string>();
  let objectNumber = 0;

  function* placesOf(id: Uint8Array): Generator<ChunkPlace> {
    key.set(id);
    for (const table of [added, published]) {
      for (let skip = 0, at; (at = table.find(key, packs, skip)) >= 0; skip += 1) {
        yield readPlace(table.view, at, table.view.getUint32(at + recordField.pack, true));
      }
    }
  }
  const take = (from: Memtable, into: Memtable): void => {
    const sorted = from.sorted();
    const view = new DataView(sorted.buffer);
    for (let at = 0; at < sorted.byteLength; at += INDEX_RECORD_BYTES) {
      const pack = view.getUint32(at + recordField.pack, true);
      into.addRecord(sorted, at, pack);
      packs.setCovered(pack);
    }
    from.clear();
  };
  const note = async (news: ObjectNews): Promise<void> => {
    for (const name of news.read ?? []) known.add(name);
    for (const name of news.replaced ?? []) replaced.add(name);
    for (const name of news.gone ?? []) {
      known.delete(name);
      replaced.delete(name);
    }
  };
  const find = (id: Uint8Array): ChunkPlace | undefined => {
    for (const place of placesOf(id)) return place;
    return undefined;
  };
  const findPack = (id: Uint8Array): number => find(id)?.pack ?? -1;

  return {
    packs,
    find,
    places: (id) => [...placesOf(id)],
    findPack,
    addPack(packId) {
      const number = packs.add(packId);
      packs.setCovered(number);
      return number;
    },
    add: (id, place) => added.add(id, place),
    packNumber: (packId) => packs.numberOf(packId),
    packId: (pack) => packs.idOf(pack),
    get packCount() {
      return packs.count;
    },
    markAbsent: (pack) => packs.condemn(pack),
    restrictTo() {
      throw new Error('not used here');
    },
    startRestriction: () => packs.startRestriction(),
    async flush() {},
    async flushAll() {},
    records() {
      throw new Error('not used here');
    },
    get statistics() {
      const records = published.count + added.count;
      return { records, runs: 1, packs: packs.count, unpublishedRecords: added.count };
    },
    damaged: false,
    async reload() {},
    async insert(records, news, source) {
      take(records, source === 'objects' ? published : added);
      await note(news);
    },
    note,
    knownObjects: known,
    replacedObjects: replaced,
    get unpublished() {
      return added.count === 0 ? [] : [{ file: FILE, records: added.count }];
    },
    recordsOf: () => batchOf(added),
    takeObjectNumber: () => objectNumber++,
    async markPublished(_unpublished, news) {
      take(added, published);
      await note(news);
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function* batchOf(table: Memtable): AsyncGenerator<RecordBatch> {
  const bytes = table.sorted();
  yield { bytes, view: new DataView(bytes.buffer), count: table.count };
}
