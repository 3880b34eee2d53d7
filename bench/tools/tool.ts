import type { Command } from '../harness/measure.ts';

/** The folders of one sample of one tool. */
export interface Place {
  /** The tree to back up. */
  readonly source: string;
  /** A folder of the tool's own, on the medium: repository, cache, state, configuration. */
  readonly home: string;
}

/**
 * One backup tool, as command lines. Order of use: `prepare`, `init`, then the others. `backup` counts runs from 1, for
 * tools whose backups need names.
 */
export interface Tool {
  readonly name: string;
  /** How the tool was set up, for the report. */
  readonly setUp: string;
  /** The version in use, or nothing when it isn't installed or can't start. */
  version(): string | undefined;
  /** Writes what the tool needs before its first command. */
  prepare(place: Place): void;
  init(place: Place): Command;
  backup(place: Place, run: number): Command;
  /** Lists the backups. */
  list(place: Place): Command;
  /** Restores backup `run`, the newest, into the empty folder `into`. */
  restore(place: Place, run: number, into: string): Command;
  /** The same where `into` holds an older restore, changed since. What isn't in the backup may stay. */
  restoreOver(place: Place, run: number, into: string): Command;
  /** Where in `into` the root of the tree comes to lie. */
  restoredRoot(into: string): string;
  /** Reads every byte of the repository and proves it. */
  verify(place: Place): Command;
  /** The folder whose size counts as the repository's. */
  repository(place: Place): string;
}
