import { fromHex } from '../../core/bytes.ts';
import { isTidemarkError } from '../../core/errors.ts';
import type { TidemarkError } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import { formatIndexObjectName } from '../format/index-object.ts';
import type { IndexObject } from '../format/index-object.ts';
import { packKey } from '../format/names.ts';
import type { ChunkIndex } from './chunk-index.ts';
import { SPILL_RECORDS } from './local-index.ts';
import { Memtable } from './memtable.ts';
import { takeExistingRecords } from './object-builder.ts';
import { fetchIndexObject, listIndexObjects } from './object-listing.ts';
import type { ListedObject } from './object-listing.ts';
import { fetchInOrder } from './ordered-window.ts';
import { PackReader } from './pack-reader.ts';
import type { OpenDirectory, PackChunk } from './pack-reader.ts';

const WINDOW_BYTES = 32 * 1024 * 1024;
const OBJECTS_AT_ONCE = 8;
const PACKS_AT_ONCE = 16;

export type SyncOptions = {
  readonly index: ChunkIndex;
  readonly objects: ObjectStore;
  /** 16 bytes. */
  readonly repository: Uint8Array;
  /** Whose index it is: 32 hex digits, and the id key. */
  readonly credential: string;
  readonly idKey: Uint8Array;
  readonly openDirectory?: OpenDirectory | undefined;
  /** False: only the directories of packs are read, whatever index objects say. */
  readonly readsObjects?: boolean | undefined;
};

/** `findings`: what is damaged. The chunks of a pack whose directory is damaged are not in the index. */
export type SyncReport = {
  readonly findings: readonly Finding[];
  readonly objectsRead: number;
  readonly packsRead: number;
  readonly packs: number;
};

/**
 * Brings a local index up to date with the repository: what other hosts and processes published, which packs exist,
 * and the directories of packs that nothing covers. What is known already is not read again. Afterwards only packs
 * that were listed count. Memory is bounded; what has been read stays when it is interrupted. @throws what the object
 * store throws
 */
export async function syncIndex(options: SyncOptions, run: Run): Promise<SyncReport> {
  const sync = new Sync(options);
  await options.index.reload(run);
  // First index objects, then packs: whatever the objects name was there before them.
  const reads = options.readsObjects ?? true;
  const listed = reads ? await listIndexObjects(options.objects, options.credential, run) : [];
  if (reads) await sync.forgetGone(listed, run);
  const sizes = await sync.listPacks(run);
  await sync.readObjects(listed, run);
  await sync.readDirectories(sizes, run);
  return sync.report(sizes.count);
}

/** Sizes of the packs that were listed, by number; 0 for the others. */
type PackSizes = { readonly bytes: Uint32Array; readonly count: number };

class Sync {
  readonly #options: SyncOptions;
  readonly #findings: Finding[] = [];
  #objectsRead = 0;
  #packsRead = 0;

  constructor(options: SyncOptions) {
    this.#options = options;
  }

  report(packs: number): SyncReport {
    return { findings: this.#findings, objectsRead: this.#objectsRead, packsRead: this.#packsRead, packs };
  }

  async forgetGone(listed: readonly ListedObject[], run: Run): Promise<void> {
    const { index } = this.#options;
    const present = new Set(listed.map(({ name }) => name));
    const gone = [...index.knownObjects, ...index.replacedObjects].filter((name) => !present.has(name));
    if (gone.length > 0) await index.note({ gone }, run);
  }

  async listPacks(run: Run): Promise<PackSizes> {
    const { index, objects, credential } = this.#options;
    const prefix = `packs/${credential}/`;
    const restriction = index.startRestriction();
    let bytes = new Uint32Array(Math.max(1024, index.packCount));
    let count = 0;
    for await (const batch of objects.list(prefix, '', run)) {
      for (const { key, sizeBytes } of batch) {
        const packId = parsePackId(key.slice(prefix.length));
        if (packId === undefined) continue;
        const number = restriction.keep(packId);
        if (number >= bytes.length) {
          const larger = new Uint32Array(Math.max(number + 1, bytes.length * 2));
          larger.set(bytes);
          bytes = larger;
        }
        bytes[number] = Math.min(sizeBytes, 2 ** 32 - 1);
        count += 1;
      }
    }
    restriction.apply();
    return { bytes, count };
  }

  async readObjects(listed: readonly ListedObject[], run: Run): Promise<void> {
    const { index } = this.#options;
    const known = index.knownObjects;
    const replaced = new Set(index.replacedObjects);
    // Large ones first: they may be merged ones, after which those that they contain are left out.
    const wanted = listed
      .filter(({ name }) => !known.has(name))
      .toSorted((left, right) => right.sizeBytes - left.sizeBytes);
    const table = new Memtable();
    let pending = { read: [] as string[], replaced: [] as string[] };
    const insert = async (): Promise<void> => {
      if (pending.read.length > 0) await index.insert(table, pending, 'objects', run);
      pending = { read: [], replaced: [] };
    };
    const window = { count: OBJECTS_AT_ONCE, bytes: WINDOW_BYTES, sizeOf: ({ sizeBytes }: ListedObject) => sizeBytes };
    const fetch = async (
      object: ListedObject,
      inner: Run,
    ): Promise<{ name: string; content: IndexObject | undefined }> => {
      // What another one contains need not be read.
      return {
        name: object.name,
        content: replaced.has(object.name) ? undefined : await this.#fetchObject(object, inner),
      };
    };
    for await (const { name, content } of fetchInOrder(wanted, { ...window, fetch }, run)) {
      if (content === undefined) continue;
      this.#objectsRead += 1;
      takeExistingRecords(content, index.packs, table);
      pending.read.push(name);
      for (const other of content.replaces.map(formatIndexObjectName)) {
        replaced.add(other);
        pending.replaced.push(other);
      }
      if (table.count >= SPILL_RECORDS) await insert();
    }
    await insert();
  }

  /** Undefined when it is damaged, which is a finding, or gone meanwhile: then one that contains it is there. */
  async #fetchObject(object: ListedObject, run: Run): Promise<IndexObject | undefined> {
    try {
      return await fetchIndexObject(this.#options, object, run);
    } catch (error) {
      if (isTidemarkError(error, 'OBJECT_NOT_FOUND')) return undefined;
      if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
      const hint = 'Nothing is lost: what it held is read from the packs.';
      this.#findings.push({ code: 'index', severity: 'warning', message: error.message, hint });
      return undefined;
    }
  }

  async readDirectories(sizes: PackSizes, run: Run): Promise<void> {
    const { index } = this.#options;
    const reader = new PackReader(this.#options);
    const table = new Memtable();
    const fetch = (number: number, inner: Run): Promise<{ number: number; chunks: readonly PackChunk[] }> => {
      return this.#fetchDirectory(reader, number, sizes.bytes[number] ?? 0, inner);
    };
    const window = { count: PACKS_AT_ONCE, bytes: WINDOW_BYTES, sizeOf: () => 0, fetch };
    for await (const { number, chunks } of fetchInOrder(uncovered(index, sizes), window, run)) {
      for (const { id, ...place } of chunks) {
        table.add(id, { ...place, pack: number });
      }
      if (table.count >= SPILL_RECORDS) await index.insert(table, {}, 'directories', run);
    }
    if (table.count > 0) await index.insert(table, {}, 'directories', run);
  }

  async #fetchDirectory(
    reader: PackReader,
    number: number,
    sizeBytes: number,
    run: Run,
  ): Promise<{ number: number; chunks: readonly PackChunk[] }> {
    const { index, credential } = this.#options;
    const key = packKey(credential, index.packId(number));
    try {
      const chunks = await reader.read(key, sizeBytes, run);
      this.#packsRead += 1;
      return { number, chunks };
    } catch (error) {
      if (isTidemarkError(error, 'REPOSITORY_DAMAGED')) this.#findings.push(packFinding(error));
      // Gone since it was listed: no one needs it.
      else if (!isTidemarkError(error, 'OBJECT_NOT_FOUND')) throw error;
      return { number, chunks: [] };
    }
  }
}

function* uncovered({ packs }: ChunkIndex, sizes: PackSizes): Generator<number> {
  for (let number = 0; number < sizes.bytes.length; number += 1) {
    if (must(sizes.bytes[number], 'a number in range') > 0 && !packs.covered(number)) yield number;
  }
}

function packFinding(error: TidemarkError): Finding {
  return {
    code: 'pack',
    severity: 'error',
    message: error.message,
    hint: 'Run `tidemark verify --data` to see what is affected.',
  };
}

function parsePackId(text: string): Uint8Array | undefined {
  return /^[0-9a-f]{64}$/.test(text) ? fromHex(text) : undefined;
}
