import type { Commit } from './change.ts';
import type { Exactness, Lineage, Position } from './position.ts';
import type { BaseReader, StoredContent } from './restorer.ts';
import type { Run } from './run.ts';

/** Returns the number of bytes put at the start of `into`; 0 at the end. */
export interface ByteReader extends AsyncDisposable {
  read(into: Uint8Array): Promise<number>;
}

/** A run of bytes of a file that is not a hole. */
export type Extent = { readonly offset: number; readonly sizeBytes: number };

/** What a file looked like when it was described: the reader compares, before and after, to notice a change. */
export type FileState = {
  readonly sizeBytes: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly inode: bigint;
};

/**
 * Where an entry's bytes come from. `cut` says how to chunk: `stream` by content, `pages` in aligned pieces.
 * `file`: opened and read by whoever stores it, in a thread of its own, without following a link in the last component;
 * where `extents` is given, the content is those runs one after another and nothing else. `reader`: pulled.
 */
export type Content = { readonly cut: 'stream' | 'pages' } & (
  | {
      readonly kind: 'file';
      readonly path: Uint8Array;
      readonly state: FileState;
      readonly extents?: readonly Extent[] | undefined;
      /**
       * Store what was read even if it changed meanwhile; `retry` is not asked again. Of a file that became shorter less is stored, but with `extents` zeros
       * in the place of what went: whoever has them counts on all their bytes.
       */
      readonly tolerant?: boolean | undefined;
    }
  | { readonly kind: 'reader'; open(run: Run): Promise<ByteReader> }
);

/**
 * A content as what became of one of the earlier base: its first `keptBytes`, zeros behind them up to `sizeBytes`, and over that the bytes of `extents`, which
 * ascend and lie apart. `open` reads those bytes, one run after another, and nothing else; it is read to its end. Both contents are cut in pages: what has
 * no changed byte is neither read nor stored again.
 */
export type Patch = {
  /** Absent: the entry had none, so that nothing of it is kept. */
  readonly earlier?: StoredContent | undefined;
  readonly keptBytes: number;
  readonly sizeBytes: number;
  readonly extents: readonly Extent[];
  open(run: Run): Promise<ByteReader>;
};

/**
 * What is stored of an entry: the connector's own bytes, and its content where it has one. `patch` stands for the content, only in a base that is made
 * over an earlier one.
 */
export type Description = {
  readonly attributes: Uint8Array;
  readonly content?: Content | undefined;
  readonly patch?: Patch | undefined;
};

/**
 * One named thing in a base. When `fingerprint` is the one remembered from the last base, attributes and content are taken from
 * there and `describe` is not called. No fingerprint: always described. `describe` is synchronous, and may throw what
 * `Base.retry` understands.
 */
export type Entry = {
  readonly name: Uint8Array;
  readonly fingerprint?: Uint8Array | undefined;
  /** Bytes to read if it is not remembered, for progress only. */
  readonly estimatedBytes: number;
  describe(): Description;
};

export type SkipReason = 'unreadable' | 'changed' | 'vanished' | 'special' | 'too-long' | 'filesystem';

/**
 * Something that is not in the base, or not as it should be. `incomplete` makes the exit status 3; the rest is only told.
 */
export type Skipped = {
  readonly name: Uint8Array;
  readonly reason: SkipReason;
  readonly incomplete: boolean;
  readonly message: string;
};

/** A full copy of a store in the making. Dispose ends it without a result. */
export interface Base extends AsyncDisposable {
  /** One pass; what is not pulled holds the connector back. */
  readonly entries: AsyncIterable<readonly Entry[]>;
  /**
   * `names`, which holds where it is absent: strictly ascending by `compareBytes`. `arrival`: each name once, in any order, one entry a batch; the next one
   * is pulled only when the content of the one before has been read to its end.
   */
  readonly order?: 'names' | 'arrival' | undefined;
  /**
   * `cause` came up while an entry was described or read: it changed, vanished or can't be read. A fresh entry to try again
   * (the name stays), or undefined when it was reported and is left out.
   */
  retry(entry: Entry, cause: unknown, run: Run): Promise<Entry | undefined>;
  /** After the entries are drained and their contents read. */
  finish(run: Run): Promise<BaseEnd>;
}

/** The base before the one that is to be taken. What its `find` gives is for patches of that one alone. */
export type EarlierBase = Pick<BaseReader, 'find' | 'read'> & { readonly cut: Position };

/**
 * A fuzzy base needs the log `(logFrom, cut]`; else both are equal. `skipped` is bounded, `skippedCount` counts all,
 * `incompleteCount` those with `incomplete`.
 */
export type BaseEnd = {
  readonly logFrom: Position;
  readonly cut: Position;
  readonly skipped: readonly Skipped[];
  readonly skippedCount: number;
  readonly incompleteCount: number;
};

/** What became of one name: its attributes, with all that is stored of it in them, or that nothing is there any more. */
export type LoggedChange =
  | { readonly name: Uint8Array; readonly attributes: Uint8Array }
  | { readonly name: Uint8Array; readonly removed: true };

/** A run of changes in commit order. `commit` ends a transaction, or stands alone as a heartbeat: a log is cut there only. */
export type LogPiece = { readonly changes: readonly LoggedChange[]; readonly commit?: Commit | undefined };

/**
 * Changes without end, exact to the position. Pull-based, one pass; where nothing happens a heartbeat comes about once a second.
 * Abort the run, then dispose. @throws POSITION_LOST while iterating: the history can't be followed on.
 */
export interface Log extends AsyncIterable<readonly LogPiece[]>, AsyncDisposable {
  /** Monotonic and cheap: everything up to here is durable in the repository. */
  acknowledge(durable: Position): void;
  /** Where the store keeps what is not acknowledged, so that this host's disk need not. */
  readonly retention?: LogRetention | undefined;
  /** By this host's clock, when the store was last heard. Where it is absent: whenever pieces are given. */
  readonly heardMs?: number | undefined;
}

/** What a store keeps for whoever follows its log. */
export type LogRetention = {
  /** It has little room left for it: now it has to be on this host's disk. */
  readonly isShort: boolean;
  /** Everything up to here is on this host's disk, or in the repository. Monotonic. */
  onDisk(upTo: Position): void;
};

/**
 * What changed between the observation before and this one, as a base of these names alone: `entries` are those that are there, with what is
 * read of them now. `finish` gives the position of the observation. Dispose without `finish`, and the next observation holds it all again.
 */
export interface Observation extends Base {
  /** Names that were there at the observation before and are not any more, ascending. Known when the entries are drained. */
  readonly removed: readonly Uint8Array[];
}

/** Observations of a store that has no log: each covers all that anyone could see before it was asked for, as it is when it is read. */
export interface ObservationLog extends AsyncDisposable {
  /** Looks now. Undefined when nothing has changed since the one before. One at a time. @throws POSITION_LOST, STORE_UNREACHABLE */
  observe(run: Run): Promise<Observation | undefined>;
  /** Resolves when something may have changed since the last look began. */
  changed(run: Run): Promise<void>;
  /**
   * The observation up to this position is durable in the repository. Where observations are opened after it, because what followed may not be, names told
   * after it are told again, or told as removed: the repository may hold them all the same.
   */
  acknowledge(durable: Position): void;
}

/** One per history of a store. A store has a log that is exact (`openLog`), or is observed (`openObservations`), or has neither. */
export interface Recorder extends AsyncDisposable {
  readonly lineage: Lineage;
  readonly exact: Exactness;
  /**
   * While observations are open it is fuzzy: what they tell from its `logFrom` on belongs to it. Its cut comes after every observation that began
   * before all of it was read. `earlier`: where the store tells what has changed since, only that has to come; the base is whole all the same.
   */
  openBase(run: Run, earlier?: EarlierBase): Promise<Base>;
  /** Whether the store is there: of one that has neither log nor observations, which would tell. @throws STORE_UNREACHABLE */
  ping?(run: Run): Promise<void>;
  /** Covers all that anyone could see before this call began. Only with `openLog`. */
  head?(run: Run): Promise<Position>;
  /**
   * Where the log of a history begins that is recorded for the first time: from there on the store keeps it for `openLog`, and the first base needs nothing
   * before it. Absent where that is `head`.
   */
  begin?(run: Run): Promise<Position>;
  /** Writes a mark's name into the store's own log, for whoever restores with the engine's own means. Called before the mark's position is read. */
  label?(name: string, run: Run): Promise<void>;
  /** Everything after the position, exactly once. @throws POSITION_LOST */
  openLog?(after: Position, run: Run): Promise<Log>;
  /** Everything that is not as it was at the position. @throws POSITION_LOST where this host does not know how it was */
  openObservations?(after: Position, run: Run): Promise<ObservationLog>;
}
