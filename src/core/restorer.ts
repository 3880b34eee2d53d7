import type { Commit } from './change.ts';
import type { Position } from './position.ts';
import type { Run } from './run.ts';

/** The content of a stored entry: what it needs, in order. Opaque to connectors except for its size. */
export interface StoredContent {
  readonly sizeBytes: number;
}

export type StoredEntry = {
  readonly name: Uint8Array;
  readonly attributes: Uint8Array;
  readonly content?: StoredContent | undefined;
};

/** What is under a name from a commit on. */
export type LoggedEntry = StoredEntry | { readonly name: Uint8Array; readonly removed: true };

/** A transaction of a stored log. */
export type LoggedTransaction = { readonly entries: readonly LoggedEntry[]; readonly commit: Commit };

/** The log of bytes from a base's `logFrom` to the point that is restored. Each call begins anew. */
export interface LogReader {
  /** In order, each byte once, none before `logFrom` or behind the point; all are checked against their digests. */
  read(run: Run): AsyncIterable<readonly LoggedTransaction[]>;
}

/** All that a repository has now of the log of one lineage, which is bytes. */
export interface StoredLog {
  /** Any base of that lineage: it says what kind of log it is. */
  readonly base: BaseReader;
  /** What is there, in order and without a gap between two. */
  readonly stretches: readonly { readonly after: Position; readonly upTo: Position }[];
  /** What lies behind one place up to another, both in what is there. */
  read(after: Position, upTo: Position, run: Run): AsyncIterable<readonly LoggedTransaction[]>;
}

/** A file of its log that an engine asks for while it recovers. */
export type LogFileRequest = {
  /** As the engine calls it. */
  readonly name: string;
  /** Where it wants it. */
  readonly path: string;
  /** For what is fetched ahead, and for what is not whole yet: a later request takes it from there. Need not exist. */
  readonly cacheFolder: string;
  /** How many files are fetched beyond the one that is asked for. */
  readonly ahead: number;
};

/**
 * A file to be filled with an entry's content. `path` must not exist yet; it is created exclusively with
 * mode 0600 and without following links, filled, and checked against the content's digests. With `extents` the content is laid into these
 * runs, and the file ends up `fileSizeBytes` long with holes between them.
 * `finish` is done by the thread that wrote it, in this order, right after the last byte.
 */
export type FileTarget<Tag> = {
  readonly tag: Tag;
  readonly entry: StoredEntry;
  readonly path: Uint8Array;
  readonly fileSizeBytes: number;
  readonly extents?: readonly { readonly offset: number; readonly sizeBytes: number }[] | undefined;
  /** A file that may hold the same content already: it is read and compared, and cloned or copied where it matches. */
  readonly candidate?: Uint8Array | undefined;
  readonly finish: {
    readonly uid?: number | undefined;
    readonly gid?: number | undefined;
    readonly mode: number;
    readonly mtimeNs: bigint;
    readonly atimeNs: bigint;
  };
};

/** `reused`: the candidate held the content. `error`: this target failed, the others go on. */
export type FileResult<Tag> = {
  readonly tag: Tag;
  readonly sizeBytes: number;
  readonly reused: boolean;
  readonly error?: unknown;
};

/** A stored base, for whoever restores or looks into it. Every byte it hands out has been checked against its digest. */
export interface BaseReader {
  readonly entryCount: number;
  readonly contentBytes: number;
  /** Names ascending. `from` (inclusive) and `prefix` narrow it without reading the rest. */
  entries(
    run: Run,
    range?: { readonly prefix?: Uint8Array | undefined; readonly from?: Uint8Array | undefined },
  ): AsyncIterable<readonly StoredEntry[]>;
  /** The entry of that exact name. */
  find(name: Uint8Array, run: Run): Promise<StoredEntry | undefined>;
  /** The content's bytes in order, in pieces that are the caller's to keep. */
  read(content: StoredContent, run: Run): AsyncIterable<Uint8Array>;
  /**
   * Fills many files at once, in whatever order is fastest. Pulls `targets` as it goes; one result each. `onBytes`, for progress: so many more
   * bytes of content have been filled in, also within a file; what had to be done again counts again.
   */
  extract<Tag>(
    targets: AsyncIterable<readonly FileTarget<Tag>[]>,
    run: Run,
    onBytes?: (bytes: number) => void,
  ): AsyncIterable<readonly FileResult<Tag>[]>;
}

export type RestoreReport = {
  readonly entries: number;
  readonly bytes: number;
  readonly reusedBytes: number;
  /** What could not be brought back as it was (owner without permission, attribute the file system refuses): bounded. */
  readonly notes: readonly string[];
  readonly noteCount: number;
};

/**
 * Writes beside the live data. Order of calls: `restoreBase`, `rollForward`, `verify`, then, once every store of the restore has verified, `swap`.
 * `swap` is idempotent: after a crash a new restorer over the same target finishes it.
 */
export interface Restorer extends AsyncDisposable {
  restoreBase(base: BaseReader, run: Run): Promise<RestoreReport>;
  /**
   * Of a store whose log is bytes, which then is given the base as it was stored; called also where the log is empty. Ends exactly at `to`. Absent: the
   * base comes with the log laid over it.
   */
  rollForward?(log: LogReader, to: Position, run: Run): Promise<void>;
  /** `notes`: of what was found only now, as in `RestoreReport`. */
  verify(run: Run): Promise<{
    readonly entries: number;
    readonly bytes: number;
    readonly notes?: readonly string[] | undefined;
  }>;
  swap(run: Run): Promise<{ readonly keptAside?: string | undefined }>;
}
