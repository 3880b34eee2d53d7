import type { EntryCheck } from './entry-check.ts';
import type { Finding } from './finding.ts';
import type { Position } from './position.ts';
import type { Recorder } from './recorder.ts';
import type { BaseReader, LogFileRequest, Restorer, StoredEntry, StoredLog } from './restorer.ts';
import type { Run, Runtime } from './run.ts';
import type { Sink } from './sink.ts';
import type { Source } from './source.ts';

/**
 * `previous`: the newest position that the repository holds of this history, whose lineage goes on. `stateFolder`: kept on this host for this
 * history alone, by whoever records its log; what is lost there costs a new base.
 */
export type RecorderContext = {
  readonly runtime: Runtime;
  readonly previous?: Position | undefined;
  readonly stateFolder?: string | undefined;
};

/**
 * `target` is what the operator named (`--into`): an absolute path, or the URL of a server; undefined for the store's own place. `id` names this restore:
 * the same id finds what an earlier, interrupted call left.
 */
export type RestorerContext = {
  readonly runtime: Runtime;
  readonly id: string;
  readonly target?: string | undefined;
  /** Patterns of `--only`, in gitignore's syntax; what they don't match stays as it is. */
  readonly only?: readonly string[] | undefined;
  /** The operator allows that what a server holds is replaced. */
  readonly replace?: boolean | undefined;
  /**
   * What is restored is to follow the repository: a program with its arguments that gives the engine a file of the log (see `giveLogFile`), in which `%f`
   * stands for the file's name and `%p` for where it goes. It ends with 0, or with 1 for what is not there yet or can't be read, which is asked for again.
   */
  readonly followBy?: readonly string[] | undefined;
  /** Which moment is restored, by the clock of whoever took the mark; absent where nobody knows. */
  readonly atMs?: number | undefined;
  /** On this host, of this restore and store alone: private, and there until the restore is discarded. Not created yet. */
  readonly workFolder?: string | undefined;
};

/**
 * `state`: what is at the place, as clauses. `folder`: where the data lies that did not come in or was there before. `canGoOn`: the place is a server, which
 * may come back; otherwise going on is impossible.
 */
export type GivenUp = { readonly state: string; readonly folder: string; readonly canGoOn: boolean };

/** Of a server: it may hold a part, and what it held before is in the restore's own folder. */
export function givenUpServer({ workFolder = '' }: RestorerContext): GivenUp {
  const state = `it may hold a part; what was to go there, and what it held before, stays in ${workFolder}`;
  return { state, folder: workFolder, canGoOn: true };
}

/** Of a restore that may never be: without `id`, which it would get when it begins. */
export type PreviewContext = Omit<RestorerContext, 'id' | 'workFolder'> & { readonly id: string | undefined };

/**
 * What a restore of one store would need and do. Nothing is written to find out. `into`: a path or a server; undefined where there is no place for it,
 * which is a blocker. `replaces`: undefined where the place doesn’t tell what is there. `freeBytes`: undefined where nobody can know.
 */
export type RestorePreview = {
  readonly into: string | undefined;
  readonly inOneStep: boolean;
  readonly replaces: boolean | undefined;
  readonly freeBytes: number | undefined;
  readonly sideEffects: readonly string[];
  readonly blockers: readonly string[];
};

/** Asked each time that it is needed: it may have been changed. Undefined where the manifest names none. @throws SECRET_MISSING */
export type AskPassword = (run: Run) => Promise<string | undefined>;

/**
 * A store as the manifest has it: its scheme, what follows it, and the connector's options as its schema yields them. `leaveOut`: absolute
 * paths that no base may hold, such as the repository's own folder. `via`: what programs that must run beside the data are called with;
 * `environment`: the variables that it is started with on this host.
 */
export type StorePlace = {
  readonly scheme: string;
  readonly target: string;
  readonly password: AskPassword;
  readonly via: readonly string[];
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  readonly options: Readonly<Record<string, unknown>>;
  readonly leaveOut: readonly string[];
};

/**
 * The code for one kind of datastore. An absent method is something that the store can't do. Stored history comes from a recorder of its own, or else from
 * the source; one of them is there.
 */
export interface Connector<Options> {
  readonly schemes: readonly string[];
  /** `bytes`: only the engine understands its log, so that looking into a point shows the base before it. */
  readonly log?: 'bytes' | undefined;
  /** What the other methods take. `warnings`: what was settled silently otherwise, such as a repository inside the store. */
  resolve(place: StorePlace): { readonly options: Options; readonly warnings: readonly string[] };
  openSource?(options: Options, context: RecorderContext, run: Run): Promise<Source>;
  openSink?(options: Options, runtime: Runtime, run: Run): Promise<Sink>;
  openRecorder?(options: Options, context: RecorderContext, run: Run): Promise<Recorder>;
  /** Keeps everybody from changing the store until it is disposed; waits for who is changing it. @throws STORE_UNREACHABLE */
  hold?(options: Options, runtime: Runtime, run: Run): Promise<AsyncDisposable>;
  preview(options: Options, context: PreviewContext, run: Run): Promise<RestorePreview>;
  openRestorer(options: Options, context: RestorerContext, run: Run): Promise<Restorer>;
  /**
   * Puts back what a finished restore kept aside; what is there now is kept aside in turn. `turn` counts the undos of a restore, from 1: a turn
   * that was cut off is finished, and one that has happened does not happen again.
   */
  undo(
    options: Options,
    context: RestorerContext & { readonly turn: number },
    run: Run,
  ): Promise<{ readonly keptAside?: string | undefined }>;
  /** Deletes what a restore kept aside or left unfinished. */
  discard(options: Options, context: RestorerContext, run: Run): Promise<void>;
  /**
   * Gives the engine a file of the log as a repository has it now. False: it is not there, or not yet. An engine takes that for the end of the log, so
   * whatever else goes wrong must not be told so.
   */
  giveLogFile?(log: StoredLog, request: LogFileRequest, run: Run): Promise<boolean>;
  /** A position as an operator types it, undefined for what is none. Absent where positions mean nothing to people. */
  parsePosition?(text: string): TypedPosition | undefined;
  /**
   * How the place of a swap or an undo that was cut off would be left if that were given up; undefined as long as only going on leads to something whole.
   * Changes nothing, and needs no server.
   */
  ifGivenUp?(options: Options, context: RestorerContext, run: Run): Promise<GivenUp | undefined>;
  /** Forgets a swap or an undo that `ifGivenUp` allows to give up. Deletes no data, wherever it is. */
  giveUp?(options: Options, context: RestorerContext, run: Run): Promise<void>;
  /** Of a log of bytes: the position of an order between two of its commits, of which `next` is the later one. */
  positionBetween?(order: string, next: Position): Position;
  /**
   * Whether a restore can make something of what is stored of an entry: its name, its attributes, and that its content fits them. It decodes them with what
   * restores, and reads no content. Asked of every entry of a base, and of a log that is laid over one.
   * @throws REPOSITORY_DAMAGED, REPOSITORY_NEWER, PATH_ESCAPES, UNSUPPORTED
   */
  checkEntry: EntryCheck;
  /**
   * The same of a base as a whole, and of contents that a restore looks into: reads them to their end. Absent where to a restore contents are bytes.
   * @throws as `checkEntry`, and what reading fails with
   */
  checkContents?(base: BaseReader, run: Run): Promise<void>;
  /**
   * What takes the place of an entry that can't be decoded where others can't be restored without it, such as a folder. Undefined where it can be left
   * out. Absent where that always holds, or where a part of a base is of no use.
   */
  standIn?(base: BaseReader, name: Uint8Array, run: Run): Promise<StoredEntry | undefined>;
  /** The name of the entry at a path as an operator types it. */
  entryName(path: Uint8Array): Uint8Array;
  /** The inverse of `entryName`. */
  entryPath(name: Uint8Array): Uint8Array;
  /** The bytes of an entry as its application sees them, holes and all; undefined for what has none. */
  content(entry: StoredEntry): { read(base: BaseReader, run: Run): AsyncIterable<Uint8Array> } | undefined;
  /**
   * The bytes at a path that no entry of a base has for a name, because it lies within one; undefined when nothing is there. Absent where whatever can be
   * read is an entry.
   */
  readWithin?(base: BaseReader, path: Uint8Array, run: Run): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Lists what lies under a path in a base: directly, or with `recursive` at any depth. */
  list(
    base: BaseReader,
    path: Uint8Array,
    options: { readonly recursive: boolean },
    run: Run,
  ): AsyncIterable<readonly ListedEntry[]>;
  /** An entry as `list` has it. */
  describe(entry: StoredEntry): ListedEntry;
  /** Says which entries patterns in gitignore's syntax mean. What lies in one that matches is not meant again. */
  matcher(patterns: readonly string[]): (entry: ListedEntry) => boolean;
  /**
   * How two entries of one name differ: in what their application reads, only in attributes, or in nothing that it could notice.
   * `sameContent`: the stored contents are the same bytes.
   */
  compare(left: StoredEntry, right: StoredEntry, sameContent: boolean): EntryChange;
  diagnose(options: Options, runtime: Runtime, run: Run): Promise<readonly Finding[]>;
}

/** `isMeant`: of several places of one order, which of them; absent where the order says it all. */
export type TypedPosition = { readonly order: string; isMeant?(position: Position): boolean };

export type EntryChange = 'content' | 'attributes' | 'none';

/** `name`: with '/' between its components. `mode` and `mtimeNs` only where the store has them. `target`: of a link, where it leads. */
export type ListedEntry = {
  readonly name: Uint8Array;
  readonly type: 'file' | 'folder' | 'link' | 'other';
  readonly sizeBytes: number;
  readonly mode?: number | undefined;
  readonly mtimeNs?: bigint | undefined;
  readonly target?: Uint8Array | undefined;
};
