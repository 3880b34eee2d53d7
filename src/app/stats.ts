import { fromHex } from '../core/bytes.ts';
import type { Run } from '../core/run.ts';
import type { BaseRecord, Catalogue } from '../repository/catalogue.ts';
import { newestBase } from '../repository/catalogue.ts';
import { packKey, parsePackKey } from '../repository/format/names.ts';
import type { OpenApplication } from './application.ts';
import type { RepositoryReader } from './look.ts';
import type { StatsResult } from './results.ts';

type StoreStats = StatsResult['stores'][number];

/** How much the repository and its stores hold, by one listing of all objects. */
export async function repositoryStats(
  application: OpenApplication,
  reader: RepositoryReader,
  run: Run,
): Promise<StatsResult> {
  const { catalogue } = reader;
  const packBytes = new Map<string, number>();
  let storedBytes = 0;
  for await (const batch of application.objects.list('', '', run)) {
    for (const { key, sizeBytes } of batch) {
      storedBytes += sizeBytes;
      if (parsePackKey(key) !== undefined) packBytes.set(key, sizeBytes);
    }
  }
  const bases = [...catalogue.bases.values()];
  return {
    marks: catalogue.marks.length,
    bases: bases.length,
    packs: packBytes.size,
    chunks: await countChunks(reader, bases, run),
    bytes: bases.reduce((sum, { summary }) => sum + summary.bytes, 0),
    storedBytes,
    stores: storeStats(catalogue, packBytes),
  };
}

/** As many as the indexes of all writers know. */
async function countChunks(reader: RepositoryReader, bases: readonly BaseRecord[], run: Run): Promise<number> {
  let chunks = 0;
  for (const credential of new Set(bases.map((base) => base.credential))) {
    chunks += (await reader.source(credential, run)).index.statistics.records;
  }
  return chunks;
}

function storeStats(catalogue: Catalogue, packBytes: ReadonlyMap<string, number>): readonly StoreStats[] {
  const byStore = Map.groupBy(catalogue.bases.values(), ({ summary }) => summary.store);
  const users = new Map<string, Set<string>>();
  for (const [store, bases] of byStore) {
    for (const key of bases.flatMap(packsOf)) users.set(key, (users.get(key) ?? new Set()).add(store));
  }
  const ownBytes = (store: string): number =>
    [...users]
      .filter(([, stores]) => stores.size === 1 && stores.has(store))
      .reduce((sum, [key]) => sum + (packBytes.get(key) ?? 0), 0);
  return [...byStore]
    .map(([store, bases]): StoreStats => {
      const newest = newestBase(catalogue, store)?.summary;
      return {
        store,
        bases: bases.length,
        entries: newest?.entries ?? 0,
        bytes: newest?.bytes ?? 0,
        storedBytes: ownBytes(store),
      };
    })
    .toSorted((left, right) => (left.store < right.store ? -1 : 1));
}

function packsOf({ credential, maintenance }: BaseRecord): readonly string[] {
  return (maintenance?.packs ?? []).map((pack) => packKey(credential, fromHex(pack)));
}
