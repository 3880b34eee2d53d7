import { recordField } from '../format/index-object.ts';
import { must } from '../../core/must.ts';
import { createLimiter } from '../../flow/limiter.ts';
import type { Run } from '../../core/run.ts';
import type {
  ChunkIndex,
  ChunkIndexOptions,
  ChunkPlace,
  IndexStatistics,
  ObjectNews,
  RecordBatch,
  UnpublishedRun,
} from './chunk-index.ts';
import { ChunkKey } from './chunk-key.ts';
import type { IndexFolder } from './index-folder.ts';
import { Memtable } from './memtable.ts';
import { MemorySource, mergeRecords } from './merge.ts';
import { PackTable } from './pack-table.ts';
import type { PackRestriction } from './pack-table.ts';
import { PageCache } from './page-cache.ts';
import { readPlace } from './record.ts';
import type { RecordSource } from './record-source.ts';
import type { RunFile } from './run-file.ts';
import { RunSet } from './run-set.ts';

/** Below the limit of an index object, so that a run with its last pack normally becomes one. */
export const SPILL_RECORDS = 196_608;

/** See `ChunkIndex`. What the session adds is in a table in memory until there is enough for a run. */
export class LocalIndex implements ChunkIndex {
  readonly packs: PackTable = new PackTable();
  readonly #folder: IndexFolder;
  readonly #runs: RunSet;
  readonly #memoryRecords: number;
  readonly #cache = new PageCache();
  readonly #key = new ChunkKey();
  /** Changes of the files, one after another. */
  readonly #changes = createLimiter(1);
  readonly #added = new Memtable();
  #objectNumber = 0;
  /** Where the last look-up found its record: in `#added`, or in this run and the cache. */
  #foundIn: RunFile | undefined;

  private constructor(folder: IndexFolder, { runtime, memoryRecords }: ChunkIndexOptions) {
    this.#folder = folder;
    this.#runs = new RunSet({ folder, runtime, packs: this.packs });
    this.#memoryRecords = memoryRecords ?? SPILL_RECORDS;
  }

  /** The folder is the index's from now on. */
  static async open(folder: IndexFolder, options: ChunkIndexOptions, run: Run): Promise<LocalIndex> {
    await using resources = new AsyncDisposableStack();
    resources.use(folder);
    const index = new LocalIndex(folder, options);
    await index.reload(run);
    resources.move();
    return index;
  }

  find(id: Uint8Array): ChunkPlace | undefined {
    const at = this.#find(id);
    if (at < 0) return undefined;
    const view = this.#foundIn === undefined ? this.#added.view : this.#cache.view;
    return readPlace(view, at, this.#packAt(view, at));
  }

  findPack(id: Uint8Array): number {
    const at = this.#find(id);
    if (at < 0) return -1;
    return this.#packAt(this.#foundIn === undefined ? this.#added.view : this.#cache.view, at);
  }

  places(id: Uint8Array): readonly ChunkPlace[] {
    const places: ChunkPlace[] = [];
    this.#key.set(id);
    this.#foundIn = undefined;
    const added = this.#added.view;
    for (let skip = 0, at; (at = this.#added.find(this.#key, this.packs, skip)) >= 0; skip += 1) {
      addDistinct(places, readPlace(added, at, this.#packAt(added, at)));
    }
    for (const { run } of this.#runs.open) {
      if (run.fault !== undefined) continue;
      this.#foundIn = run;
      for (let skip = 0, at; (at = run.find(this.#key, this.packs, this.#cache, skip)) >= 0; skip += 1) {
        addDistinct(places, readPlace(this.#cache.view, at, this.#packAt(this.#cache.view, at)));
      }
    }
    return places;
  }

  addPack(packId: Uint8Array): number {
    if (this.#added.count >= this.#memoryRecords) this.#spill();
    const number = this.packs.add(packId);
    this.packs.setCovered(number);
    return number;
  }

  add(id: Uint8Array, place: ChunkPlace): void {
    if (this.#added.isFull) this.#spill();
    this.#added.add(id, place);
  }

  packNumber(packId: Uint8Array): number {
    return this.packs.numberOf(packId);
  }

  packId(pack: number): Uint8Array {
    return this.packs.idOf(pack);
  }

  get packCount(): number {
    return this.packs.count;
  }

  markAbsent(pack: number): void {
    this.packs.condemn(pack);
  }

  restrictTo(packIds: Iterable<Uint8Array>): void {
    const restriction = this.startRestriction();
    for (const packId of packIds) restriction.keep(packId);
    restriction.apply();
  }

  startRestriction(): PackRestriction {
    return this.packs.startRestriction();
  }

  async flush(run: Run): Promise<void> {
    if (this.#added.count < this.#memoryRecords && this.#runs.open.every(({ file }) => file !== undefined)) return;
    await this.#flush(this.#added.count >= this.#memoryRecords, run);
  }

  async flushAll(run: Run): Promise<void> {
    await this.#flush(this.#added.count > 0, run);
  }

  async #flush(spills: boolean, run: Run): Promise<void> {
    using _permit = await this.#changes.acquire(run);
    if (spills && this.#added.count > 0) this.#spill();
    if (this.#runs.open.some(({ file }) => file === undefined)) await this.#runs.commit({}, run);
    if (await this.#runs.merge(run)) this.#cover();
  }

  async *records(run: Run): AsyncGenerator<RecordBatch> {
    yield* this.#recordsOf(
      this.#runs.open.map((open) => open.run),
      [new MemorySource(this.#added.sorted())],
      run,
    );
  }

  get statistics(): IndexStatistics {
    const runs = this.#runs.open.filter((open) => open.run.fault === undefined);
    const added = this.#added.count;
    const sum = (of: typeof runs): number => of.reduce((total, open) => total + open.run.recordCount, added);
    const unpublishedRecords = sum(runs.filter(({ published }) => !published));
    return { records: sum(runs), runs: runs.length, packs: this.packs.count, unpublishedRecords };
  }

  get damaged(): boolean {
    return this.#runs.open.some((open) => open.run.fault !== undefined);
  }

  async reload(run: Run): Promise<void> {
    using _permit = await this.#changes.acquire(run);
    await this.#runs.reload(run);
    this.#cover();
  }

  async insert(records: Memtable, news: ObjectNews, source: 'objects' | 'directories', run: Run): Promise<void> {
    using _permit = await this.#changes.acquire(run);
    if (records.count > 0) this.#runs.spill(records, source === 'objects');
    records.clear();
    await this.#runs.commit(news, run);
    await this.#runs.merge(run);
    this.#cover();
  }

  async note(news: ObjectNews, run: Run): Promise<void> {
    using _permit = await this.#changes.acquire(run);
    await this.#runs.commit(news, run);
  }

  get knownObjects(): ReadonlySet<string> {
    const { runs, objects } = this.#runs.list;
    return new Set([...objects, ...runs.flatMap((entry) => entry.objects)]);
  }

  get replacedObjects(): ReadonlySet<string> {
    return new Set(this.#runs.list.replaced);
  }

  get unpublished(): readonly UnpublishedRun[] {
    return this.#runs.open.flatMap(({ run, file, published }) => {
      return published || file === undefined || run.fault !== undefined ? [] : [{ file, records: run.recordCount }];
    });
  }

  recordsOf(unpublished: UnpublishedRun, run: Run): AsyncGenerator<RecordBatch> {
    const open = this.#runs.open.find(({ file }) => file === unpublished.file);
    return this.#recordsOf([must(open, 'a run that is unpublished').run], [], run);
  }

  takeObjectNumber(): number {
    this.#objectNumber += 1;
    return this.#objectNumber - 1;
  }

  async markPublished(unpublished: UnpublishedRun, news: ObjectNews, run: Run): Promise<void> {
    using _permit = await this.#changes.acquire(run);
    await this.#runs.markPublished(unpublished.file, news, run);
    if (await this.#runs.merge(run)) this.#cover();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    using _permit = await this.#changes.acquire({ signal: new AbortController().signal });
    this.#runs[Symbol.dispose]();
    await this.#folder[Symbol.asyncDispose]();
  }

  /** Where in the view of the table or of the cache a usable record is, or -1. */
  #find(id: Uint8Array): number {
    const key = this.#key;
    key.set(id);
    this.#foundIn = undefined;
    const added = this.#added.find(key, this.packs, 0);
    if (added >= 0) return added;
    const runs = this.#runs.open;
    for (let at = 0; at < runs.length; at += 1) {
      const run = runs[at]?.run;
      if (run === undefined || run.fault !== undefined) continue;
      const found = run.find(key, this.packs, this.#cache, 0);
      if (found < 0) continue;
      this.#foundIn = run;
      return found;
    }
    return -1;
  }

  #packAt(view: DataView, offset: number): number {
    return this.#foundIn === undefined
      ? view.getUint32(offset + recordField.pack, true)
      : this.#foundIn.packNumberAt(view, offset);
  }

  #spill(): void {
    this.#runs.spill(this.#added, false);
    this.#added.clear();
  }

  /** Notes which packs have their chunks here. */
  #cover(): void {
    this.packs.clearCovered();
    for (const { run } of this.#runs.open) {
      if (run.fault === undefined) run.packNumbers.forEach((number) => this.packs.setCovered(number));
    }
    this.#added.packNumbers((number) => this.packs.setCovered(number));
  }

  async *#recordsOf(runs: readonly RunFile[], sources: readonly RecordSource[], run: Run): AsyncGenerator<RecordBatch> {
    const whole = runs.filter(({ fault }) => fault === undefined);
    for (const file of whole) file.retain();
    try {
      yield* mergeRecords([...sources, ...whole.map((file) => file.source())], run);
    } finally {
      for (const file of whole) file.release();
    }
  }
}

/** Two processes may have written the same record. */
function addDistinct(places: ChunkPlace[], place: ChunkPlace): void {
  const isSame = (other: ChunkPlace): boolean => {
    return other.pack === place.pack && other.blockOffset === place.blockOffset && other.offset === place.offset;
  };
  if (!places.some(isSame)) places.push(place);
}
