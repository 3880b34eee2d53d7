import type { Run, Runtime } from '../../core/run.ts';
import type { Memtable } from './memtable.ts';
import type { PackRestriction, PackTable } from './pack-table.ts';
import { IndexFolder } from './index-folder.ts';
import { LocalIndex } from './local-index.ts';

/**
 * Where a chunk is: in the pack of that number, in the sealed block at `blockOffset`, `offset` bytes into the block's
 * chunks. The numbers are those of one `ChunkIndex` and mean nothing elsewhere.
 */
export type ChunkPlace = {
  readonly pack: number;
  readonly blockOffset: number;
  readonly blockBytes: number;
  readonly offset: number;
  readonly sizeBytes: number;
};

/**
 * `count` records as in an index object, at the start of `bytes`; `pack` is the index's own number. Overwritten by
 * the next batch.
 */
export type RecordBatch = { readonly bytes: Uint8Array; readonly view: DataView; readonly count: number };

export type IndexStatistics = {
  readonly records: number;
  readonly runs: number;
  readonly packs: number;
  /** What of `records` no index object in the repository holds, as far as this index knows. */
  readonly unpublishedRecords: number;
};

/** A part of the index that is not in an index object yet. */
export type UnpublishedRun = { readonly file: string; readonly records: number };

/** Which index objects of the repository are known here, by name (`SESSION-NNNNNNNN`). */
export type ObjectNews = {
  /** Whose records are in the index from now on. */
  readonly read?: readonly string[] | undefined;
  /** Which another one contains. */
  readonly replaced?: readonly string[] | undefined;
  /** Which are no longer in the repository. */
  readonly gone?: readonly string[] | undefined;
};

/**
 * Where the chunks of one writer are. A hint: it can miss what is in the repository, and never names a place that was
 * not written there by an index object, a pack's directory or `add`. Look-ups are synchronous; what is awaited runs
 * one after another, and look-ups go on meanwhile. Memory does not grow with the number of calls, but about 1.2 bytes
 * a record and 45 a pack.
 */
export interface ChunkIndex extends AsyncDisposable {
  /** A place of the chunk in a pack that is neither absent nor condemned. */
  find(id: Uint8Array): ChunkPlace | undefined;
  /** All such places: a chunk that is damaged in one may be whole in another. */
  places(id: Uint8Array): readonly ChunkPlace[];
  /** The number of such a pack, or -1. Allocates nothing. */
  findPack(id: Uint8Array): number;

  /**
   * A pack that was just stored, durably. All its chunks are added before the next pack is. @throws DISK_FULL, FAILED
   */
  addPack(packId: Uint8Array): number;
  /** Found at once; kept beyond this process once a `flush` has written it, at the latest `flushAll`. */
  add(id: Uint8Array, place: ChunkPlace): void;

  /** The number of a pack that the index knows, or -1. */
  packNumber(packId: Uint8Array): number;
  packId(pack: number): Uint8Array;
  /** Numbers of packs go from 0 to below this. */
  readonly packCount: number;
  /** The pack counts as absent until the index is closed. For those that are condemned. */
  markAbsent(pack: number): void;
  /** No other pack counts from now on, except those that are added later. */
  restrictTo(packIds: Iterable<Uint8Array>): void;
  /** As `restrictTo`, for a listing that is read bit by bit. */
  startRestriction(): PackRestriction;
  readonly packs: PackTable;

  /**
   * Writes what was added to the folder, and merges runs when there are many. Call it every few packs: it returns at
   * once when little was added.
   */
  flush(run: Run): Promise<void>;
  /** As `flush`, down to the last record. */
  flushAll(run: Run): Promise<void>;
  /**
   * All records, ascending by id, also those of packs that don't count; each place once. What is added meanwhile may
   * be in it or not.
   */
  records(run: Run): AsyncIterable<RecordBatch>;
  readonly statistics: IndexStatistics;
  /**
   * True when a file of the index was found to be damaged: it does not count from then on, and `syncIndex` rebuilds
   * what it held.
   */
  readonly damaged: boolean;

  /** For `syncIndex`: forgets damaged files and takes up what other processes wrote. */
  reload(run: Run): Promise<void>;
  /**
   * For `syncIndex`: takes the records of index objects, or of packs' directories, and notes the objects. Leaves
   * `records` empty.
   */
  insert(records: Memtable, news: ObjectNews, source: 'objects' | 'directories', run: Run): Promise<void>;
  /** Notes what became known of index objects. */
  note(news: ObjectNews, run: Run): Promise<void>;
  /** Names of the index objects whose records are here, and of those that another one replaces. */
  readonly knownObjects: ReadonlySet<string>;
  readonly replacedObjects: ReadonlySet<string>;

  /** For `publishIndex`. */
  readonly unpublished: readonly UnpublishedRun[];
  /** The records of one unpublished run; as `records`. */
  recordsOf(unpublished: UnpublishedRun, run: Run): AsyncIterable<RecordBatch>;
  /** For the name of a new index object: from 0, never the same again. So a session has one index of a writer. */
  takeObjectNumber(): number;
  /** The run is in these index objects, which are durable. */
  markPublished(unpublished: UnpublishedRun, news: ObjectNews, run: Run): Promise<void>;
}

export type ChunkIndexOptions = {
  /** Kept from one session to the next and shared by processes. Absent: a temporary one, removed at the end. */
  readonly folder?: string | undefined;
  /**
   * What the index belongs to, such as repository and credential; a folder that belongs to something else is emptied.
   */
  readonly identity: string;
  readonly runtime: Runtime;
  /** How many added records stay in memory, at 60 bytes each, before they become a run: 196,608 unless given. */
  readonly memoryRecords?: number | undefined;
};

/**
 * Opens the index in a folder, or an empty one. A folder that can't be written, or where nothing can be locked, is
 * replaced by a temporary one. What is damaged there is dropped. @throws DISK_FULL, FAILED
 */
export async function openChunkIndex(options: ChunkIndexOptions, run: Run): Promise<ChunkIndex> {
  return await LocalIndex.open(await IndexFolder.open(options, run), options, run);
}
