import type { ErrorCode } from '../core/error-codes.ts';
import type { Finding } from '../core/finding.ts';
import type { Position } from '../core/position.ts';
import type { SkipReason } from '../core/recorder.ts';

/**
 * What commands answer, field by field as `--json` prints it. Times are ISO 8601 in UTC with milliseconds; durations and sizes carry
 * their unit in the name. Fields may be added; one that is here keeps its meaning.
 */

/** Whatever is as long as a store: pulled while it is printed, never held whole. */
export type Streamed<T> = AsyncIterable<readonly T[]>;

/** `nameBase64` only where the name is not UTF-8; `name` then has `\xHH` for what can't be shown. */
export type ShownName = { readonly name: string; readonly nameBase64?: string | undefined };

export type MarkResult = {
  readonly id: string;
  readonly name?: string | undefined;
  readonly tags: readonly string[];
  readonly class: 'sealed' | 'clock';
  readonly at: string;
  readonly skewMs: number;
  readonly state: 'complete' | 'pending' | 'partial';
  /** Names of the stores that the mark lacks. */
  readonly partial: readonly string[];
  readonly pinned: boolean;
};

export type RepositoryResult = { readonly id: string; readonly url: string; readonly formatVersion: number };

/** `created`: false when a repository was there already. `manifest`: the file that was written, in which case nothing else was done. */
export type InitResult = {
  readonly repository?: (RepositoryResult & { readonly headFingerprint: string }) | undefined;
  readonly created: boolean;
  readonly manifest?: string | undefined;
};

export type SkippedResult = ShownName & {
  readonly reason: SkipReason;
  readonly incomplete: boolean;
  readonly message: string;
};

export type BackupStoreResult = {
  readonly store: string;
  /** Absent in a dry run, which makes none. */
  readonly base?: string | undefined;
  readonly position: Position;
  readonly exact: 'position' | 'time' | 'observation';
  readonly entries: number;
  readonly bytes: number;
  /** Of `bytes`, what the repository did not hold yet. */
  readonly newBytes: number;
  /** What `newBytes` take in the repository. */
  readonly storedBytes: number;
  /** Bounded; `skippedCount` counts all, `incompleteCount` those that make the backup incomplete. */
  readonly skipped: readonly SkippedResult[];
  readonly skippedCount: number;
  readonly incompleteCount: number;
};

/** Why a store is not in a mark. */
export type FailedStoreResult = {
  readonly store: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
};

/** Without `mark` it was a dry run. */
export type BackupResult = {
  readonly mark?: MarkResult | undefined;
  readonly stores: readonly BackupStoreResult[];
  readonly failed: readonly FailedStoreResult[];
  readonly dryRun: boolean;
};

/** `head`: the fingerprint of all that the repository holds now; `--expect-head` compares with it. */
export type MarksResult = { readonly marks: readonly MarkResult[]; readonly head: string };

/**
 * With `--per-store`: when the place that a store is brought to was committed, and how long that is before the time that was asked for. `covered`: in
 * between nothing is recorded, and the time lies in no gap. What a store without times of its own (Redis, PostgreSQL) did while nobody listened is recorded
 * with the time at which it came.
 */
export type NearestResult = { readonly at: string; readonly distanceMs: number; readonly covered: boolean };

export type PlanStoreResult = {
  readonly store: string;
  /** Stores are restored in ascending order. */
  readonly order: number;
  readonly base: string;
  readonly baseAt: string;
  readonly segments: number;
  readonly logBytes: number;
  readonly nearest?: NearestResult | undefined;
  readonly position: Position;
  readonly exact: 'position' | 'time' | 'observation';
  readonly into: string;
  readonly inOneStep: boolean;
  readonly replaces?: boolean | undefined;
  readonly downloadBytes: number;
  readonly needBytes: number;
  readonly freeBytes?: number | undefined;
  readonly engineVersion?: string | undefined;
  /** From the point to the newest complete mark. */
  readonly lostAfterMs: number;
  /** From the point to the newest commit or base of this store that the repository holds. */
  readonly newerMs: number;
};

/**
 * A plan with blockers can't be carried out; each says why and what to write instead. Without `mark` each store has a place of its own
 * (`--per-store`). `at`: the time that was asked for, and `distanceMs` from the mark to it; absent where a mark was asked for. `estimateMs`: how long it
 * takes at most, by what the last restores took; absent where there were none.
 */
export type PlanResult = {
  readonly mark?: MarkResult | undefined;
  readonly at?: string | undefined;
  readonly distanceMs?: number | undefined;
  readonly estimateMs?: number | undefined;
  readonly stores: readonly PlanStoreResult[];
  readonly sideEffects: readonly string[];
  readonly blockers: readonly string[];
};

export type RestoreStoreResult = {
  readonly store: string;
  readonly into: string;
  readonly position: Position;
  readonly exact: 'position' | 'time' | 'observation';
  readonly nearest?: NearestResult | undefined;
  readonly bytes: number;
  readonly reusedBytes: number;
  readonly entries: number;
  /** Of the log that the store's own engine applied; entries and bytes are the base's then. */
  readonly segments?: number | undefined;
  readonly verified: boolean;
  /** Where the data lies that was there before. */
  readonly keptAside?: string | undefined;
  /** What could not be brought back as it was; bounded. */
  readonly notes: readonly string[];
  readonly noteCount: number;
  /** What is damaged in the repository and was left out, with `--skip-damaged`; bounded. */
  readonly damaged: readonly ShownName[];
  readonly damagedCount: number;
  /** What the base lacks since it was taken; bounded. */
  readonly skipped: readonly SkippedResult[];
  readonly skippedCount: number;
};

/** `restore --to` and `--resume`. Without `mark` each store has a place of its own, near the time `at` (`--per-store`). */
export type RestoreResult = {
  readonly mark?: MarkResult | undefined;
  readonly at?: string | undefined;
  readonly stores: readonly RestoreStoreResult[];
};

/** `restore --undo` and `--discard`. */
export type RestoreUndoResult = {
  readonly action: 'undone' | 'discarded';
  readonly stores: readonly {
    readonly store: string;
    readonly into: string;
    /** Of an undo: what is there now, the data from before the restore, or after a second undo what was restored. */
    readonly holds?: 'before' | 'restored' | undefined;
    /** Of an exchange that was given up half-way: the folder with the data that did not come in or was there before; `state` says what is where. */
    readonly givenUp?: string | undefined;
    readonly state?: string | undefined;
    readonly keptAside?: string | undefined;
  }[];
};

export type DamageResult = {
  readonly object: string;
  readonly kind: string;
  readonly message: string;
  /** What can't be restored because of it: marks, stores and names; bounded. */
  readonly affects: readonly string[];
};

export type VerifyResult = {
  readonly checked: {
    readonly bases: number;
    readonly segments: number;
    readonly chunks: number;
    readonly bytes: number;
  };
  readonly damage: readonly DamageResult[];
};

/** `forget` and `sweep`. Without `applied` it says what would happen. */
export type RetentionResult = {
  readonly kept: readonly string[];
  readonly removed: readonly string[];
  readonly condemned: readonly string[];
  readonly freedBytes: number;
  /** When what is condemned can be freed. */
  readonly freeAfter?: string | undefined;
  readonly applied: boolean;
};

export type PinResult = { readonly mark: MarkResult };

/** Of one that can't be read (`unreadable`) nothing else is known. */
export type KeyResult = {
  readonly id: string;
  readonly kind: string;
  readonly role?: string | undefined;
  readonly name?: string | undefined;
  readonly createdAt?: string | undefined;
};

export type KeysListResult = { readonly keys: readonly KeyResult[] };
export type KeysChangeResult = { readonly key: KeyResult };

export type RunResult = {
  readonly id: string;
  readonly command: string;
  readonly startedAt: string;
  readonly durationMs: number;
  /** `done`, `incomplete`, `damaged`, `failed`, `interrupted`; `running` or `cut off` where nothing has been written down. */
  readonly outcome: string;
  /** Of the error, where there was one. */
  readonly code?: string | undefined;
  readonly host?: string | undefined;
};

export type RunsResult = { readonly runs: readonly RunResult[] };

export type ListedResult = ShownName & {
  readonly type: 'file' | 'folder' | 'link' | 'other';
  readonly size: number;
  /** Permission bits, such as 0o644 as the number 420. This and `mtime` only where the store has them. */
  readonly mode?: number;
  readonly mtime?: string;
  /** Of a link: where it leads. */
  readonly target?: string | undefined;
};

export type LsResult = { readonly entries: Streamed<ListedResult> };

export type DifferenceResult = ShownName & {
  readonly store: string;
  readonly type: ListedResult['type'];
  /** Where it was of another one. */
  readonly typeBefore?: ListedResult['type'] | undefined;
  readonly change: 'added' | 'removed' | 'changed' | 'attributes';
  /** Of the content; absent where there is none on that side. */
  readonly sizeBefore?: number | undefined;
  readonly sizeAfter?: number | undefined;
};

export type DiffResult = {
  readonly from: MarkResult;
  readonly to: MarkResult;
  readonly differences: Streamed<DifferenceResult>;
};

/** A name and the marks that hold it in the same state, ascending by time. */
export type FoundResult = ListedResult & { readonly store: string; readonly marks: readonly string[] };

export type FindResult = { readonly found: Streamed<FoundResult> };

export type StatsResult = {
  readonly marks: number;
  readonly bases: number;
  readonly packs: number;
  readonly chunks: number;
  /** What all bases hold together, each counted whole. */
  readonly bytes: number;
  /** What the repository takes. */
  readonly storedBytes: number;
  readonly stores: readonly {
    readonly store: string;
    readonly bases: number;
    readonly entries: number;
    readonly bytes: number;
    /** Unshared with other stores. */
    readonly storedBytes?: number | undefined;
  }[];
};

/** `accepted`: with `--accept-rollback`, what was gone of what this host had seen in the repository. */
export type DoctorResult = { readonly findings: readonly Finding[]; readonly accepted?: readonly string[] | undefined };

export type ConfigCheckResult = {
  readonly application: string;
  readonly repository: string;
  readonly stores: readonly { readonly store: string; readonly url: string }[];
};

export type VersionResult = { readonly version: string; readonly node: string; readonly platform: string };

/** A span of a store's log without a break. */
export type LogSpan = { readonly from: string; readonly to: string; readonly segments: number };

/** What is missing between two positions, and why. `to` is absent while the gap has no end. */
export type GapResult = { readonly from: string; readonly to?: string | undefined; readonly reason: string };

/** Every moment from `from` to `to` can be restored. */
export type WindowResult = { readonly from: string; readonly to: string };

export type TimelineStoreResult = {
  readonly store: string;
  /** Absent while there is no base. */
  readonly exact?: 'position' | 'time' | 'observation' | undefined;
  /** Ascending by time. */
  readonly bases: readonly { readonly id: string; readonly at: string; readonly proven: boolean }[];
  readonly logs: readonly LogSpan[];
  /** Ascending by time. */
  readonly gaps: readonly GapResult[];
  /** To which moments it can be restored, ascending; a base without a log is one moment. May reach beyond what is shown. */
  readonly windows: readonly WindowResult[];
};

/** Of all complete marks of a time. */
export type TogetherResult = {
  readonly marks: number;
  readonly first: MarkResult;
  readonly last: MarkResult;
  /** From one to the next, or to the end of the time. */
  readonly longestPause: { readonly from: string; readonly durationMs: number };
  /** Of those that are not sealed; absent where all are. */
  readonly mostSkewMs?: number | undefined;
};

/**
 * `from` and `to`: what is shown. `marks` ascend by time: all with a name, pinned or sealed, and of many others some; `marksLeftOut` counts the rest.
 * `together` is of all of them; absent where none is complete.
 */
export type TimelineResult = {
  readonly from: string;
  readonly to: string;
  readonly timezone: string;
  readonly stores: readonly TimelineStoreResult[];
  readonly marks: readonly MarkResult[];
  readonly marksLeftOut: number;
  readonly together?: TogetherResult | undefined;
};

/** `idle`: `up` does not run. `starting`: its first base is being taken. `recording`, `retrying` after a failure. */
export type StoreState = 'idle' | 'starting' | 'recording' | 'retrying';

export type StatusStoreResult = {
  readonly store: string;
  readonly state: StoreState;
  readonly position?: Position | undefined;
  /** How far the repository is behind the store. Absent where nobody knows. */
  readonly lagMs?: number | undefined;
  readonly lastBaseAt?: string | undefined;
  readonly nextBaseAt?: string | undefined;
  /** To which moments it can be restored. */
  readonly window?: WindowResult | undefined;
  /** What waits on this host for the repository. */
  readonly spooledBytes: number;
  /** Why it does not record, with what to do. */
  readonly trouble?: TroubleResult | undefined;
};

export type AlarmResult = {
  readonly code: string;
  readonly store?: string | undefined;
  readonly message: string;
  readonly hint: string;
};

/**
 * `at`: when this was so; ages count from it. `keyRole`: with whose key the repository was looked at, where that was needed; a writer sees only what it
 * wrote itself, and no proofs.
 */
export type StatusResult = {
  readonly at: string;
  readonly keyRole?: 'reader' | 'writer' | undefined;
  /** Of the process that runs `up`; absent when none does. */
  readonly up?: { readonly processId: number; readonly startedAt: string } | undefined;
  readonly stores: readonly StatusStoreResult[];
  readonly repository: RepositoryResult & { readonly reachable: boolean };
  readonly lastMark?: MarkResult | undefined;
  readonly alarms: readonly AlarmResult[];
};

/** `up`, when it was stopped. `gaps`: how many it had to note. */
export type UpResult = {
  readonly stores: readonly string[];
  readonly lastMark?: string | undefined;
  readonly gaps: number;
};

export type MarkTakenResult = { readonly mark: MarkResult };

export type TroubleResult = { readonly code: ErrorCode; readonly message: string; readonly hint: string };

/** What the process that records knows of itself. */
export type LiveStatus = {
  readonly up: NonNullable<StatusResult['up']>;
  readonly stores: readonly Omit<StatusStoreResult, 'window' | 'lastBaseAt'>[];
  readonly lastMark?: MarkResult | undefined;
  readonly repositoryTrouble?: TroubleResult | undefined;
  /** Of retention and verification. */
  readonly alarms: readonly AlarmResult[];
};
